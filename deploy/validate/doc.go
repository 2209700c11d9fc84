// Package validate has no code but tests: they render deploy/kubernetes and
// deploy/helm with the real kubectl and helm, and hold what comes out to what a
// cluster would say; and they hold the configurations that are shipped or documented
// to the published JSON Schema. It is a module of its own, so that Keyward's own
// go.mod names neither Kubernetes nor a schema library.
package validate
