//go:build !faults

package main

// injectFault does nothing: see fault_injected.go.
func injectFault(string) {}
