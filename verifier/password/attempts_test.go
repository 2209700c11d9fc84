package password_test

import (
	"fmt"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier/password"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// attempts lets a test say what becomes of an attempt.
type attempts struct {
	*password.Attempts
	t   *testing.T
	now time.Time
}

func newAttempts(t *testing.T) *attempts {
	return &attempts{password.NewAttempts(password.AttemptsConfig{}), t, start}
}

// Attempt takes the client's address as a proxy writes it.
func (a *attempts) Attempt(client, user string) password.Attempt {
	return a.Attempts.Attempt(authz.ParseAddress(client), user)
}

// is holds what an attempt is met with to what it must be.
func (a *attempts) is(client, user, want string) password.Attempt {
	a.t.Helper()
	attempt := a.Attempt(client, user)
	got := map[password.Class]string{password.Unknown: "unsuspected", password.Suspect: "suspected"}[attempt.Record(a.now).Class]
	if !attempt.Allowed(a.now) {
		got = "refused"
	}
	if got != want {
		a.t.Errorf("%q by %q at +%s: %s, want %s", user, client, a.now.Sub(start), got, want)
	}
	return attempt
}

func (a *attempts) fail(client string, times int) {
	for range times {
		a.Attempt(client, "").Failed(a.now)
	}
}

func TestAddressBudget(t *testing.T) {
	a := newAttempts(t)
	for n := range 10 {
		a.is("192.0.2.1", fmt.Sprint("user", n), "unsuspected").Failed(a.now)
	}
	a.is("192.0.2.1", "alice", "refused")
	a.is("192.0.2.1", "bob", "refused")
	a.is("192.0.2.2", "alice", "unsuspected")
	a.now = start.Add(10*time.Second - 1)
	a.is("192.0.2.1", "alice", "refused")
	a.now = start.Add(10 * time.Second) // refused attempts cost nothing
	a.is("192.0.2.1", "alice", "unsuspected").Failed(a.now)
	a.is("192.0.2.1", "alice", "refused")
	a.now = start.Add(time.Hour) // no more than the burst is saved up
	a.fail("192.0.2.1", 10)
	a.is("192.0.2.1", "alice", "refused")
	if (password.Attempt{}).Allowed(start) {
		t.Error("no attempt is allowed")
	}
}

// TestFailedAtTheSameTime: what went over the budget since it was hashed at the
// same time is waited for, up to as much again.
func TestFailedAtTheSameTime(t *testing.T) {
	a := newAttempts(t)
	a.fail("192.0.2.1", 14)
	a.now = start.Add(50*time.Second - 1)
	a.is("192.0.2.1", "alice", "refused")
	a.now = start.Add(50 * time.Second)
	a.is("192.0.2.1", "alice", "unsuspected")
	a.fail("192.0.2.1", 1000)
	a.now = a.now.Add(110 * time.Second)
	a.is("192.0.2.1", "alice", "unsuspected")
}

// TestAskingRefusesNobody: only what was hashed and wrong counts against an address.
func TestAskingRefusesNobody(t *testing.T) {
	a := newAttempts(t)
	for range 10_000 {
		a.Attempt("192.0.2.1", "alice").Record(a.now)
	}
	a.is("192.0.2.1", "alice", "suspected")
	a.now = start.Add(10 * time.Second) // and is soon forgotten
	a.is("192.0.2.1", "alice", "unsuspected")
}

// TestWhoAsksOnceGoesFirst, before whoever asks all the time.
func TestWhoAsksOnceGoesFirst(t *testing.T) {
	a := newAttempts(t)
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
		{"192.0.2.1", password.Priority{Class: password.Unknown}}, // nor does it matter that one asks twice
	} {
		if got := a.Attempt(test.client, "alice").Record(a.now); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.client, got, test.want)
		}
	}
}

// TestWhatIsOneAddress: spellings of an address, and all of an IPv6 /64, share a budget.
func TestWhatIsOneAddress(t *testing.T) {
	tests := []struct {
		spent, asked string
		want         string
	}{
		{"192.0.2.1", "192.0.2.1", "refused"},
		{"192.0.2.1", "::ffff:192.0.2.1", "refused"},
		{"192.0.2.1", "192.0.2.1:4711", "refused"},
		{"192.0.2.1:1", "192.0.2.1:2", "refused"},
		{"192.0.2.1", "192.0.2.2", "unsuspected"},
		{"2001:db8::1", "2001:db8::2", "refused"},
		{"2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", "refused"},
		{"2001:db8::1", "[2001:db8::2]:443", "refused"},
		{"2001:db8::1", "[2001:db8::2]", "refused"},
		{"[2001:db8::1]", "2001:db8::2", "refused"},
		{"[fe80::1%eth0]", "[fe80::1]:80", "refused"},
		{"[::1]:80", "::1", "refused"},
		{"[::ffff:192.0.2.1]", "192.0.2.1:567", "refused"},
		{"fe80::1%eth0", "fe80::1%eth1", "refused"},
		{"2001:db8::1", "2001:db8:0:1::1", "unsuspected"},
	}
	for _, test := range tests {
		a := newAttempts(t)
		a.fail(test.spent, 10)
		a.is(test.asked, "alice", test.want)
	}
}

func TestNetworksAreSuspected(t *testing.T) {
	for _, test := range []struct{ member, inside, outside string }{
		{"198.51.%d.1", "198.51.200.200", "198.52.1.1"},
		{"2001:db8:%x::1", "2001:db8:ffff::1", "2001:db9::1"},
	} {
		a := newAttempts(t)
		for n := range 100 {
			a.Attempt(fmt.Sprintf(test.member, n+1), "nobody").Failed(a.now)
		}
		a.is(test.inside, "alice", "suspected")
		a.is(test.outside, "alice", "unsuspected")
		for client, want := range map[string]time.Duration{test.inside: 500 * time.Second, test.outside: 0} {
			if standing := a.Attempt(client, "alice").Record(a.now); standing.Penalty != want {
				t.Errorf("%s is suspected for %s, want %s", client, standing.Penalty, want)
			}
		}
		if standing := a.Attempt(fmt.Sprintf(test.member, 1), "alice").Record(a.now); standing.Penalty != 510*time.Second {
			t.Errorf("one that failed is suspected for %s", standing.Penalty)
		}
		a.now = start.Add(5 * time.Second)
		a.is(test.inside, "alice", "unsuspected")
	}
}

// TestClockGoesBack: an address is refused, and its network and the user's name
// are suspected, for no longer than they would be and the step besides; after a
// large step none is, and what fails then counts as ever.
func TestClockGoesBack(t *testing.T) {
	for _, failures := range []int{1, 10, 20, 200} {
		for _, step := range []time.Duration{time.Second, 40 * time.Second, 2 * time.Minute, time.Hour, 5 * time.Hour} {
			still, back := newAttempts(t), newAttempts(t)
			for _, a := range []*attempts{still, back} {
				for range failures {
					a.Attempt("192.0.2.1", "alice").Failed(start)
				}
			}
			back.now = start.Add(-step)
			without, with := still.freeAfter(), back.freeAfter()
			if with > without+step || step >= time.Hour && with > 0 {
				t.Errorf("%d failures, back by %s: not free for %s, and for %s otherwise", failures, step, with, without)
			}
			back.now = start.Add(-step).Add(30 * time.Minute)
			for range 10 {
				back.is("192.0.2.1", "bob", "unsuspected").Failed(back.now)
			}
			back.is("192.0.2.1", "carol", "refused")
		}
	}
}

// freeAfter is how long it takes until the address, its network and the user are as if nothing had failed.
func (a *attempts) freeAfter() (d time.Duration) {
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

// TestUsersAreSuspectedAndNotRefused: nobody can lock out another by guessing at the name.
func TestUsersAreSuspectedAndNotRefused(t *testing.T) {
	a := newAttempts(t)
	for range 10 {
		a.is("192.0.2.1", "alice", "unsuspected").Failed(a.now)
	}
	a.is("203.0.113.1", "alice", "suspected")
	a.is("203.0.113.1", "Alice", "unsuspected")
	for range 1000 {
		a.Attempt("", "alice").Failed(a.now)
	}
	a.is("203.0.113.1", "alice", "suspected")
	a.now = start.Add(10 * time.Second) // however often it was tried
	a.is("203.0.113.1", "alice", "unsuspected")
}

// TestClientsWithoutAddress are one network and have no address that could be refused.
func TestClientsWithoutAddress(t *testing.T) {
	for _, client := range []string{"", "@", "unknown", "192.0.2.1.5", "192.0.2.1:port", "[::1", "[]", "[", "[[::1]]", "[::1]x"} {
		a := newAttempts(t)
		a.fail(client, 99)
		a.is(client, "alice", "unsuspected")
		a.fail(client, 1)
		a.is("", "alice", "suspected")
		a.fail(client, 1000)
		a.is(client, "alice", "suspected")
		a.is("2001:db8::1", "alice", "unsuspected")
	}
}

func TestOwnBudgets(t *testing.T) {
	a := &attempts{password.NewAttempts(password.AttemptsConfig{
		Address: password.Budget{Burst: 1, Every: time.Minute},
		Network: password.Budget{Burst: 2, Every: time.Minute},
		User:    password.Budget{Burst: 1, Every: time.Minute},
	}), t, start}
	a.is("192.0.2.1", "alice", "unsuspected").Failed(a.now)
	a.is("192.0.2.1", "bob", "refused")
	a.is("192.0.2.2", "alice", "suspected")
	a.is("192.0.2.2", "bob", "unsuspected").Failed(a.now)
	a.is("192.0.2.3", "carol", "suspected")
	a.is("203.0.113.1", "carol", "unsuspected")
}

// TestManyAddresses: with a hundred thousand addresses at it, few that have done
// nothing share both cells with busy ones, and the tables do not grow.
func TestManyAddresses(t *testing.T) {
	a := newAttempts(t)
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
		t.Errorf("%d of 1000 innocent addresses were refused", refused)
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
