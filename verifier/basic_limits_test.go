package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/keystore"
	"keyward/password"
)

// someUsers is a store of users that stay as they are.
type someUsers map[string]*keystore.User

func (someUsers) Ready() error { return nil }
func (u someUsers) Lookup(name string) (*keystore.User, bool) {
	user, found := u[name]
	return user, found
}

const hashTime = 30 * time.Millisecond

// inBubble has users alice to erin, whose password is their name's, and one
// worker, whose hashes take hashTime.
func inBubble(t *testing.T, test func(t *testing.T, d *door)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		users := someUsers{}
		for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
			users[name] = &keystore.User{Name: name, Password: authz.NewSecret("hash of " + name + "'s")}
		}
		d.users = users
		d.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(hashTime)
			return fakeVerify(hash, password)
		}
		d.openWith(password.Config{Workers: 1})
		defer d.pool.Close()
		test(t, d)
	})
}

// start knocks on a goroutine of its own and waits until that has come as far as it can.
func (d *door) start(ctx context.Context, user, password, client string) func() authz.Reason {
	answer := make(chan authz.Reason, 1)
	go func() {
		_, reason := d.knockWith(ctx, user, password, client)
		answer <- reason
	}()
	synctest.Wait()
	return func() authz.Reason { return <-answer }
}

func TestEqualPasswordsAreHashedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		var answers []func() authz.Reason
		for range 50 { // from one address, whose budget is ten
			answers = append(answers, d.start(t.Context(), "alice", "alice's", "192.0.2.1"))
		}
		for _, answer := range answers {
			if got := answer(); got != authz.OK {
				t.Errorf("one of many: %s", got)
			}
		}
		if n := d.hashes(); n != 1 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestWhoLeavesTakesNothingAlong: the others get their answer, and the retry gets it from the cache.
func TestWhoLeavesTakesNothingAlong(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		ctx, cancel := context.WithCancel(t.Context())
		first := d.start(ctx, "alice", "alice's", "")
		second := d.start(t.Context(), "alice", "alice's", "")
		alone := d.start(ctx, "bob", "bob's", "")
		cancel()
		if got := first(); got != authz.Overloaded {
			t.Errorf("who left: %s", got)
		}
		if got := alone(); got != authz.Overloaded {
			t.Errorf("who left: %s", got)
		}
		if got := second(); got != authz.OK {
			t.Errorf("who stayed: %s", got)
		}
		time.Sleep(hashTime)
		d.is("bob", "bob's", authz.OK, 0)
	})
}

func TestGuessesFromOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		d.from("192.0.2.9", "alice", "alice's", authz.OK, 1)
		for n := range 10 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		d.from("192.0.2.1", "user", "wrong", authz.RateLimited, 0)
		d.from("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		d.from("192.0.2.2", "bob", "bob's", authz.OK, 1)
		// What is cached is neither refused nor counted.
		for range 20 {
			d.from("192.0.2.1", "alice", "alice's", authz.OK, 0)
		}
		d.now = d.now.Add(10 * time.Second)
		d.from("192.0.2.1", "carol", "carol's", authz.OK, 1)
		d.from("192.0.2.1", "dave", "dave's", authz.OK, 1) // a right one is given back
		d.from("192.0.2.1", "erin", "wrong", authz.WrongPassword, 1)
		d.from("192.0.2.1", "erin", "erin's", authz.RateLimited, 0)
	})
}

// TestFamiliarPasswords are not refused for what others behind their address do, also after the cache forgot them.
func TestFamiliarPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		d.from("192.0.2.1", "alice", "alice's", authz.OK, 1)
		d.now = d.now.Add(d.ttl)
		for n := range 10 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		d.from("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		d.from("192.0.2.1", "alice", "wrong", authz.RateLimited, 0)
		d.from("192.0.2.1", "alice", "alice's", authz.OK, 1)
		// One that has become wrong is familiar no longer.
		d.users.(someUsers)["alice"] = &keystore.User{Name: "alice", Password: authz.NewSecret("hash of another")}
		d.now = d.now.Add(d.ttl)
		d.is("alice", "alice's", authz.WrongPassword, 1)
		for n := range 10 {
			d.knock(fmt.Sprint("user", n), "wrong", "192.0.2.1")
		}
		d.from("192.0.2.1", "alice", "alice's", authz.RateLimited, 0)
	})
}

// TestGuessesAtOneUser keep nobody out who knows the password, but go behind others.
func TestGuessesAtOneUser(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		for n := range 12 {
			d.from(fmt.Sprintf("192.0.%d.1", n), "alice", "wrong", authz.WrongPassword, 1)
		}
		d.from("198.51.100.1", "alice", "alice's", authz.OK, 1)

		d.now = d.now.Add(d.ttl)
		for n := range 12 {
			d.from(fmt.Sprintf("192.0.%d.1", n), "bob", "wrong", authz.WrongPassword, 1)
		}
		d.hashes()
		answers := []func() authz.Reason{
			d.start(t.Context(), "erin", "erin's", "198.51.100.1"), // being hashed
			d.start(t.Context(), "bob", "bob's", "198.51.100.2"),   // the name is suspected
			d.start(t.Context(), "carol", "carol's", "198.51.100.3"),
			d.start(t.Context(), "alice", "alice's", "198.51.100.4"), // was right before
		}
		for n, answer := range answers {
			if got := answer(); got != authz.OK {
				t.Errorf("%d: %s", n, got)
			}
		}
		var order []string
		for _, hash := range d.hashed {
			order = append(order, hash.Reveal())
		}
		if want := []string{"hash of erin's", "hash of alice's", "hash of carol's", "hash of bob's"}; !slices.Equal(order, want) {
			t.Errorf("hashed in the order %q", order)
		}
	})
}

// TestOneGuessAtATime: a flood on one name leaves room for the others.
func TestOneGuessAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		d.is("alice", "alice's", authz.OK, 1)
		d.now = d.now.Add(d.ttl)
		guess := d.start(t.Context(), "alice", "guess", "")
		for n := range 100 {
			if got := d.start(t.Context(), "alice", fmt.Sprint("guess ", n), "")(); got != authz.Overloaded {
				t.Errorf("another guess meanwhile: %s", got)
			}
		}
		same := d.start(t.Context(), "alice", "guess", "")
		right := d.start(t.Context(), "alice", "alice's", "")
		other := d.start(t.Context(), "bob", "bob's", "")
		for _, test := range []struct {
			answer func() authz.Reason
			want   authz.Reason
		}{{guess, authz.WrongPassword}, {same, authz.WrongPassword}, {right, authz.OK}, {other, authz.OK}} {
			if got := test.answer(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		}
		if n := d.hashes(); n != 3 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestOverloadedAttemptsCount against their address.
func TestOverloadedAttemptsCount(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		guess := d.start(t.Context(), "alice", "guess", "192.0.2.1")
		for n := range 9 {
			d.from("192.0.2.1", "alice", fmt.Sprint("guess ", n), authz.Overloaded, 0)
		}
		d.from("192.0.2.1", "alice", "one more", authz.RateLimited, 0)
		if got := guess(); got != authz.WrongPassword {
			t.Errorf("the first: %s", got)
		}
		d.is("alice", "alice's", authz.OK, 1)
	})
}

// TestNobodyWaitsForAHashForLong: shorter than Envoy does, and the retry finds what was computed.
func TestNobodyWaitsForAHashForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		d.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(time.Second)
			return fakeVerify(hash, password)
		}
		began := time.Now()
		d.is("alice", "alice's", authz.Overloaded, 1)
		if waited := time.Since(began); waited > 200*time.Millisecond {
			t.Errorf("waited %s", waited)
		}
		queued := d.start(t.Context(), "bob", "bob's", "")
		if got := queued(); got != authz.Overloaded {
			t.Errorf("behind it: %s", got)
		}
		time.Sleep(2 * time.Second)
		if n := d.hashes(); n != 0 {
			t.Errorf("%d hashes of jobs that were late", n)
		}
		d.is("alice", "alice's", authz.OK, 0)
	})
}

// TestCredentialIsNotKept: what goes on after the caller left does not touch the caller's request.
func TestCredentialIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, d *door) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &authz.Credential{Kind: authz.Basic, User: "alice", Secret: authz.NewSecret("alice's")}
		failed := make(chan error)
		go func() {
			_, err := d.Verify(ctx, c, d.now)
			*c = authz.Credential{Kind: authz.Basic, User: "bob", Secret: authz.NewSecret("x")}
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if refusal, ok := errors.AsType[*authz.Refusal](<-failed); !ok || refusal.Reason != authz.Overloaded {
			t.Errorf("who left: %v", refusal)
		}
		time.Sleep(hashTime)
		d.is("alice", "alice's", authz.OK, 0)
	})
}
