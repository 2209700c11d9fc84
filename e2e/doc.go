// Package e2e holds the end-to-end tests: the real keyward program behind the
// real Envoy with the shipped envoy.yaml, and behind the other proxies.
package e2e
