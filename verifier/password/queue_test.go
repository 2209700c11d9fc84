package password_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"keyward/verifier/password"
)

func TestWhoGoesFirst(t *testing.T) {
	inBubble(t, password.Config{MaxWait: time.Second}, func(t *testing.T, p *pool) {
		waits := []func() (string, error){
			p.start(t.Context(), "0", p.job(password.Unknown, "0", "running")),
			p.start(t.Context(), "1", p.job(password.Suspect, "1", "suspected 1")),
			p.start(t.Context(), "2", p.job(password.Suspect, "2", "suspected 2")),
			p.start(t.Context(), "3", p.job(password.Unknown, "3", "unsuspected 1")),
			p.start(t.Context(), "4", p.job(password.Trusted, "4", "familiar 1")),
			p.start(t.Context(), "5", p.job(password.Unknown, "5", "unsuspected 2")),
			p.start(t.Context(), "6", p.job(password.Trusted, "6", "familiar 2")),
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		// Who has been passed over three times is next.
		want := []string{"running", "familiar 1", "familiar 2", "unsuspected 1", "suspected 1", "unsuspected 2", "suspected 2"}
		if ran := p.order(); !slices.Equal(ran, want) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestNobodyIsPassedOverForEver: every fourth turn is a lower class's, of its first and of its last in turns.
func TestNobodyIsPassedOverForEver(t *testing.T) {
	inBubble(t, password.Config{MaxWait: 2 * time.Second}, func(t *testing.T, p *pool) {
		var waits []func() (string, error)
		for n := range 9 {
			name := fmt.Sprint("unsuspected ", n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Unknown, name, name)))
		}
		for n := range 3 {
			name := fmt.Sprint("suspected ", n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Suspect, name, name)))
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		want := []string{"unsuspected 0", "unsuspected 1", "unsuspected 2", "unsuspected 3", "suspected 0",
			"unsuspected 4", "unsuspected 5", "unsuspected 6", "suspected 2", "unsuspected 7", "unsuspected 8", "suspected 1"}
		if ran := p.order(); !slices.Equal(ran, want) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestFamiliarOnesAreNeverLate: they are computed before others, to be there when they are asked for again.
func TestFamiliarOnesAreNeverLate(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 250*time.Millisecond))
		familiar := p.start(t.Context(), "familiar", p.job(password.Trusted, "a", "familiar"))
		time.Sleep(199 * time.Millisecond)
		other := p.start(t.Context(), "other", p.job(password.Unknown, "b", "other"))
		if _, err := familiar(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		if _, err := other(); err != nil {
			t.Error(err)
		}
		if ran := p.order(); !slices.Equal(ran, []string{"long", "familiar", "other"}) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestLessSuspicion goes before more, and pushes it out where there is no room for both.
func TestLessSuspicion(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 3, MaxWait: time.Second}, func(t *testing.T, p *pool) {
		job := func(name string, suspicion time.Duration) func() (string, error) {
			return p.start(t.Context(), name, func() (password.Job, error) {
				job, err := p.job(password.Unknown, name, name)()
				job.Priority.Penalty = suspicion
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
			t.Errorf("the name of who was pushed out: %v", err)
		}
	})
}

// TestRoom: a full queue refuses at once, and no class takes another's room.
func TestRoom(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 2}, func(t *testing.T, p *pool) {
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
			t.Errorf("a class that is none: %v", err)
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLateJobs: when nobody waits any more who has the time for a hash, others go
// first, and take the room. What is left is computed for the one who asks again, but not for long.
func TestLateJobs(t *testing.T) {
	inBubble(t, password.Config{QueueSize: 2}, func(t *testing.T, p *pool) {
		long := p.start(t.Context(), "long", p.slow(password.Unknown, "l", "long", 220*time.Millisecond))
		p.start(t.Context(), "late", p.job(password.Unknown, "late", "late"))
		out := p.start(t.Context(), "out", p.job(password.Trusted, "out", "out"))
		time.Sleep(150 * time.Millisecond)
		began := time.Now()
		first := p.start(t.Context(), "first", p.job(password.Suspect, "first", "first"))
		p.start(t.Context(), "second", p.slow(password.Trusted, "second", "second", 10*time.Millisecond))
		p.start(t.Context(), "third", p.slow(password.Trusted, "third", "third", 10*time.Millisecond))
		if _, err := out(); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("who had no room: %v after %s", err, time.Since(began))
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
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
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

// TestLateJobOfAUser gives way to whoever comes.
func TestLateJobOfAUser(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
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

// TestWhoJoinsLater has a job begun in time that is too late for the first.
func TestWhoJoinsLater(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
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
