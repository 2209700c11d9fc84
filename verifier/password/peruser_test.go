package password_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"keyward/verifier/password"
)

// standing gives a job a standing of its own.
func standing(s password.Priority, admit func() (password.Job, error)) func() (password.Job, error) {
	return func() (password.Job, error) {
		job, err := admit()
		job.Priority = s
		return job, err
	}
}

// TestTwoJobsAUser: one running and one waiting, which gives way to a newcomer that is no worse.
func TestTwoJobsAUser(t *testing.T) {
	const second = time.Second
	for _, test := range []struct {
		name              string
		waiting, newcomer password.Priority
		in                bool
	}{
		{"less suspicion", password.Priority{Class: password.Suspect, Penalty: 2 * second}, password.Priority{Class: password.Suspect, Penalty: second}, true},
		{"the same suspicion", password.Priority{Class: password.Suspect, Penalty: second}, password.Priority{Class: password.Suspect, Penalty: second}, true},
		{"more suspicion", password.Priority{Class: password.Suspect, Penalty: second}, password.Priority{Class: password.Suspect, Penalty: 2 * second}, false},
		{"a better class", password.Priority{Class: password.Suspect}, password.Priority{Class: password.Unknown, Penalty: second}, true},
		{"a worse class", password.Priority{Class: password.Unknown, Penalty: second}, password.Priority{Class: password.Suspect}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, password.Config{Workers: 3}, func(t *testing.T, p *pool) {
				running := p.start(t.Context(), "running", p.job(password.Unknown, "alice", "running"))
				waiting := p.start(t.Context(), "waiting", standing(test.waiting, p.job(0, "alice", "waiting")))
				began := time.Now()
				newcomer := p.start(t.Context(), "newcomer", standing(test.newcomer, p.job(0, "alice", "newcomer")))
				bob := p.start(t.Context(), "bob", p.job(password.Unknown, "bob", "bob"))
				familiar := p.start(t.Context(), "familiar", p.job(password.Trusted, "alice", "familiar"))
				if p.InFlight() != 3 {
					t.Errorf("%d in flight, want alice's one, bob's and the familiar one", p.InFlight())
				}
				in, out := waiting, newcomer
				if test.in {
					in, out = newcomer, waiting
				}
				if _, err := out(); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
					t.Errorf("who is not in: %v after %s", err, time.Since(began))
				}
				for n, wait := range []func() (string, error){in, running, bob, familiar} {
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

// TestOneAmongGuessers: who knows the password gets a turn within a few tries, though nothing
// tells its attempts from those of some who guess at the name all the time.
func TestOneAmongGuessers(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
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
				t.Errorf("not in after %d tries", try)
				break
			}
			time.Sleep(107 * time.Millisecond)
		}
		close(stop)
		time.Sleep(time.Second)
	})
}
