package password_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyward/password"
)

const hashTime = 30 * time.Millisecond

// pool is a Pool whose hashes take hashTime of the bubble's clock, or until
// they are let go.
type pool struct {
	*password.Pool[string]
	mu  sync.Mutex
	ran []string
}

func inBubble(t *testing.T, cfg password.Config, test func(t *testing.T, p *pool)) {
	synctest.Test(t, func(t *testing.T) {
		if cfg.Workers == 0 {
			cfg.Workers = 1
		}
		p := &pool{Pool: password.NewPool[string](cfg)}
		defer p.Close()
		test(t, p)
	})
}

func keyOf(name string) (key password.Key) {
	copy(key[:], name)
	return key
}

// job is one that says its name when it is done.
func (p *pool) job(class password.Class, owner, name string) func() (password.Job[string], error) {
	return p.slow(class, owner, name, hashTime)
}

func (p *pool) slow(class password.Class, owner, name string, takes time.Duration) func() (password.Job[string], error) {
	return func() (password.Job[string], error) {
		return password.Job[string]{Standing: password.Standing{Class: class}, Owner: owner, Run: func() (string, error) {
			p.mu.Lock()
			p.ran = append(p.ran, name)
			p.mu.Unlock()
			time.Sleep(takes)
			return name, nil
		}}, nil
	}
}

// start calls Do on a goroutine of its own and waits until it has come as far as it can.
func (p *pool) start(ctx context.Context, name string, admit func() (password.Job[string], error)) func() (string, error) {
	var value string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = p.Do(ctx, keyOf(name), admit)
	}()
	synctest.Wait()
	return func() (string, error) { <-done; return value, err }
}

func (p *pool) order() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ran)
}

func TestEqualsShareOneComputation(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		var waits []func() (string, error)
		for range 50 {
			waits = append(waits, p.start(t.Context(), "a", p.job(password.Unsuspected, "alice", "a")))
		}
		if p.InFlight() != 1 {
			t.Errorf("%d in flight", p.InFlight())
		}
		for _, wait := range waits {
			if value, err := wait(); value != "a" || err != nil {
				t.Fatal(value, err)
			}
		}
		if ran := p.order(); len(ran) != 1 {
			t.Errorf("computed %d times", len(ran))
		}
		synctest.Wait()
		if p.InFlight() != 0 {
			t.Errorf("%d in flight at the end", p.InFlight())
		}
	})
}

func TestOnlyTheFirstIsAdmitted(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		first := p.start(t.Context(), "a", p.job(password.Unsuspected, "alice", "a"))
		refuse := func() (password.Job[string], error) { return password.Job[string]{}, errors.New("refused") }
		second := p.start(t.Context(), "a", refuse)
		for _, wait := range []func() (string, error){first, second} {
			if value, err := wait(); value != "a" || err != nil {
				t.Error(value, err)
			}
		}
		if value, err := p.Do(t.Context(), keyOf("b"), refuse); value != "" || err == nil || err.Error() != "refused" {
			t.Error(value, err)
		}
	})
}

// TestACallerThatLeaves: the hash goes on for the others, and for nobody.
func TestACallerThatLeaves(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		ctx, cancel := context.WithCancel(t.Context())
		first := p.start(ctx, "a", p.job(password.Unsuspected, "alice", "a"))
		second := p.start(t.Context(), "a", p.job(password.Unsuspected, "alice", "a"))
		third := p.start(ctx, "b", p.job(password.Unsuspected, "bob", "b"))
		cancel()
		if _, err := first(); !errors.Is(err, password.ErrBusy) {
			t.Error("who left:", err)
		}
		if value, err := second(); value != "a" || err != nil {
			t.Error("who stayed:", value, err)
		}
		if _, err := third(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		time.Sleep(2 * hashTime)
		if ran := p.order(); !slices.Equal(ran, []string{"a", "b"}) {
			t.Error("computed", ran)
		}
		if _, err := p.Do(ctx, keyOf("c"), p.job(password.Familiar, "carol", "c")); !errors.Is(err, password.ErrBusy) {
			t.Error("one that has left already:", err)
		}
		synctest.Wait()
		if ran := p.order(); len(ran) != 2 {
			t.Error("computed for one that had left already:", ran)
		}
	})
}

func TestOneJobAUser(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		running := p.start(t.Context(), "a", p.job(password.Unsuspected, "alice", "a"))
		queued := p.start(t.Context(), "b", p.job(password.Suspected, "bob", "b"))
		for _, owner := range []string{"alice", "bob"} {
			for _, class := range []password.Class{password.Suspected, password.Unsuspected} {
				if _, err := p.Do(t.Context(), keyOf("x"), p.job(class, owner, "x")); !errors.Is(err, password.ErrBusy) {
					t.Errorf("second job of %s: %v", owner, err)
				}
			}
		}
		familiar := p.start(t.Context(), "c", p.job(password.Familiar, "bob", "c"))
		for _, wait := range []func() (string, error){running, queued, familiar} {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		if value, err := p.Do(t.Context(), keyOf("d"), p.job(password.Suspected, "bob", "d")); value != "d" || err != nil {
			t.Error("after the first had ended:", value, err)
		}
	})
}

func TestWhoGoesFirst(t *testing.T) {
	inBubble(t, password.Config{MaxQueued: time.Second, MaxWait: time.Second}, func(t *testing.T, p *pool) {
		waits := []func() (string, error){
			p.start(t.Context(), "0", p.job(password.Unsuspected, "0", "running")),
			p.start(t.Context(), "1", p.job(password.Suspected, "1", "suspected 1")),
			p.start(t.Context(), "2", p.job(password.Suspected, "2", "suspected 2")),
			p.start(t.Context(), "3", p.job(password.Unsuspected, "3", "unsuspected 1")),
			p.start(t.Context(), "4", p.job(password.Familiar, "4", "familiar 1")),
			p.start(t.Context(), "5", p.job(password.Unsuspected, "5", "unsuspected 2")),
			p.start(t.Context(), "6", p.job(password.Familiar, "6", "familiar 2")),
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
		want := []string{"running", "familiar 1", "familiar 2", "unsuspected 1", "unsuspected 2", "suspected 1", "suspected 2"}
		if ran := p.order(); !slices.Equal(ran, want) {
			t.Errorf("order %q", ran)
		}
	})
}

// TestLessSuspicion goes before more, and pushes it out where there is no room for both.
func TestLessSuspicion(t *testing.T) {
	inBubble(t, password.Config{Room: 3, MaxQueued: time.Second, MaxWait: time.Second}, func(t *testing.T, p *pool) {
		job := func(name string, suspicion time.Duration) func() (string, error) {
			return p.start(t.Context(), name, func() (password.Job[string], error) {
				job, err := p.job(password.Unsuspected, name, name)()
				job.Standing.Suspicion = suspicion
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
	inBubble(t, password.Config{Room: 2}, func(t *testing.T, p *pool) {
		waits := []func() (string, error){p.start(t.Context(), "running", p.job(password.Unsuspected, "running", "running"))}
		for _, class := range []password.Class{password.Suspected, password.Unsuspected, password.Familiar} {
			for n := range 2 {
				name := fmt.Sprint(class, n)
				waits = append(waits, p.start(t.Context(), name, p.slow(class, name, name, time.Millisecond)))
			}
			began := time.Now()
			if _, err := p.Do(t.Context(), keyOf("more"), p.job(class, "more", "more")); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
				t.Errorf("class %d: %v after %s", class, err, time.Since(began))
			}
		}
		if _, err := p.Do(t.Context(), keyOf("none"), p.job(password.Familiar+1, "none", "none")); !errors.Is(err, password.ErrBusy) {
			t.Errorf("a class that is none: %v", err)
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLateJobsAreDropped: what waited for too long is not computed any more and makes room.
func TestLateJobsAreDropped(t *testing.T) {
	inBubble(t, password.Config{Room: 1}, func(t *testing.T, p *pool) {
		long := p.start(t.Context(), "long", p.slow(password.Unsuspected, "l", "long", time.Second))
		late := p.start(t.Context(), "late", p.job(password.Unsuspected, "late", "late"))
		time.Sleep(101 * time.Millisecond)
		began := time.Now()
		next := p.start(t.Context(), "next", p.job(password.Unsuspected, "late", "next")) // the name is free again, too
		if _, err := late(); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("late: %v after %s more", err, time.Since(began))
		}
		for _, wait := range []func() (string, error){long, next} {
			began := time.Now()
			if _, err := wait(); !errors.Is(err, password.ErrBusy) || time.Since(began) > 200*time.Millisecond {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		}
		time.Sleep(2 * time.Second)
		if ran := p.order(); !slices.Equal(ran, []string{"long"}) {
			t.Error("computed", ran)
		}
	})
}

func TestNobodyWaitsForLong(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		began := time.Now()
		if _, err := p.Do(t.Context(), keyOf("a"), p.slow(password.Familiar, "a", "a", time.Minute)); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		if waited := time.Since(began); waited != 200*time.Millisecond {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		for range 2 {
			_, err := p.Do(t.Context(), keyOf("a"), func() (password.Job[string], error) {
				return password.Job[string]{Owner: "alice", Run: func() (string, error) { panic("hunter2") }}, nil
			})
			if err == nil || errors.Is(err, password.ErrBusy) || err.Error() != "password: hashing panicked" {
				t.Errorf("error %v", err)
			}
		}
		if value, err := p.Do(t.Context(), keyOf("a"), p.job(password.Suspected, "alice", "a")); value != "a" || err != nil {
			t.Error("after a panic:", value, err)
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *pool) {
		running := p.start(t.Context(), "a", p.job(password.Unsuspected, "a", "a"))
		queued := p.start(t.Context(), "b", p.job(password.Familiar, "b", "b"))
		began := time.Now()
		p.Close()
		if waited := time.Since(began); waited != hashTime {
			t.Errorf("closed after %s", waited)
		}
		if value, err := running(); value != "a" || err != nil {
			t.Error(value, err)
		}
		if _, err := queued(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		began = time.Now()
		if _, err := p.Do(t.Context(), keyOf("c"), p.job(password.Familiar, "c", "c")); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("after the end: %v after %s", err, time.Since(began))
		}
		if ran := p.order(); !slices.Equal(ran, []string{"a"}) {
			t.Error("computed", ran)
		}
	})
}

func TestWorkers(t *testing.T) {
	inBubble(t, password.Config{Workers: 3}, func(t *testing.T, p *pool) {
		var waits []func() (string, error)
		for n := range 5 {
			name := fmt.Sprint(n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Unsuspected, name, name)))
		}
		if p.InFlight() != 3 || p.Workers() != 3 {
			t.Errorf("%d of %d in flight", p.InFlight(), p.Workers())
		}
		for _, wait := range waits {
			if _, err := wait(); err != nil {
				t.Error(err)
			}
		}
	})
	p := password.NewPool[string](password.Config{})
	defer p.Close()
	if want := max(1, runtime.GOMAXPROCS(0)/2); p.Workers() != want {
		t.Errorf("%d workers, want %d", p.Workers(), want)
	}
}
