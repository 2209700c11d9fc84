package eventually_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyward/internal/eventually"
)

// failingTest is a test that records that it failed.
type failingTest struct {
	testing.TB
	failure string
}

func (f *failingTest) Helper() {}

// Fatal ends the goroutine, as that of a test does.
func (f *failingTest) Fatal(args ...any) {
	f.failure = fmt.Sprint(args...)
	runtime.Goexit()
}

func TestSucceeds(t *testing.T) {
	for _, line := range []struct {
		after  time.Duration // when the check succeeds
		failed bool
	}{{0, false}, {9 * time.Second, false}, {11 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			outcome, began, returned := &failingTest{TB: t}, time.Now(), false
			go func() {
				eventually.Succeeds(outcome, func() error {
					if time.Since(began) < line.after {
						return errors.New("too early")
					}
					return nil
				})
				returned = true
			}()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if returned == line.failed || strings.Contains(outcome.failure, "too early") != line.failed {
				t.Errorf("success after %s: returned %v, failed with %q", line.after, returned, outcome.failure)
			}
		})
	}
}
