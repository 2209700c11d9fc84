// Package validate contains only tests. They render deploy/kubernetes and
// deploy/helm with the real kubectl and helm, and validate the result as a
// cluster would. They also validate the configurations that are shipped or
// documented against the published JSON Schema. It is a separate module, so
// that Keyward's own go.mod names neither Kubernetes nor a schema library.
package validate
