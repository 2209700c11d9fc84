package redis

import (
	"fmt"
	"testing"
	"time"
)

// onTime runs a scenario in which a store must meet deadlines. On a machine
// that wakes goroutines later than the store's timeout, calls time out for that
// reason alone. A scenario that fails on such a machine runs again, up to five
// times. On a punctual machine the first failure counts.
func onTime(t *testing.T, scenario func() error) {
	t.Helper()
	const (
		tries   = 5
		timeout = 20 * time.Millisecond // the default of failover.Config.Timeout
	)
	for try := 1; ; try++ {
		stop := watchLateness()
		err := scenario()
		late := stop()
		if err == nil {
			return
		}
		if err = fmt.Errorf("try %d, on a machine that was up to %s late: %w", try, late, err); late < timeout || try == tries {
			t.Fatal(err)
		}
		t.Log(err)
	}
}

// watchLateness records how late an idle goroutine is woken. stop returns the
// maximum.
func watchLateness() (stop func() time.Duration) {
	const nap = 2 * time.Millisecond
	end, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		late := time.Duration(0)
		for {
			before := time.Now()
			select {
			case <-end:
				longest <- late
				return
			case <-time.After(nap):
			}
			late = max(late, time.Since(before)-nap)
		}
	}()
	return func() time.Duration { close(end); return <-longest }
}
