// Package eventually waits in tests for what another goroutine or a file system
// brings about. It is for tests only.
package eventually

import (
	"testing"
	"time"
)

const (
	limit    = 10 * time.Second
	interval = 2 * time.Millisecond
)

// Succeeds calls check until it returns nil. If that takes longer than ten
// seconds, the test ends with the last error.
func Succeeds(t testing.TB, check func() error) {
	t.Helper()
	SucceedsWithin(t, limit, check)
}

// SucceedsWithin is Succeeds for what may take longer, or must not take as long.
func SucceedsWithin(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(interval)
	}
}
