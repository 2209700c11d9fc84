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

// someUsers is a store of users that stay as they are.
type someUsers map[string]*keyindex.User

func (someUsers) Ready() error { return nil }
func (u someUsers) Lookup(name string) (*keyindex.User, bool) {
	user, found := u[name]
	return user, found
}

const hashTime = 30 * time.Millisecond

// inBubble has users alice to erin, whose password is their name's, and one
// worker, whose hashes take hashTime.
func inBubble(t *testing.T, test func(t *testing.T, d *basicFixture)) {
	synctest.Test(t, func(t *testing.T) {
		d := newBasicFixture(t)
		users := someUsers{}
		for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
			users[name] = &keyindex.User{Name: name, Password: authz.NewSecret("hash of " + name + "'s")}
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
	inBubble(t, func(t *testing.T, d *basicFixture) {
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
	inBubble(t, func(t *testing.T, d *basicFixture) {
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

// oneClient are the ways in which one client shows itself, by number.
var oneClient = map[string]func(n int) string{
	"one /64":        func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) },
	"changing ports": func(n int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+n) },
	"five spellings": func(n int) string {
		return []string{"2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8::1]:443", "2001:db8::1%eth0"}[n%5]
	},
}

// TestPasswordClockGoesBack: what was wrong in what is now the future is not wrong for as long, and its address may try again.
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

// TestGuessesOfOneClient: however it is shown, its guesses are counted together.
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

// TestFamiliarPasswords are not refused for what others behind their address do, also after the cache forgot them.
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
		// One that has become wrong is familiar no longer.
		d.users.(someUsers)["alice"] = &keyindex.User{Name: "alice", Password: authz.NewSecret("hash of another")}
		d.now = d.now.Add(d.ttl)
		d.is("alice", "alice's", authz.WrongPassword, 1)
		d.now = d.now.Add(wrongFor)
		for n := range 10 {
			d.login(fmt.Sprint("user", n), "wrong", "192.0.2.1")
		}
		d.from("192.0.2.1", "alice", "alice's", authz.RateLimited, 0)
	})
}

// TestGuessesAtOneUser keep nobody out who knows the password, but go behind others.
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

// TestGuessesAtOneUserAtOnce leave room for the others: one is hashed and one waits, the latest.
func TestGuessesAtOneUserAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		d.is("alice", "alice's", authz.OK, 1)
		d.now = d.now.Add(d.ttl)
		guess := d.start(t.Context(), "alice", "guess", "")
		last := d.start(t.Context(), "alice", "guess 0", "")
		for n := range 6 {
			next := d.start(t.Context(), "alice", fmt.Sprint("guess ", n+1), "")
			if got := last(); got != authz.Overloaded {
				t.Errorf("one that gave way: %s", got)
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

// TestWhatIsNotHashedCountsForNothing: however often an address was told to come back, it is not refused.
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

// TestRefusedAddressesTakeNoRoom: they are refused at once, and who waits under the same name stays.
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

// TestFailedWhileItWaited: an address may have had its budget's worth of failures when it is its turn.
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

// TestManyBehindOneAddress: a whole office comes at once, all right. Nobody is
// refused for the others, and all are in after a few tries as Envoy has them.
func TestManyBehindOneAddress(t *testing.T) {
	inBubble(t, func(t *testing.T, d *basicFixture) {
		users := d.users.(someUsers)
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

// TestOneAmongGuesses: somebody guesses at alice as fast as can be, from ever new addresses. Alice, who
// was not here before and comes from elsewhere, gets in at once, and bob does.
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

// TestSlowHashes: as bcrypt's of cost 12 and more. The outcome is there for who asks again, also that it is wrong.
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
			t.Errorf("who has the time: %s", got)
		}
	})
}

// TestNobodyWaitsForAHashForLong: shorter than Envoy does, and the retry finds what was computed.
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

// TestCredentialIsNotKept: what goes on after the caller left does not touch the caller's request.
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
			t.Errorf("who left: %v", refusal)
		}
		time.Sleep(hashTime)
		d.is("alice", "alice's", authz.OK, 0)
	})
}
