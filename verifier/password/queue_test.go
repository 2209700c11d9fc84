package password_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"keyward/verifier/password"
)

func TestClassOrder(t *testing.T) {
	inBubble(t, password.Config{MaxWait: time.Second}, func(t *testing.T, p *poolFixture) {
		waits := []func() (string, error){
			p.start(t.Context(), "0", p.job(password.Unknown, "0", "running")),
			p.start(t.Context(), "1", p.job(password.Suspect, "1", "suspect 1")),
			p.start(t.Context(), "2", p.job(password.Suspect, "2", "suspect 2")),
			p.start(t.Context(), "3", p.job(password.Unknown, "3", "unknown 1")),
			p.start(t.Context(), "4", p.job(password.Trusted, "4", "trusted 1")),
			p.start(t.Context(), "5", p.job(password.Unknown, "5", "unknown 2")),
			p.start(t.Context(), "6", p.job(password.Trusted, "6", "trusted 2")),
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		// A lower class goes next after three skips.
		want := []string{"running", "trusted 1", "trusted 2", "unknown 1", "suspect 1", "unknown 2", "suspect 2"}
		if ran := p.order(); !slices.Equal(ran, want) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestLowerClassesDoNotStarve checks that every fourth turn goes to a lower
// class, to its first and its last task alternately.
func TestLowerClassesDoNotStarve(t *testing.T) {
	inBubble(t, password.Config{MaxWait: 2 * time.Second}, func(t *testing.T, p *poolFixture) {
		var waits []func() (string, error)
		for n := range 9 {
			name := fmt.Sprint("unknown ", n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Unknown, name, name)))
		}
		for n := range 3 {
			name := fmt.Sprint("suspect ", n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Suspect, name, name)))
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		want := []string{"unknown 0", "unknown 1", "unknown 2", "unknown 3", "suspect 0",
			"unknown 4", "unknown 5", "unknown 6", "suspect 2", "unknown 7", "unknown 8", "suspect 1"}
		if ran := p.order(); !slices.Equal(ran, want) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestTrustedTasksAreNeverLate checks that trusted tasks are computed before
// others even after their deadline, for the retry.
func TestTrustedTasksAreNeverLate(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 250*time.Millisecond))
		trusted := p.start(t.Context(), "trusted", p.job(password.Trusted, "a", "trusted"))
		time.Sleep(199 * time.Millisecond)
		other := p.start(t.Context(), "other", p.job(password.Unknown, "b", "other"))
		if _, err := trusted(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		if _, err := other(); err != nil {
			t.Error(err)
		}
		if ran := p.order(); !slices.Equal(ran, []string{"long", "trusted", "other"}) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestPenaltyOrdersTasks checks that a task with a lower penalty goes before
// one with a higher penalty, and replaces it in a full queue.
func TestPenaltyOrdersTasks(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 3, MaxWait: time.Second}, func(t *testing.T, p *poolFixture) {
		job := func(name string, penalty time.Duration) func() (string, error) {
			return p.start(t.Context(), name, func() (password.Job, error) {
				job, err := p.job(password.Unknown, name, name)()
				job.Priority.Penalty = penalty
				return job, err
			})
		}
		answers := map[string]func() (string, error){
			"running": job("running", time.Hour), "much": job("much", 2*time.Second), "some": job("some", time.Second),
			"none": job("none", 0), "more": job("more", 2*time.Second), "same": job("same", time.Second),
		}
		for name, answer := range answers {
			if _, err := answer(); (err == nil) != (name != "much" && name != "more") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if ran := p.order(); !slices.Equal(ran, []string{"running", "none", "some", "same"}) {
			t.Errorf("order %q", ran)
		}
		if value, err := job("much", 0)(); value != "much" || err != nil {
			t.Errorf("the key of a dropped task: %v", err)
		}
	})
}

// TestQueueSize checks that a full queue refuses at once, and that each class
// has its own queue.
func TestQueueSize(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 2}, func(t *testing.T, p *poolFixture) {
		waits := []func() (string, error){p.start(t.Context(), "running", p.job(password.Unknown, "running", "running"))}
		for _, class := range []password.Class{password.Suspect, password.Unknown, password.Trusted} {
			for n := range 2 {
				name := fmt.Sprint(class, n)
				waits = append(waits, p.start(t.Context(), name, p.slow(class, name, name, time.Millisecond)))
			}
			began := time.Now()
			if _, err := p.Do(t.Context(), keyOf("more"), p.job(class, "more", "more")); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
				t.Errorf("class %d: %v after %s", class, err, time.Since(began))
			}
		}
		if _, err := p.Do(t.Context(), keyOf("none"), p.job(password.Trusted+1, "none", "none")); !errors.Is(err, password.ErrBusy) {
			t.Errorf("an invalid class: %v", err)
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLateTasks checks that tasks whose callers have no time left for a hash go
// behind others and lose their place. If they are still queued they are
// computed for the retry, but not for long.
func TestLateTasks(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 2}, func(t *testing.T, p *poolFixture) {
		long := p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 220*time.Millisecond))
		p.start(t.Context(), "late", p.job(password.Unknown, "late", "late"))
		out := p.start(t.Context(), "out", p.job(password.Trusted, "out", "out"))
		time.Sleep(150 * time.Millisecond)
		began := time.Now()
		first := p.start(t.Context(), "first", p.job(password.Suspect, "first", "first"))
		p.start(t.Context(), "second", p.slow(password.Trusted, "second", "second", 10*time.Millisecond))
		p.start(t.Context(), "third", p.slow(password.Trusted, "third", "third", 10*time.Millisecond))
		if _, err := out(); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("the task that was dropped: %v after %s", err, time.Since(began))
		}
		if _, err := long(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		if _, err := first(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if ran := p.order(); !slices.Equal(ran, []string{"long", "second", "third", "first", "late"}) {
			t.Errorf("order %q", ran)
		}
	})
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 3*time.Second))
		late := p.start(t.Context(), "late", p.job(password.Unknown, "late", "late"))
		if _, err := late(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		time.Sleep(4 * time.Second)
		if ran := p.order(); !slices.Equal(ran, []string{"long"}) {
			t.Error("computed", ran)
		}
	})
}

// TestLateTaskOfAUser checks that any newcomer replaces a late task of the same
// user.
func TestLateTaskOfAUser(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 150*time.Millisecond))
		late := p.start(t.Context(), "late", p.job(password.Unknown, "alice", "late"))
		time.Sleep(100 * time.Millisecond)
		next := p.start(t.Context(), "next", p.job(password.Suspect, "alice", "next"))
		if _, err := late(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		if _, err := next(); err != nil {
			t.Error(err)
		}
	})
}

// TestJoinExtendsDeadline checks that a later caller extends the deadline of a
// task.
func TestJoinExtendsDeadline(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 190*time.Millisecond))
		p.start(t.Context(), "a", p.job(password.Unknown, "a", "a"))
		time.Sleep(180 * time.Millisecond)
		joined := p.start(t.Context(), "a", p.job(password.Unknown, "a", "a"))
		p.start(t.Context(), "b", p.job(password.Unknown, "b", "b"))
		if value, err := joined(); value != "a" || err != nil {
			t.Error(value, err)
		}
		time.Sleep(time.Second)
		if ran := p.order(); !slices.Equal(ran, []string{"long", "a", "b"}) {
			t.Errorf("order %q", ran)
		}
	})
}
