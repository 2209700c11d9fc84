//go:build race

// Package race reports to tests whether the race detector is on. Tests are many
// times slower then, and sync.Pool drops entries on purpose.
package race

// Detector reports whether the race detector is on.
const Detector = true
