package password_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"keyward/verifier/password"
)

// withPriority sets the priority of a job.
func withPriority(s password.Priority, admit func() (password.Job, error)) func() (password.Job, error) {
	return func() (password.Job, error) {
		job, err := admit()
		job.Priority = s
		return job, err
	}
}

// TestTwoTasksPerUser checks that a user has one task running and one waiting,
// which a newcomer replaces unless its priority is lower.
func TestTwoTasksPerUser(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		name              string
		waiting, newcomer password.Priority
		in                bool
	}{
		{"a lower penalty", password.Priority{Class: password.Suspect, Penalty: 2 * second}, password.Priority{Class: password.Suspect, Penalty: second}, true},
		{"the same penalty", password.Priority{Class: password.Suspect, Penalty: second}, password.Priority{Class: password.Suspect, Penalty: second}, true},
		{"a higher penalty", password.Priority{Class: password.Suspect, Penalty: second}, password.Priority{Class: password.Suspect, Penalty: 2 * second}, false},
		{"a higher class", password.Priority{Class: password.Suspect}, password.Priority{Class: password.Unknown, Penalty: second}, true},
		{"a lower class", password.Priority{Class: password.Unknown, Penalty: second}, password.Priority{Class: password.Suspect}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, password.Config{Workers: 3}, func(t *testing.T, p *poolFixture) {
				running := p.start(t.Context(), "running", p.job(password.Unknown, "alice", "running"))
				waiting := p.start(t.Context(), "waiting", withPriority(test.waiting, p.job(0, "alice", "waiting")))
				began := time.Now()
				newcomer := p.start(t.Context(), "newcomer", withPriority(test.newcomer, p.job(0, "alice", "newcomer")))
				bob := p.start(t.Context(), "bob", p.job(password.Unknown, "bob", "bob"))
				trusted := p.start(t.Context(), "trusted", p.job(password.Trusted, "alice", "trusted"))
				if p.InFlight() != 3 {
					t.Errorf("%d in flight, want alice's one, bob's and the trusted one", p.InFlight())
				}
				in, out := waiting, newcomer
				if test.in {
					in, out = newcomer, waiting
				}
				if _, err := out(); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
					t.Errorf("the task without a slot: %v after %s", err, time.Since(began))
				}
				for n, wait := range []func() (string, error){in, running, bob, trusted} {
					if _, err := wait(); err != nil {
						t.Error(n, err)
					}
				}
				if value, err := p.do(t.Context(), keyOf("later"), p.job(password.Suspect, "alice", "later")); value != "later" || err != nil {
					t.Error("after all had ended:", value, err)
				}
			})
		})
	}
}

// TestLoginAmongGuesses checks that a client with the right password succeeds
// within a few retries, although its attempts look like those of several
// clients that keep guessing at the same user.
func TestLoginAmongGuesses(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		stop := make(chan struct{})
		for n := range 4 {
			go func() {
				for try := 0; ; try++ {
					name := fmt.Sprint("guess ", n, try)
					_, _ = p.Do(t.Context(), keyOf(name), p.job(password.Suspect, "alice", name))
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(5+3*n) * time.Millisecond):
					}
				}
			}()
		}
		began := time.Now()
		for try := 0; ; try++ {
			value, err := p.do(t.Context(), keyOf("right"), p.job(password.Suspect, "alice", "right"))
			if value == "right" && err == nil {
				break
			}
			if time.Since(began) > 5*time.Second {
				t.Errorf("no success after %d tries", try)
				break
			}
			time.Sleep(107 * time.Millisecond)
		}
		close(stop)
		time.Sleep(time.Second)
	})
}
