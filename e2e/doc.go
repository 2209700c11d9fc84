// Package e2e holds the tests with the real Envoy, run with the envoy.yaml that
// is shipped, in front of the real keyward program.
package e2e
