package password_test

import (
	"fmt"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier/password"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// attemptsFixture wraps Attempts with checks and a clock.
type attemptsFixture struct {
	*password.Attempts
	t   *testing.T
	now time.Time
}

func newAttemptsFixture(t *testing.T) *attemptsFixture {
	return &attemptsFixture{password.NewAttempts(password.AttemptsConfig{}), t, start}
}

// Attempt parses the client's address in the forms that proxies write.
func (a *attemptsFixture) Attempt(client, user string) password.Attempt {
	return a.Attempts.Attempt(authz.ParseAddress(client), user)
}

// expect records an attempt and checks its result.
func (a *attemptsFixture) expect(client, user, want string) password.Attempt {
	a.t.Helper()
	attempt := a.Attempt(client, user)
	got := map[password.Class]string{password.Unknown: "unknown", password.Suspect: "suspect"}[attempt.Record(a.now).Class]
	if !attempt.Allowed(a.now) {
		got = "blocked"
	}
	if got != want {
		a.t.Errorf("%q by %q at +%s: %s, want %s", user, client, a.now.Sub(start), got, want)
	}
	return attempt
}

func (a *attemptsFixture) fail(client string, times int) {
	for range times {
		a.Attempt(client, "").Failed(a.now)
	}
}

func TestAddressBudget(t *testing.T) {
	a := newAttemptsFixture(t)
	for n := range 10 {
		a.expect("192.0.2.1", fmt.Sprint("user", n), "unknown").Failed(a.now)
	}
	a.expect("192.0.2.1", "alice", "blocked")
	a.expect("192.0.2.1", "bob", "blocked")
	a.expect("192.0.2.2", "alice", "unknown")
	a.now = start.Add(10*time.Second - 1)
	a.expect("192.0.2.1", "alice", "blocked")
	a.now = start.Add(10 * time.Second) // refused attempts cost nothing
	a.expect("192.0.2.1", "alice", "unknown").Failed(a.now)
	a.expect("192.0.2.1", "alice", "blocked")
	a.now = start.Add(time.Hour) // unused attempts accumulate up to the burst
	a.fail("192.0.2.1", 10)
	a.expect("192.0.2.1", "alice", "blocked")
	if (password.Attempt{}).Allowed(start) {
		t.Error("the zero Attempt is allowed")
	}
}

// TestConcurrentFailures checks that concurrent failures may exceed the budget,
// by as much again, and that the address waits for the excess too.
func TestConcurrentFailures(t *testing.T) {
	a := newAttemptsFixture(t)
	a.fail("192.0.2.1", 14)
	a.now = start.Add(50*time.Second - 1)
	a.expect("192.0.2.1", "alice", "blocked")
	a.now = start.Add(50 * time.Second)
	a.expect("192.0.2.1", "alice", "unknown")
	a.fail("192.0.2.1", 1000)
	a.now = a.now.Add(110 * time.Second)
	a.expect("192.0.2.1", "alice", "unknown")
}

// TestUnverifiedAttemptsDoNotBlock checks that only verified failures count
// against an address.
func TestUnverifiedAttemptsDoNotBlock(t *testing.T) {
	a := newAttemptsFixture(t)
	for range 10_000 {
		a.Attempt("192.0.2.1", "alice").Record(a.now)
	}
	a.expect("192.0.2.1", "alice", "suspect")
	a.now = start.Add(10 * time.Second) // the attempts are soon forgotten
	a.expect("192.0.2.1", "alice", "unknown")
}

// TestPenaltyOrdersClients checks that a client with one attempt goes before
// those with many.
func TestPenaltyOrdersClients(t *testing.T) {
	a := newAttemptsFixture(t)
	for range 1000 {
		for n := range 20 {
			a.Attempt(fmt.Sprintf("2001:db8:%x::1", n), "alice").Record(a.now)
		}
		a.now = a.now.Add(time.Millisecond)
	}
	for _, test := range []struct {
		client string
		want   password.Priority
	}{
		{"2001:db8:1::1", password.Priority{Class: password.Suspect, Penalty: 19 * time.Second}},
		{"2001:db8:ffff::1", password.Priority{Class: password.Suspect, Penalty: 10 * time.Second}},
		{"192.0.2.1", password.Priority{Class: password.Unknown}},
		{"192.0.2.1", password.Priority{Class: password.Unknown}}, // a second attempt makes no difference
	} {
		if got := a.Attempt(test.client, "alice").Record(a.now); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.client, got, test.want)
		}
	}
}

// TestAddressForms checks that all forms of an address, and all of an IPv6 /64,
// share a budget.
func TestAddressForms(t *testing.T) {
	tests := []struct {
		spent, asked string
		want         string
	}{
		{"192.0.2.1", "192.0.2.1", "blocked"},
		{"192.0.2.1", "::ffff:192.0.2.1", "blocked"},
		{"192.0.2.1", "192.0.2.1:4711", "blocked"},
		{"192.0.2.1:1", "192.0.2.1:2", "blocked"},
		{"192.0.2.1", "192.0.2.2", "unknown"},
		{"2001:db8::1", "2001:db8::2", "blocked"},
		{"2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", "blocked"},
		{"2001:db8::1", "[2001:db8::2]:443", "blocked"},
		{"2001:db8::1", "[2001:db8::2]", "blocked"},
		{"[2001:db8::1]", "2001:db8::2", "blocked"},
		{"[fe80::1%eth0]", "[fe80::1]:80", "blocked"},
		{"[::1]:80", "::1", "blocked"},
		{"[::ffff:192.0.2.1]", "192.0.2.1:567", "blocked"},
		{"fe80::1%eth0", "fe80::1%eth1", "blocked"},
		{"2001:db8::1", "2001:db8:0:1::1", "unknown"},
	}
	for _, test := range tests {
		a := newAttemptsFixture(t)
		a.fail(test.spent, 10)
		a.expect(test.asked, "alice", test.want)
	}
}

func TestNetworksBecomeSuspect(t *testing.T) {
	for _, test := range []struct{ member, inside, outside string }{
		{"198.51.%d.1", "198.51.200.200", "198.52.1.1"},
		{"2001:db8:%x::1", "2001:db8:ffff::1", "2001:db9::1"},
	} {
		a := newAttemptsFixture(t)
		for n := range 100 {
			a.Attempt(fmt.Sprintf(test.member, n+1), "unknown").Failed(a.now)
		}
		a.expect(test.inside, "alice", "suspect")
		a.expect(test.outside, "alice", "unknown")
		for client, want := range map[string]time.Duration{test.inside: 500 * time.Second, test.outside: 0} {
			if priority := a.Attempt(client, "alice").Record(a.now); priority.Penalty != want {
				t.Errorf("%s has a penalty of %s, want %s", client, priority.Penalty, want)
			}
		}
		if priority := a.Attempt(fmt.Sprintf(test.member, 1), "alice").Record(a.now); priority.Penalty != 510*time.Second {
			t.Errorf("a client that failed has a penalty of %s", priority.Penalty)
		}
		a.now = start.Add(5 * time.Second)
		a.expect(test.inside, "alice", "unknown")
	}
}

// TestClockGoesBack checks that after the clock is set back, an address is
// blocked, and its network and the user's name are suspect, for no longer than
// before plus the step. After a large step none of them is, and later failures
// count as usual.
func TestClockGoesBack(t *testing.T) {
	for _, failures := range []int{1, 10, 20, 200} {
		for _, step := range []time.Duration{time.Second, 40 * time.Second, 2 * time.Minute, time.Hour, 5 * time.Hour} {
			still, back := newAttemptsFixture(t), newAttemptsFixture(t)
			for _, a := range []*attemptsFixture{still, back} {
				for range failures {
					a.Attempt("192.0.2.1", "alice").Failed(start)
				}
			}
			back.now = start.Add(-step)
			without, with := still.freeAfter(), back.freeAfter()
			if with > without+step || step >= time.Hour && with > 0 {
				t.Errorf("%d failures, back by %s: free after %s, and after %s without the step", failures, step, with, without)
			}
			back.now = start.Add(-step).Add(30 * time.Minute)
			for range 10 {
				back.expect("192.0.2.1", "bob", "unknown").Failed(back.now)
			}
			back.expect("192.0.2.1", "carol", "blocked")
		}
	}
}

// freeAfter returns how long the address, its network and the user are affected
// by failures.
func (a *attemptsFixture) freeAfter() (d time.Duration) {
	a.t.Helper()
	for ; d < 6*time.Hour; d += time.Second {
		now := a.now.Add(d)
		elsewhere := a.Attempt("203.0.113.1", "alice").Record(now)
		neighbour := a.Attempt("192.0.200.1", fmt.Sprint("user", d)).Record(now)
		if a.Attempt("192.0.2.1", fmt.Sprint("other", d)).Allowed(now) && elsewhere.Class == password.Unknown && neighbour.Class == password.Unknown {
			return d
		}
	}
	return d
}

// TestUsersAreNeverBlocked checks that guesses at a user's password do not lock
// out the user.
func TestUsersAreNeverBlocked(t *testing.T) {
	a := newAttemptsFixture(t)
	for range 10 {
		a.expect("192.0.2.1", "alice", "unknown").Failed(a.now)
	}
	a.expect("203.0.113.1", "alice", "suspect")
	a.expect("203.0.113.1", "Alice", "unknown")
	for range 1000 {
		a.Attempt("", "alice").Failed(a.now)
	}
	a.expect("203.0.113.1", "alice", "suspect")
	a.now = start.Add(10 * time.Second) // independent of the number of failures
	a.expect("203.0.113.1", "alice", "unknown")
}

// TestClientsWithoutAddress checks that clients without an address are one
// network, and that none of them is blocked.
func TestClientsWithoutAddress(t *testing.T) {
	for _, client := range []string{"", "@", "unknown", "192.0.2.1.5", "192.0.2.1:port", "[::1", "[]", "[", "[[::1]]", "[::1]x"} {
		a := newAttemptsFixture(t)
		a.fail(client, 99)
		a.expect(client, "alice", "unknown")
		a.fail(client, 1)
		a.expect("", "alice", "suspect")
		a.fail(client, 1000)
		a.expect(client, "alice", "suspect")
		a.expect("2001:db8::1", "alice", "unknown")
	}
}

func TestOwnBudgets(t *testing.T) {
	a := &attemptsFixture{password.NewAttempts(password.AttemptsConfig{
		Address: password.Budget{Burst: 1, Every: time.Minute},
		Network: password.Budget{Burst: 2, Every: time.Minute},
		User:    password.Budget{Burst: 1, Every: time.Minute},
	}), t, start}
	a.expect("192.0.2.1", "alice", "unknown").Failed(a.now)
	a.expect("192.0.2.1", "bob", "blocked")
	a.expect("192.0.2.2", "alice", "suspect")
	a.expect("192.0.2.2", "bob", "unknown").Failed(a.now)
	a.expect("192.0.2.3", "carol", "suspect")
	a.expect("203.0.113.1", "carol", "unknown")
}

// TestManyAddresses checks that with 100,000 failing addresses few others share
// both cells with them, and that the tables do not grow.
func TestManyAddresses(t *testing.T) {
	a := newAttemptsFixture(t)
	for n := range 100_000 {
		attempt := a.Attempt(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), "")
		if !attempt.Allowed(a.now) {
			t.Fatalf("address %d was refused at its first attempt", n)
		}
		attempt.Failed(a.now)
	}
	for n := range 100 {
		a.fail(fmt.Sprintf("172.16.%d.1", n), 20)
	}
	refused := 0
	for n := range 1000 {
		if !a.Attempt(fmt.Sprintf("192.168.%d.%d", n>>8, n&255), "").Allowed(a.now) {
			refused++
		}
	}
	if refused > 5 {
		t.Errorf("%d of 1000 addresses without failures were blocked", refused)
	}
	allocs := testing.AllocsPerRun(100, func() {
		attempt := a.Attempt("192.0.2.1", "alice")
		attempt.Record(a.now)
		attempt.Failed(a.now)
	})
	if allocs > 0 {
		t.Errorf("%g allocations", allocs)
	}
}
