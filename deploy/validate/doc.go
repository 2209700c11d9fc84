// Package validate has no code but tests: they render deploy/kubernetes and
// deploy/helm with the real kubectl and helm, and hold what comes out to what a
// cluster would say. It is a module of its own, so that Keyward's own go.mod does
// not name Kubernetes.
package validate
