package redis

import (
	"fmt"
	"testing"
	"time"
)

// onTime runs a scenario that holds a store to deadlines. A machine that wakes
// goroutines later than the store's time-out makes calls time out by itself, so a
// scenario that fails on such a machine runs again, up to five times. On a machine
// that keeps time the first failure counts.
func onTime(t *testing.T, scenario func() error) {
	t.Helper()
	const (
		tries   = 5
		timeout = 20 * time.Millisecond // FallbackConfig.Timeout's default
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

// watchLateness records how late an idle goroutine is woken. stop returns the most.
func watchLateness() (stop func() time.Duration) {
	const nap = 2 * time.Millisecond
	end, most := make(chan struct{}), make(chan time.Duration)
	go func() {
		late := time.Duration(0)
		for {
			before := time.Now()
			select {
			case <-end:
				most <- late
				return
			case <-time.After(nap):
			}
			late = max(late, time.Since(before)-nap)
		}
	}()
	return func() time.Duration { close(end); return <-most }
}
