//go:build !race

// Package race tells tests whether the race detector is on: they run many
// times slower then, and sync.Pool forgets on purpose.
package race

// Detector tells whether it is.
const Detector = false
