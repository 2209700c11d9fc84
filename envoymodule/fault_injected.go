//go:build faults

package main

import "os"

// injectFault panics in the function that KEYWARD_FAULT names. It is in no build but
// that of the tests.
func injectFault(function string) {
	if os.Getenv("KEYWARD_FAULT") == function {
		panic("injected")
	}
}
