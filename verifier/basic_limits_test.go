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
	"keyward/verifier/password"
)

// someUsers is an immutable store of users.
type someUsers map[string]*keystore.User

func (someUsers) Ready() error { return nil }
func (u someUsers) Lookup(name string) (*keystore.User, bool) {
	user, found := u[name]
	return user, found
}

const hashTime = 30 * time.Millisecond

// inBubble has the users alice to erin, whose password is their name with 's, and one
// worker, whose hashes take hashTime.
func inBubble(t *testing.T, test func(t *testing.T, d *basicFixture)) {
	synctest.Test(t, func(t *testing.T) {
		d := newBasicFixture(t)
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

// start logs in on another goroutine, and waits until that blocks or ends.
func (d *basicFixture) start(ctx context.Context, user, password, client string) func() authz.Reason {
	answer := make(chan authz.Reason, 1)
	go func() {
		_, reason := d.loginWith(ctx, user, password, client)
		answer <- reason
	}()
	synctest.Wait()
	return func() authz.Reason { return <-answer }
}

func TestEqualPasswordsAreHashedOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		var answers []func() authz.Reason
		for range 50 { // from one address, whose budget is ten
			answers = append(answers, d.start(t.Context(), "alice", "alice's", "192.0.2.1"))
		}
		for _, answer := range answers {
			if got := answer(); got != authz.OK {
				t.Errorf("one of several equal attempts: %s", got)
			}
		}
		if n := d.hashes(); n != 1 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestWhoLeavesTakesNothingAlong checks that other callers get the result of a caller that
// has left, and that its retry finds the result in the cache.
func TestWhoLeavesTakesNothingAlong(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		ctx, cancel := context.WithCancel(t.Context())
		first := d.start(ctx, "alice", "alice's", "")
		second := d.start(t.Context(), "alice", "alice's", "")
		alone := d.start(ctx, "bob", "bob's", "")
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
		d.is("bob", "bob's", authz.OK, 0)
	})
}

func TestGuessesFromOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		d.from("192.0.2.9", "alice", "alice's", authz.OK, 1)
		for n := range 10 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		d.from("192.0.2.1", "user", "wrong", authz.RateLimited, 0)
		d.from("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		d.from("192.0.2.2", "bob", "bob's", authz.OK, 1)
		// A cached result is neither refused nor counted.
		for range 20 {
			d.from("192.0.2.1", "alice", "alice's", authz.OK, 0)
		}
		d.now = d.now.Add(10 * time.Second)
		d.from("192.0.2.1", "carol", "carol's", authz.OK, 1)
		d.from("192.0.2.1", "dave", "dave's", authz.OK, 1) // a right password does not count
		d.from("192.0.2.1", "erin", "wrong", authz.WrongPassword, 1)
		d.from("192.0.2.1", "erin", "erin's", authz.RateLimited, 0)
	})
}

// oneClient has the ways in which the address of one client can vary, by attempt.
var oneClient = map[string]func(n int) string{
	"one /64":        func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) },
	"changing ports": func(n int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+n) },
	"five spellings": func(n int) string {
		return []string{"2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8::1]:443", "2001:db8::1%eth0"}[n%5]
	},
}

// TestPasswordClockGoesBack checks that failures in what is now the future are forgotten.
func TestPasswordClockGoesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		for n := range 10 {
			d.from("192.0.2.1", "alice", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		d.from("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		d.now = d.now.Add(-5 * time.Hour)
		d.from("192.0.2.1", "bob", "bob's", authz.OK, 1)
		d.from("192.0.2.1", "alice", "wrong1", authz.WrongPassword, 1)
		d.from("192.0.2.1", "alice", "wrong1", authz.WrongPassword, 0)
	})
}

// TestGuessesOfOneClient checks that the guesses of one client are counted together,
// whichever form its address has.
func TestGuessesOfOneClient(t *testing.T) {
	for kind, shows := range oneClient {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(t *testing.T, d *basicFixture) {
				for n := range 10 {
					d.from(shows(n), fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
				}
				for n := range 5 {
					d.from(shows(n), "bob", "bob's", authz.RateLimited, 0)
				}
				d.from("2001:db8:1:3::1", "bob", "bob's", authz.OK, 1)
			})
		})
	}
}

// TestFamiliarPasswords checks that a password that was right before is not refused for the
// failures of its address, even after the cache has dropped it.
func TestFamiliarPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		d.from("192.0.2.1", "alice", "alice's", authz.OK, 1)
		d.now = d.now.Add(d.ttl)
		for n := range 10 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		d.from("192.0.2.1", "bob", "bob's", authz.RateLimited, 0)
		d.from("192.0.2.1", "alice", "wrong", authz.RateLimited, 0)
		d.from("192.0.2.1", "alice", "alice's", authz.OK, 1)
		// A trusted password that turns out wrong is no longer trusted.
		d.users.(someUsers)["alice"] = &keystore.User{Name: "alice", Password: authz.NewSecret("hash of another")}
		d.now = d.now.Add(d.ttl)
		d.is("alice", "alice's", authz.WrongPassword, 1)
		d.now = d.now.Add(wrongFor)
		for n := range 10 {
			d.login(fmt.Sprint("user", n), "wrong", "192.0.2.1")
		}
		d.from("192.0.2.1", "alice", "alice's", authz.RateLimited, 0)
	})
}

// TestGuessesAtOneUser checks that guesses at a user's password do not lock out the user,
// who goes behind others.
func TestGuessesAtOneUser(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		for n := range 12 {
			d.from(fmt.Sprintf("192.0.%d.1", n), "alice", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		d.from("198.51.100.1", "alice", "alice's", authz.OK, 1)

		d.now = d.now.Add(d.ttl)
		for n := range 12 {
			d.from(fmt.Sprintf("192.0.%d.1", n), "bob", fmt.Sprint("wrong", n), authz.WrongPassword, 1)
		}
		d.hashes()
		answers := []func() authz.Reason{
			d.start(t.Context(), "erin", "erin's", "198.51.100.1"), // being hashed
			d.start(t.Context(), "bob", "bob's", "198.51.100.2"),   // the name is suspect
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

// TestGuessesAtOneUserAtOnce checks that concurrent guesses leave capacity for others: one
// is hashed and one, the latest, waits.
func TestGuessesAtOneUserAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		d.is("alice", "alice's", authz.OK, 1)
		d.now = d.now.Add(d.ttl)
		guess := d.start(t.Context(), "alice", "guess", "")
		last := d.start(t.Context(), "alice", "guess 0", "")
		for n := range 6 {
			next := d.start(t.Context(), "alice", fmt.Sprint("guess ", n+1), "")
			if got := last(); got != authz.Overloaded {
				t.Errorf("one that was replaced: %s", got)
			}
			last = next
		}
		same := d.start(t.Context(), "alice", "guess", "")
		right := d.start(t.Context(), "alice", "alice's", "")
		other := d.start(t.Context(), "bob", "bob's", "")
		for _, test := range []struct {
			answer func() authz.Reason
			want   authz.Reason
		}{{guess, authz.WrongPassword}, {same, authz.WrongPassword}, {right, authz.OK}, {other, authz.OK}, {last, authz.WrongPassword}} {
			if got := test.answer(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		}
		if n := d.hashes(); n != 4 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestWhatIsNotHashedCountsForNothing checks that attempts that are not hashed do not count
// as failures of their address.
func TestWhatIsNotHashedCountsForNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		var answers []func() authz.Reason
		for n := range 30 {
			answers = append(answers, d.start(t.Context(), "alice", fmt.Sprint("guess ", n), "192.0.2.1"))
		}
		for n, answer := range answers {
			if got := answer(); got != authz.Overloaded && got != authz.WrongPassword {
				t.Errorf("guess %d: %s", n, got)
			}
		}
		if n := d.hashes(); n != 2 {
			t.Errorf("%d hashes", n)
		}
		d.from("192.0.2.1", "bob", "bob's", authz.OK, 1)
	})
}

// TestRefusedAddressesTakeNoRoom checks that attempts from a blocked address fail at once
// and do not replace a waiting attempt of the same user.
func TestRefusedAddressesTakeNoRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		for n := range 10 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		running := d.start(t.Context(), "erin", "erin's", "198.51.100.1")
		alice := d.start(t.Context(), "alice", "alice's", "192.0.2.2")
		began := time.Now()
		if _, got := d.login("alice", "guess", "192.0.2.1"); got != authz.RateLimited || time.Since(began) != 0 {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		for _, answer := range []func() authz.Reason{running, alice} {
			if got := answer(); got != authz.OK {
				t.Error(got)
			}
		}
	})
}

// TestFailedWhileItWaited checks that the budget is checked again when a queued attempt is
// hashed.
func TestFailedWhileItWaited(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		for n := range 8 {
			d.from("192.0.2.1", fmt.Sprint("user", n), "wrong", authz.WrongPassword, 1)
		}
		var answers []func() authz.Reason
		for n := range 4 {
			answers = append(answers, d.start(t.Context(), fmt.Sprint("another", n), "wrong", "192.0.2.1"))
		}
		for n, want := range []authz.Reason{authz.WrongPassword, authz.WrongPassword, authz.RateLimited, authz.RateLimited} {
			if got := answers[n](); got != want {
				t.Errorf("guess %d: %s, want %s", n, got, want)
			}
		}
		if n := d.hashes(); n != 2 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestManyBehindOneAddress has many users log in at once from one address, with the right
// passwords. None is blocked by the others, and all succeed after a few retries with
// Envoy's timeout.
func TestManyBehindOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		users := d.users.(someUsers)
		for n := range 40 {
			name := fmt.Sprint("user", n)
			users[name] = &keystore.User{Name: name, Password: authz.NewSecret("hash of " + name + "'s")}
		}
		in, rounds := map[string]bool{}, 0
		for ; len(in) < 40 && rounds < 10; rounds++ {
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			answers := map[string]func() authz.Reason{}
			for n := range 40 {
				name := fmt.Sprint("user", n)
				answers[name] = d.start(ctx, name, name+"'s", "192.0.2.1")
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
			d.now = d.now.Add(time.Second)
		}
		if len(in) != 40 || rounds > 4 {
			t.Errorf("%d are in after %d rounds", len(in), rounds)
		}
		if n := d.hashes(); n != 40 {
			t.Errorf("%d hashes", n)
		}
	})
}

// TestOneAmongGuesses has a client guess alice's password as fast as possible, each time
// from a new address. Alice, who has no history and another address, logs in at once, and
// so does bob.
func TestOneAmongGuesses(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		stop := make(chan struct{})
		for n := range 4 {
			go func() {
				for try := 0; ; try++ {
					d.loginWith(t.Context(), "alice", fmt.Sprint("guess ", n, try), fmt.Sprintf("2001:db8:%x:%x::1", n, try))
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
		if _, got := d.login("alice", "alice's", "192.0.2.1"); got != authz.OK {
			t.Errorf("alice: %s", got)
		}
		if _, got := d.login("bob", "bob's", "192.0.2.1"); got != authz.OK {
			t.Errorf("bob: %s", got)
		}
		if waited := time.Since(began); waited > 200*time.Millisecond {
			t.Errorf("they waited %s", waited)
		}
		close(stop)
		time.Sleep(time.Second)
	})
}

// TestSlowHashes has hashes as slow as those of bcrypt with cost 12 and more. A retry gets
// the result, also if the password is wrong.
func TestSlowHashes(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		d.verify = func(hash, password authz.Secret) (bool, error) {
			time.Sleep(400 * time.Millisecond)
			return fakeVerify(hash, password)
		}
		for _, user := range []string{"alice", "nobody"} {
			d.is(user, "wrong", authz.Overloaded, 1)
			time.Sleep(time.Second)
			d.is(user, "wrong", authz.WrongPassword, 0)
		}
		d.is("alice", "alice's", authz.Overloaded, 1)
		time.Sleep(time.Second)
		d.is("alice", "alice's", authz.OK, 0)
		patient, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, got := d.loginWith(patient, "bob", "bob's", ""); got != authz.OK {
			t.Errorf("a caller with a long deadline: %s", got)
		}
	})
}

// TestNobodyWaitsForAHashForLong checks that the wait is shorter than Envoy's, and that the
// retry gets the result.
func TestNobodyWaitsForAHashForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
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
		d.is("alice", "alice's", authz.OK, 0)
		d.is("bob", "bob's", authz.OK, 0)
	})
}

// TestCredentialIsNotKept checks that work that goes on after the caller has left does not
// read the caller's request.
func TestCredentialIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &authz.Credential{Scheme: authz.SchemeBasic, User: "alice", Secret: authz.NewSecret("alice's")}
		failed := make(chan error)
		go func() {
			_, err := d.Verify(ctx, c, d.now)
			*c = authz.Credential{Scheme: authz.SchemeBasic, User: "bob", Secret: authz.NewSecret("x")}
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if refusal, ok := errors.AsType[*authz.CredentialError](<-failed); !ok || refusal.Reason != authz.Overloaded {
			t.Errorf("the caller that left: %v", refusal)
		}
		time.Sleep(hashTime)
		d.is("alice", "alice's", authz.OK, 0)
	})
}
