package e2e

import (
	"context"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/e2e/stack"
)

const (
	checkRounds  = 11 // of each kind, in turn
	checksEvery  = 2000
	changesEvery = 100
	roundSpan    = 4 * time.Second
	maxSlowdown  = 1.5
)

// checksBeside compares the checks' 99th percentile beside other work of the process with
// that without: Keyward is on one core, everything else on the other.
func (s *scale) checksBeside(work map[string]func() (stop func())) {
	s.t.Helper()
	s.process.Stop()
	s.t.Setenv("GOMAXPROCS", "1")
	s.start()
	pin := exec.Command("taskset", "-a", "-p", "-c", "0", strconv.Itoa(s.process.PID()))
	if err := pin.Run(); err != nil {
		s.t.Fatal(err)
	}
	if err := process.Pin(1); err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = process.Unpin() }()
	load, err := loadgen.DialTarget(stack.Address(s.ports.GRPC), 4)
	if err != nil {
		s.t.Fatal(err)
	}
	defer load.Close()
	checks := loadgen.Load{Workers: 16, Rate: checksEvery, Span: roundSpan, Pick: credential.AnyKey(s.secrets)}
	round := func() time.Duration {
		o, err := load.Run(s.t.Context(), checks)
		if err != nil {
			s.t.Fatal(err)
		}
		return o.Percentile(99)
	}
	round() // warm
	for what, steadily := range work {
		var quiet, beside []time.Duration
		for range checkRounds {
			quiet = append(quiet, round())
			stop := steadily()
			beside = append(beside, round())
			stop()
		}
		slices.Sort(quiet)
		slices.Sort(beside)
		calm, busy := quiet[checkRounds/2], beside[checkRounds/2]
		ratio := float64(busy) / float64(calm)
		s.t.Logf("checks' p99, medians of %d rounds: %v alone, %v beside %s: %.2f times", checkRounds, calm, busy, what, ratio)
		if ratio > maxSlowdown {
			s.t.Errorf("checks beside %s take %.2f times as long, want at most %.1f", what, ratio, maxSlowdown)
		}
	}
}

// changeSteadily makes changes until the returned function is called.
func (s *scale) changeSteadily() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wait sync.WaitGroup
	made := make(chan struct{}, 1000)
	const callers = 4
	for range callers {
		wait.Go(func() {
			tick := time.NewTicker(callers * time.Second / changesEvery)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					s.call("POST", "/keys", `{"name": "beside checks"}`, nil)
					made <- struct{}{}
				}
			}
		})
	}
	began := time.Now()
	return func() {
		cancel()
		wait.Wait()
		if rate := float64(len(made)) / time.Since(began).Seconds(); rate < 0.8*changesEvery {
			s.t.Errorf("%.0f changes per second were made, want %d", rate, changesEvery)
		}
	}
}
