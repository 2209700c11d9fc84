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
	"keyward/keyindex"
	"keyward/verifier/password"
)

// userMap is an immutable store of users.
type userMap map[string]*keyindex.User

func (userMap) Ready() error { return nil }
func (u userMap) Lookup(name string) (*keyindex.User, bool) {
	user, found := u[name]
	return user, found
}

const hashTime = 30 * time.Millisecond

// inBubble has the users alice to erin, whose password is their name with 's,
// and one worker, whose hashes take hashTime.
func inBubble(t *testing.T, test func(t *testing.T, f *basicFixture)) {
	synctest.Test(t, func(t *testing.T) {
		f := newBasicFixture(t)
		users := userMap{}
		for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
			users[name] = &keyindex.User{Name: name, Password: authz.NewSecret("hash of " + name + "'s")}
		}
		f.users = users
		f.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(hashTime)
			return fakeVerify(hash, password)
		}
		f.openWith(password.Config{Workers: 1})
		defer f.pool.Close()
		test(t, f)
	})
}

// startLogin logs in on another goroutine, and waits until that blocks or ends.
func (f *basicFixture) startLogin(ctx context.Context, user, password, client string) func() authz.Reason {
	answer := make(chan authz.Reason, 1)
	go func() {
		_, reason := f.loginWith(ctx, user, password, client)
		answer <- reason
	}()
	synctest.Wait()
	return func() authz.Reason { return <-answer }
}

func TestEqualPasswordsAreHashedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		var answers []func() authz.Reason
		for range 50 { // from one address, whose budget is ten
			answers = append(answers, f.startLogin(t.Context(), "alice", "alice's", "192.0.2.1"))
		}
		for _, answer := range answers {
			if got := answer(); got != authz.OK {
				t.Errorf("one of several equal attempts: %s", got)
			}
		}
		if n := f.hashes(); n != 1 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestCanceledLoginGoesOn checks that other callers get the result of a caller
// that has left, and that its retry finds the result in the cache.
func TestCanceledLoginGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		ctx, cancel := context.WithCancel(t.Context())
		first := f.startLogin(ctx, "alice", "alice's", "")
		second := f.startLogin(t.Context(), "alice", "alice's", "")
		alone := f.startLogin(ctx, "bob", "bob's", "")
		cancel()
		if got := first(); got != authz.Overloaded {
			t.Errorf("the first caller: %s", got)
		}
		if got := alone(); got != authz.Overloaded {
			t.Errorf("the caller without others: %s", got)
		}
		if got := second(); got != authz.OK {
			t.Errorf("the second caller: %s", got)
		}
		time.Sleep(hashTime)
		f.expect("bob", "bob's", authz.OK, 0)
	})
}

func TestGuessesFromOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		f.expectFrom("192.0.2.9", "alice", "alice's", authz.OK, 1)
		for n := range 10 {
			f.expectFrom("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		f.expectFrom("192.0.2.1", "user", "wrong", authz.RateLimited, 0)
		f.expectFrom("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		f.expectFrom("192.0.2.2", "bob", "bob's", authz.OK, 1)
		// A cached result is neither refused nor counted.
		for range 20 {
			f.expectFrom("192.0.2.1", "alice", "alice's", authz.OK, 0)
		}
		f.now = f.now.Add(10 * time.Second)
		f.expectFrom("192.0.2.1", "carol", "carol's", authz.OK, 1)
		f.expectFrom("192.0.2.1", "dave", "dave's", authz.OK, 1) // a right password does not count
		f.expectFrom("192.0.2.1", "erin", "wrong", authz.WrongPassword, 1)
		f.expectFrom("192.0.2.1", "erin", "erin's", authz.RateLimited, 0)
	})
}

// clientAddressForms has the ways in which the address of one client can vary,
// by attempt.
var clientAddressForms = map[string]func(n int) string{
	"one /64":        func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) },
	"changing ports": func(n int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+n) },
	"five spellings": func(n int) string {
		return []string{"2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8::1]:443", "2001:db8::1%eth0"}[n%5]
	},
}

// TestPasswordClockGoesBack checks that failures in what is now the future are
// forgotten.
func TestPasswordClockGoesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		for n := range 10 {
			f.expectFrom("192.0.2.1", "alice", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		f.expectFrom("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		f.now = f.now.Add(-5 * time.Hour)
		f.expectFrom("192.0.2.1", "bob", "bob's", authz.OK, 1)
		f.expectFrom("192.0.2.1", "alice", "wrong1", authz.WrongPassword, 1)
		f.expectFrom("192.0.2.1", "alice", "wrong1", authz.WrongPassword, 0)
	})
}

// TestGuessesOfOneClient checks that the guesses of one client are counted
// together, whichever form its address has.
func TestGuessesOfOneClient(t *testing.T) {
	for kind, addressOf := range clientAddressForms {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *basicFixture) {
				for n := range 10 {
					f.expectFrom(addressOf(n), fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
				}
				for n := range 5 {
					f.expectFrom(addressOf(n), "bob", "bob's", authz.RateLimited, 0)
				}
				f.expectFrom("2001:db8:1:3::1", "bob", "bob's", authz.OK, 1)
			})
		})
	}
}

// TestTrustedPasswords checks that a password that was right before is not
// refused for the failures of its address, even after the cache has dropped it.
func TestTrustedPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		f.expectFrom("192.0.2.1", "alice", "alice's", authz.OK, 1)
		f.now = f.now.Add(f.ttl)
		for n := range 10 {
			f.expectFrom("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		f.expectFrom("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		f.expectFrom("192.0.2.1", "alice", "wrong", authz.RateLimited, 0)
		f.expectFrom("192.0.2.1", "alice", "alice's", authz.OK, 1)
		// A trusted password that turns out wrong is no longer trusted.
		f.users.(userMap)["alice"] = &keyindex.User{Name: "alice", Password: authz.NewSecret("hash of another")}
		f.now = f.now.Add(f.ttl)
		f.expect("alice", "alice's", authz.WrongPassword, 1)
		f.now = f.now.Add(wrongFor)
		for n := range 10 {
			f.login(fmt.Sprint("user", n), "wrong", "192.0.2.1")
		}
		f.expectFrom("192.0.2.1", "alice", "alice's", authz.RateLimited, 0)
	})
}

// TestGuessesAtOneUser checks that guesses at a user's password do not lock out
// the user, who goes behind others.
func TestGuessesAtOneUser(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		for n := range 12 {
			f.expectFrom(fmt.Sprintf("192.0.%d.1", n), "alice", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		f.expectFrom("198.51.100.1", "alice", "alice's", authz.OK, 1)

		f.now = f.now.Add(f.ttl)
		for n := range 12 {
			f.expectFrom(fmt.Sprintf("192.0.%d.1", n), "bob", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		f.hashes()
		answers := []func() authz.Reason{
			f.startLogin(t.Context(), "erin", "erin's", "198.51.100.1"), // being hashed
			f.startLogin(t.Context(), "bob", "bob's", "198.51.100.2"),   // the name is suspect
			f.startLogin(t.Context(), "carol", "carol's", "198.51.100.3"),
			f.startLogin(t.Context(), "alice", "alice's", "198.51.100.4"), // was right before
		}
		for n, answer := range answers {
			if got := answer(); got != authz.OK {
				t.Errorf("%d: %s", n, got)
			}
		}
		var order []string
		for _, hash := range f.hashed {
			order = append(order, hash.Reveal())
		}
		if want := []string{"hash of erin's", "hash of alice's", "hash of carol's", "hash of bob's"}; !slices.Equal(order, want) {
			t.Errorf("hashed in the order %q", order)
		}
	})
}

// TestGuessesAtOneUserAtOnce checks that concurrent guesses leave capacity for
// others: one is hashed and one, the latest, waits.
func TestGuessesAtOneUserAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		f.expect("alice", "alice's", authz.OK, 1)
		f.now = f.now.Add(f.ttl)
		guess := f.startLogin(t.Context(), "alice", "guess", "")
		last := f.startLogin(t.Context(), "alice", "guess 0", "")
		for n := range 6 {
			next := f.startLogin(t.Context(), "alice", fmt.Sprint("guess ", n+1), "")
			if got := last(); got != authz.Overloaded {
				t.Errorf("one that was replaced: %s", got)
			}
			last = next
		}
		same := f.startLogin(t.Context(), "alice", "guess", "")
		right := f.startLogin(t.Context(), "alice", "alice's", "")
		other := f.startLogin(t.Context(), "bob", "bob's", "")
		for _, test := range []struct {
			answer func() authz.Reason
			want   authz.Reason
		}{{guess, authz.WrongPassword}, {same, authz.WrongPassword}, {right, authz.OK}, {other, authz.OK}, {last, authz.WrongPassword}} {
			if got := test.answer(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		}
		if n := f.hashes(); n != 4 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestUnhashedAttemptsAreNotFailures checks that attempts that are not hashed
// do not count as failures of their address.
func TestUnhashedAttemptsAreNotFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		var answers []func() authz.Reason
		for n := range 30 {
			answers = append(answers, f.startLogin(t.Context(), "alice", fmt.Sprint("guess ", n), "192.0.2.1"))
		}
		for n, answer := range answers {
			if got := answer(); got != authz.Overloaded && got != authz.WrongPassword {
				t.Errorf("guess %d: %s", n, got)
			}
		}
		if n := f.hashes(); n != 2 {
			t.Errorf("%d hashes", n)
		}
		f.expectFrom("192.0.2.1", "bob", "bob's", authz.OK, 1)
	})
}

// TestBlockedAddressesAreNotQueued checks that attempts from a blocked address
// fail at once and do not replace a waiting attempt of the same user.
func TestBlockedAddressesAreNotQueued(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		for n := range 10 {
			f.expectFrom("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		running := f.startLogin(t.Context(), "erin", "erin's", "198.51.100.1")
		alice := f.startLogin(t.Context(), "alice", "alice's", "192.0.2.2")
		began := time.Now()
		if _, got := f.login("alice", "guess", "192.0.2.1"); got != authz.RateLimited || time.Since(began) != 0 {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		for _, answer := range []func() authz.Reason{running, alice} {
			if got := answer(); got != authz.OK {
				t.Error(got)
			}
		}
	})
}

// TestBudgetIsCheckedAgain checks that the budget is checked again when a
// queued attempt is hashed.
func TestBudgetIsCheckedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		for n := range 8 {
			f.expectFrom("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		var answers []func() authz.Reason
		for n := range 4 {
			answers = append(answers, f.startLogin(t.Context(), fmt.Sprint("another", n), "wrong", "192.0.2.1"))
		}
		for n, want := range []authz.Reason{authz.WrongPassword, authz.WrongPassword, authz.RateLimited, authz.RateLimited} {
			if got := answers[n](); got != want {
				t.Errorf("guess %d: %s, want %s", n, got, want)
			}
		}
		if n := f.hashes(); n != 2 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestManyBehindOneAddress has many users log in at once from one address, with
// the right passwords. None is blocked by the others, and all succeed after a
// few retries with Envoy's timeout.
func TestManyBehindOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		users := f.users.(userMap)
		for n := range 40 {
			name := fmt.Sprint("user", n)
			users[name] = &keyindex.User{Name: name, Password: authz.NewSecret("hash of " + name + "'s")}
		}
		in, rounds := map[string]bool{}, 0
		for ; len(in) < 40 && rounds < 10; rounds++ {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			answers := map[string]func() authz.Reason{}
			for n := range 40 {
				name := fmt.Sprint("user", n)
				answers[name] = f.startLogin(ctx, name, name+"'s", "192.0.2.1")
			}
			for name, answer := range answers {
				switch got := answer(); got {
				case authz.OK:
					in[name] = true
				case authz.Overloaded:
				default:
					t.Errorf("%s: %s", name, got)
				}
			}
			cancel()
			time.Sleep(time.Second)
			f.now = f.now.Add(time.Second)
		}
		if len(in) != 40 || rounds > 4 {
			t.Errorf("%d are in after %d rounds", len(in), rounds)
		}
		if n := f.hashes(); n != 40 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestLoginDuringGuesses has a client guess alice's password as fast as
// possible, each time from a new address. Alice, who has no history and another
// address, logs in at once, and so does bob.
func TestLoginDuringGuesses(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		stop := make(chan struct{})
		for n := range 4 {
			go func() {
				for try := 0; ; try++ {
					f.loginWith(t.Context(), "alice", fmt.Sprint("guess ", n, try), fmt.Sprintf("2001:db8:%x:%x::1", n, try))
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			}()
		}
		time.Sleep(time.Second)
		began := time.Now()
		if _, got := f.login("alice", "alice's", "192.0.2.1"); got != authz.OK {
			t.Errorf("alice: %s", got)
		}
		if _, got := f.login("bob", "bob's", "192.0.2.1"); got != authz.OK {
			t.Errorf("bob: %s", got)
		}
		if waited := time.Since(began); waited > 200*time.Millisecond {
			t.Errorf("they waited %s", waited)
		}
		close(stop)
		time.Sleep(time.Second)
	})
}

// TestSlowHashes has hashes as slow as those of bcrypt with cost 12 and more. A
// retry gets the result, also if the password is wrong.
func TestSlowHashes(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		f.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(400 * time.Millisecond)
			return fakeVerify(hash, password)
		}
		for _, user := range []string{"alice", "nopassword"} {
			f.expect(user, "wrong", authz.Overloaded, 1)
			time.Sleep(time.Second)
			f.expect(user, "wrong", authz.WrongPassword, 0)
		}
		f.expect("alice", "alice's", authz.Overloaded, 1)
		time.Sleep(time.Second)
		f.expect("alice", "alice's", authz.OK, 0)
		longer, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, got := f.loginWith(longer, "bob", "bob's", ""); got != authz.OK {
			t.Errorf("a caller with a long deadline: %s", got)
		}
	})
}

// TestWaitIsBounded checks that the wait is shorter than Envoy's, and that the
// retry gets the result.
func TestWaitIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		f.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(time.Second)
			return fakeVerify(hash, password)
		}
		began := time.Now()
		f.expect("alice", "alice's", authz.Overloaded, 1)
		if waited := time.Since(began); waited > 200*time.Millisecond {
			t.Errorf("waited %s", waited)
		}
		queued := f.startLogin(t.Context(), "bob", "bob's", "")
		if got := queued(); got != authz.Overloaded {
			t.Errorf("behind it: %s", got)
		}
		time.Sleep(2 * time.Second)
		f.expect("alice", "alice's", authz.OK, 0)
		f.expect("bob", "bob's", authz.OK, 0)
	})
}

// TestCredentialIsNotKept checks that work that goes on after the caller has
// left does not read the caller's request.
func TestCredentialIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, f *basicFixture) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &authz.Credential{Scheme: authz.SchemeBasic, User: "alice", Secret: authz.NewSecret("alice's")}
		failed := make(chan error)
		go func() {
			_, err := f.Verify(ctx, c, f.now)
			*c = authz.Credential{Scheme: authz.SchemeBasic, User: "bob", Secret: authz.NewSecret("x")}
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if refusal, ok := errors.AsType[*authz.CredentialError](<-failed); !ok || refusal.Reason != authz.Overloaded {
			t.Errorf("the caller that left: %v", refusal)
		}
		time.Sleep(hashTime)
		f.expect("alice", "alice's", authz.OK, 0)
	})
}
