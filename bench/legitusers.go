package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"keyward/bench/loadgen"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// legitUsers are users of one kind with correct passwords, who log in during a
// flood.
type legitUsers struct {
	kind   string
	what   string
	users  int
	every  time.Duration      // time between two attempts of a user
	once   bool               // stop after the first success
	client func(n int) string // address of the user's client

	mu              sync.Mutex
	tries, admitted int
	waits           map[int]time.Duration // time until a user was first allowed
}

const guessedUsers = 10 // users whose passwords the flood guesses

// legitUserKinds returns users who logged in before the flood, and all other
// kinds.
func legitUserKinds() []*legitUsers {
	from := func(network string) func(int) string {
		return func(n int) string { return fmt.Sprint(network, n+1) }
	}
	return []*legitUsers{
		{kind: "regular", what: "known passwords, hashed again", users: 10, every: 2 * time.Second, client: from("192.0.2.")},
		{kind: "newcomer", what: "new passwords", users: 10, every: time.Second, once: true, client: from("198.51.100.")},
		{kind: "target", what: "new passwords of users whose passwords are guessed", users: guessedUsers, every: time.Second, once: true, client: from("203.0.113.")},
		{kind: "office", what: "new passwords behind one address", users: 40, every: time.Second, once: true, client: func(int) string { return "198.18.0.1" }},
	}
}

func (v *legitUsers) user(n int) string     { return fmt.Sprint(v.kind, n) }
func (v *legitUsers) password(n int) string { return fmt.Sprint("correct horse of ", v.kind, " ", n) }

// logIn logs in each user once, before the flood.
func (v *legitUsers) logIn(c *loadgen.Client) error {
	for n := range v.users {
		for in := false; !in; {
			var err error
			if in, err = v.attempt(c, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// attempt makes one check, with Envoy's default timeout.
func (v *legitUsers) attempt(c *loadgen.Client, n int) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	answer, err := c.Status(ctx, 0, loadgen.NewLoginRequest(v.user(n), v.password(n), v.client(n)))
	switch {
	case status.Code(err) == codes.DeadlineExceeded:
		return false, nil
	case err == nil && answer != 200 && answer != 503:
		return false, fmt.Errorf("a correct password got status %d", answer)
	}
	return answer == 200, err
}

func (v *legitUsers) start(c *loadgen.Client) func(stop <-chan struct{}) error {
	v.waits = map[int]time.Duration{}
	return func(stop <-chan struct{}) error {
		errs := make([]error, v.users)
		var wg sync.WaitGroup
		for n := range v.users {
			wg.Go(func() { errs[n] = v.retry(c, n, stop) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
}

// retry makes the attempts of one user until the flood is over.
func (v *legitUsers) retry(c *loadgen.Client, n int, stop <-chan struct{}) error {
	time.Sleep(v.every * time.Duration(n) / time.Duration(v.users)) // spread the users over the interval
	start := time.Now()
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		in, err := v.attempt(c, n)
		if err != nil {
			return err
		}
		if v.count(n, in, time.Since(start)) && v.once {
			return nil
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}

func (v *legitUsers) count(n int, in bool, after time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tries++
	if in {
		v.admitted++
		if _, before := v.waits[n]; !before {
			v.waits[n] = after
		}
	}
	return in
}

func (v *legitUsers) print(b *bench) {
	b.row("%s: allowed, of %d tries", v.what, v.tries, v.admitted)
	var waits []time.Duration
	for _, wait := range v.waits {
		waits = append(waits, wait)
	}
	if len(waits) > 0 {
		slices.Sort(waits)
		b.row("  users allowed, of %d; half after %s, the last after %s", v.users,
			waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond), len(waits))
	}
}
