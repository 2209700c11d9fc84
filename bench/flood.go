package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyward/bench/loadgen"
	"keyward/bench/report"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

const (
	floodAddresses = 20_000 // sources of the wrong passwords
	floodWorkers   = 128    // most of them wait for a reply
)

// flood sends wrong passwords as fast as possible, half of them for existing
// names. It runs in a separate process of low priority: an attacker uses
// machines of his own, and the cost of sending must not be counted as the
// server's.
type flood struct {
	guesses int64
	tooLong bool // for comparison: passwords that are refused before hashing
	sent    atomic.Int64
	answers [600]atomic.Int64 // by status
}

// floodOutcome is the result of a flood.
type floodOutcome struct {
	Guesses int64
	Took    time.Duration
	Answers map[int]int64 // by status

	checks *loadgen.Outcome // the key checks during the flood
}

// startFlood starts the process and waits for it.
func startFlood(socket string, guesses int, tooLong bool) (*floodOutcome, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("nice", "-n", "19", program, "-flood", socket, "-guesses", strconv.Itoa(guesses), fmt.Sprintf("-too-long=%v", tooLong))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("flood: %w", err)
	}
	var o floodOutcome
	return &o, json.Unmarshal(text, &o)
}

// runFlood runs the flood in that process.
func runFlood(socket string, guesses int, tooLong bool) error {
	c, err := loadgen.Dial(socket, 4)
	if err != nil {
		return err
	}
	defer c.Close()
	f := &flood{guesses: int64(guesses), tooLong: tooLong}
	start := time.Now()
	if err := f.drive(c); err != nil {
		return err
	}
	o := floodOutcome{Guesses: f.guesses, Took: time.Since(start), Answers: map[int]int64{}}
	for status := range f.answers {
		if n := f.answers[status].Load(); n > 0 {
			o.Answers[status] = n
		}
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func (f *flood) drive(c *loadgen.Client) error {
	errs := make([]error, floodWorkers)
	var wg sync.WaitGroup
	for worker := range floodWorkers {
		wg.Go(func() {
			for errs[worker] == nil && f.sent.Add(1) <= f.guesses {
				var status int
				status, errs[worker] = c.Status(context.Background(), worker, f.guess())
				if errs[worker] == nil && status != 401 && status != 429 && status != 503 {
					errs[worker] = fmt.Errorf("a wrong password got status %d", status)
				}
				f.answers[status].Add(1)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *flood) guess() *authv3.CheckRequest {
	user := fmt.Sprint("target", rand.IntN(guessedUsers))
	if rand.IntN(2) == 0 {
		user = fmt.Sprint("unknown", rand.Uint32())
	}
	a := rand.N(uint32(floodAddresses)) * 839 // spread over 10.0.0.0/8
	guess := fmt.Sprint("guess ", rand.Uint64())
	if f.tooLong {
		guess = strings.Repeat("x", 73)
	}
	return loadgen.NewLoginRequest(user, guess, fmt.Sprintf("10.%d.%d.%d", a>>16&255, a>>8&255, a&255))
}

func (o *floodOutcome) print(b *bench, what string) {
	b.row("%s per second (%s from %s addresses)", what, report.Count(int(o.Guesses)), report.Count(floodAddresses), int(float64(o.Guesses)/o.Took.Seconds()))
	for _, status := range []int{401, 429, 503} {
		b.row("%s answered %d", what, status, o.Answers[status])
	}
	b.printTail("key checks during the flood", o.checks)
}
