package password_test

import (
	"fmt"
	"testing"
	"time"

	"keyward/password"
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

func (a *attempts) is(client, user, want string) password.Charge {
	a.t.Helper()
	charge, standing, allowed := a.Charge(client, user, a.now)
	got := map[password.Class]string{password.Unsuspected: "unsuspected", password.Suspected: "suspected"}[standing.Class]
	if !allowed {
		got = "refused"
	}
	if got != want {
		a.t.Errorf("%q by %q at +%s: %s, want %s", user, client, a.now.Sub(start), got, want)
	}
	return charge
}

func (a *attempts) spend(client string, times int) {
	for range times {
		a.Charge(client, "", a.now)
	}
}

func TestAddressBudget(t *testing.T) {
	a := newAttempts(t)
	for range 10 {
		a.is("192.0.2.1", "alice", "unsuspected")
	}
	a.is("192.0.2.1", "alice", "refused")
	a.is("192.0.2.1", "bob", "refused")
	a.is("192.0.2.2", "alice", "unsuspected")
	a.now = start.Add(10*time.Second - 1)
	a.is("192.0.2.1", "alice", "refused")
	a.now = start.Add(10 * time.Second) // refused attempts cost nothing
	a.is("192.0.2.1", "alice", "unsuspected")
	a.is("192.0.2.1", "alice", "refused")
	a.now = start.Add(time.Hour) // no more than the burst is saved up
	a.spend("192.0.2.1", 10)
	a.is("192.0.2.1", "alice", "refused")
}

func TestRightPasswordsCostNothing(t *testing.T) {
	a := newAttempts(t)
	for range 100 {
		a.is("192.0.2.1", "alice", "unsuspected").Return()
		a.is("2001:db8::1", "alice", "unsuspected").Return()
		a.is("", "alice", "unsuspected").Return()
	}
	password.Charge{}.Return()
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
		{"fe80::1%eth0", "fe80::1%eth1", "refused"},
		{"2001:db8::1", "2001:db8:0:1::1", "unsuspected"},
	}
	for _, test := range tests {
		a := newAttempts(t)
		a.spend(test.spent, 10)
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
			a.is(fmt.Sprintf(test.member, n+1), "nobody", "unsuspected")
		}
		a.is(test.inside, "alice", "suspected")
		a.is(test.outside, "alice", "unsuspected").Return()
		for client, want := range map[string]time.Duration{test.inside: 500 * time.Second, test.outside: 0} {
			if _, standing, _ := a.Charge(client, "alice", a.now); standing.Suspicion != want {
				t.Errorf("%s is suspected for %s, want %s", client, standing.Suspicion, want)
			}
		}
		a.now = start.Add(5 * time.Second)
		a.is(test.inside, "alice", "unsuspected")
	}
}

// TestUsersAreSuspectedAndNotRefused: nobody can lock out another by guessing at the name.
func TestUsersAreSuspectedAndNotRefused(t *testing.T) {
	a := newAttempts(t)
	for range 10 {
		a.is("192.0.2.1", "alice", "unsuspected").Return()
		a.Failed("alice", a.now)
	}
	a.is("203.0.113.1", "alice", "suspected")
	a.is("203.0.113.1", "Alice", "unsuspected")
	for range 1000 {
		a.Failed("alice", a.now)
	}
	a.is("203.0.113.1", "alice", "suspected")
	a.now = start.Add(10 * time.Second) // however often it was tried
	a.is("203.0.113.1", "alice", "unsuspected")
}

// TestClientsWithoutAddress are one network and have no address that could be refused.
func TestClientsWithoutAddress(t *testing.T) {
	for _, client := range []string{"", "@", "unknown", "192.0.2.1.5", "192.0.2.1:port", "[::1"} {
		a := newAttempts(t)
		a.spend(client, 99)
		a.is(client, "alice", "unsuspected")
		a.is("", "alice", "suspected")
		a.spend(client, 1000)
		a.is(client, "alice", "suspected")
		a.is("192.0.2.1", "alice", "unsuspected")
	}
}

func TestOwnBudgets(t *testing.T) {
	a := &attempts{password.NewAttempts(password.AttemptsConfig{
		Address: password.Budget{Burst: 1, Every: time.Minute},
		Network: password.Budget{Burst: 2, Every: time.Minute},
		User:    password.Budget{Burst: 1, Every: time.Minute},
	}), t, start}
	a.is("192.0.2.1", "alice", "unsuspected")
	a.is("192.0.2.1", "alice", "refused")
	a.is("192.0.2.2", "alice", "unsuspected")
	a.is("192.0.2.3", "alice", "suspected")
	a.Failed("bob", a.now)
	a.is("203.0.113.1", "bob", "suspected")
}

// TestManyAddresses: with a hundred thousand addresses at it, few that have done
// nothing share both cells with busy ones, and the tables do not grow.
func TestManyAddresses(t *testing.T) {
	a := newAttempts(t)
	attempt := func(n int) bool {
		_, _, allowed := a.Charge(fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), "", a.now)
		return allowed
	}
	for n := range 100_000 {
		if !attempt(n) {
			t.Fatalf("address %d was refused at its first attempt", n)
		}
	}
	for n := range 100 {
		a.spend(fmt.Sprintf("172.16.%d.1", n), 20)
	}
	refused := 0
	for n := range 1000 {
		if _, _, allowed := a.Charge(fmt.Sprintf("192.168.%d.%d", n>>8, n&255), "", a.now); !allowed {
			refused++
		}
	}
	if refused > 5 {
		t.Errorf("%d of 1000 innocent addresses were refused", refused)
	}
	if allocs := testing.AllocsPerRun(100, func() { a.Charge("192.0.2.1", "alice", a.now) }); allocs > 0 {
		t.Errorf("%g allocations", allocs)
	}
}
