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

	"keyward/authz"
	"keyward/verifier/password"
)

const hashTime = 30 * time.Millisecond

// poolFixture is a Pool whose jobs record their names. A hash takes hashTime by
// the clock of the synctest bubble.
type poolFixture struct {
	*password.Pool
	mu  sync.Mutex
	ran []string
}

func inBubble(t *testing.T, cfg password.Config, test func(t *testing.T, p *poolFixture)) {
	synctest.Test(t, func(t *testing.T) {
		if cfg.Workers == 0 {
			cfg.Workers = 1
		}
		p := &poolFixture{Pool: password.NewPool(cfg)}
		defer p.Close()
		test(t, p)
	})
}

func keyOf(name string) (key password.Key) {
	copy(key[:], name)
	return key
}

// job returns a job that records its name, and returns it as the stored hash.
func (p *poolFixture) job(class password.Class, owner, name string) func() (password.Job, error) {
	return p.slow(class, owner, name, hashTime)
}

func (p *poolFixture) slow(class password.Class, owner, name string, takes time.Duration) func() (password.Job, error) {
	return func() (password.Job, error) {
		return password.Job{Priority: password.Priority{Class: class}, User: owner, Verify: func() (authz.Secret, error) {
			p.mu.Lock()
			p.ran = append(p.ran, name)
			p.mu.Unlock()
			time.Sleep(takes)
			return authz.NewSecret(name), nil
		}}, nil
	}
}

// do is Do with the stored hash revealed.
func (p *poolFixture) do(ctx context.Context, key password.Key, admit func() (password.Job, error)) (string, error) {
	stored, err := p.Do(ctx, key, admit)
	return stored.Reveal(), err
}

// start calls Do on another goroutine, and waits until that blocks or ends.
func (p *poolFixture) start(ctx context.Context, name string, admit func() (password.Job, error)) func() (string, error) {
	var value string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		value, err = p.do(ctx, keyOf(name), admit)
	}()
	synctest.Wait()
	return func() (string, error) { <-done; return value, err }
}

func (p *poolFixture) order() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ran)
}

func TestEqualKeysShareOneHash(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		var waits []func() (string, error)
		for range 50 {
			waits = append(waits, p.start(t.Context(), "a", p.job(password.Unknown, "alice", "a")))
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
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		first := p.start(t.Context(), "a", p.job(password.Unknown, "alice", "a"))
		refuse := func() (password.Job, error) { return password.Job{}, errors.New("refused") }
		second := p.start(t.Context(), "a", refuse)
		for _, wait := range []func() (string, error){first, second} {
			if value, err := wait(); value != "a" || err != nil {
				t.Error(value, err)
			}
		}
		if value, err := p.do(t.Context(), keyOf("b"), refuse); value != "" || err == nil || err.Error() != "refused" {
			t.Error(value, err)
		}
	})
}

// TestCanceledCaller checks that a hash goes on after a caller has left, with
// or without other callers.
func TestCanceledCaller(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		ctx, cancel := context.WithCancel(t.Context())
		first := p.start(ctx, "a", p.job(password.Unknown, "alice", "a"))
		second := p.start(t.Context(), "a", p.job(password.Unknown, "alice", "a"))
		third := p.start(ctx, "b", p.job(password.Unknown, "bob", "b"))
		cancel()
		if _, err := first(); !errors.Is(err, password.ErrBusy) {
			t.Error("the caller that left:", err)
		}
		if value, err := second(); value != "a" || err != nil {
			t.Error("the caller that stayed:", value, err)
		}
		if _, err := third(); !errors.Is(err, password.ErrBusy) {
			t.Error(err)
		}
		time.Sleep(2 * hashTime)
		if ran := p.order(); !slices.Equal(ran, []string{"a", "b"}) {
			t.Error("computed", ran)
		}
		if _, err := p.Do(ctx, keyOf("c"), p.job(password.Trusted, "carol", "c")); !errors.Is(err, password.ErrBusy) {
			t.Error("a caller that has already left:", err)
		}
		synctest.Wait()
		if ran := p.order(); len(ran) != 2 {
			t.Error("computed for a caller that had already left:", ran)
		}
	})
}

// TestCallerTimeout checks that a caller waits until shortly before its
// deadline, and for 200 ms without one.
func TestCallerTimeout(t *testing.T) {
	for _, test := range []struct{ deadline, want time.Duration }{
		{0, 200 * time.Millisecond},
		{250 * time.Millisecond, 230 * time.Millisecond},
		{time.Second, 900 * time.Millisecond},
		{time.Minute, 900 * time.Millisecond},
		{10 * time.Millisecond, 0},
	} {
		inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
			ctx := t.Context()
			if test.deadline > 0 {
				limited, cancel := context.WithTimeout(ctx, test.deadline)
				defer cancel()
				ctx = limited
			}
			began := time.Now()
			if _, err := p.Do(ctx, keyOf("a"), p.slow(password.Trusted, "a", "a", time.Minute)); !errors.Is(err, password.ErrBusy) {
				t.Error(err)
			}
			if waited := time.Since(began); waited != test.want {
				t.Errorf("with %s: waited %s, want %s", test.deadline, waited, test.want)
			}
		})
	}
}

func TestPanicIsAnError(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		for range 2 {
			_, err := p.Do(t.Context(), keyOf("a"), func() (password.Job, error) {
				return password.Job{User: "alice", Verify: func() (authz.Secret, error) { panic("hunter2") }}, nil
			})
			if err == nil || errors.Is(err, password.ErrBusy) || err.Error() != "password: hashing panicked" {
				t.Errorf("error %v", err)
			}
		}
		if value, err := p.do(t.Context(), keyOf("a"), p.job(password.Suspect, "alice", "a")); value != "a" || err != nil {
			t.Error("after a panic:", value, err)
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, password.Config{}, func(t *testing.T, p *poolFixture) {
		running := p.start(t.Context(), "a", p.job(password.Unknown, "a", "a"))
		queued := p.start(t.Context(), "b", p.job(password.Trusted, "b", "b"))
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
		if _, err := p.Do(t.Context(), keyOf("c"), p.job(password.Trusted, "c", "c")); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("after the end: %v after %s", err, time.Since(began))
		}
		if ran := p.order(); !slices.Equal(ran, []string{"a"}) {
			t.Error("computed", ran)
		}
	})
}

func TestWorkers(t *testing.T) {
	inBubble(t, password.Config{Workers: 3}, func(t *testing.T, p *poolFixture) {
		var waits []func() (string, error)
		for n := range 5 {
			name := fmt.Sprint(n)
			waits = append(waits, p.start(t.Context(), name, p.job(password.Unknown, name, name)))
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
	p := password.NewPool(password.Config{})
	defer p.Close()
	if want := max(1, runtime.GOMAXPROCS(0)/2); p.Workers() != want {
		t.Errorf("%d workers, want %d", p.Workers(), want)
	}
}
