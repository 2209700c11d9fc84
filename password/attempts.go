package password

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Budget is how many failed attempts are let pass: Burst at once, and one more
// each Every.
type Budget struct {
	Burst int
	Every time.Duration
}

// The budgets where none are given.
var (
	DefaultAddressBudget = Budget{10, 10 * time.Second}
	DefaultNetworkBudget = Budget{100, 5 * time.Second}
	DefaultUserBudget    = Budget{10, 10 * time.Second}
)

func (b Budget) or(other Budget) Budget {
	if b.Burst <= 0 || b.Every <= 0 {
		return other
	}
	return b
}

// full is how far a bucket that holds Burst attempts is ahead of the time.
func (b Budget) full() time.Duration { return time.Duration(b.Burst) * b.Every }

// AttemptsConfig has the budgets. The zero Budget is the default.
type AttemptsConfig struct {
	Address Budget // of an IPv4 address or an IPv6 /64; over it an address is refused
	Network Budget // of an IPv4 /16 or an IPv6 /32; over it a network is suspected
	User    Budget // of a user name, known or not; over it attempts at it are suspected
}

// Attempts counts failed attempts in tables of a fixed size, without a lock.
type Attempts struct {
	seed                       maphash.Seed
	addresses, networks, users buckets
}

// NewAttempts makes empty tables, of three MiB together.
func NewAttempts(cfg AttemptsConfig) *Attempts {
	a := &Attempts{seed: maphash.MakeSeed()}
	a.addresses.budget = cfg.Address.or(DefaultAddressBudget)
	a.networks.budget = cfg.Network.or(DefaultNetworkBudget)
	a.users.budget = cfg.User.or(DefaultUserBudget)
	return a
}

// Charge is an attempt that was counted as failed in advance.
type Charge struct {
	attempts         *Attempts
	address, network uint64
	addressed        bool
}

// Charge counts an attempt from the client's address as failed until Return,
// and tells where it stands. An address over its budget is not allowed and
// nothing is counted. Networks are wide, since nobody is refused for theirs: in a
// flood from many addresses, who comes from elsewhere goes before all of them.
//
// A client without an address, or with one that is none, is never refused,
// since nothing tells it from the others of its kind: behind a unix socket
// that would lock out everybody for one. All of them count as one network.
func (a *Attempts) Charge(client, user string, now time.Time) (charge Charge, standing Standing, allowed bool) {
	address, network, addressed := prefixesOf(client)
	charge = Charge{a, maphash.Comparable(a.seed, address), maphash.Comparable(a.seed, network), addressed}
	if addressed && a.addresses.over(charge.address, now) {
		return Charge{}, Standing{}, false
	}
	standing = Standing{Unsuspected, a.networks.ahead(charge.network, now)}
	if a.networks.over(charge.network, now) || a.users.over(maphash.String(a.seed, user), now) {
		standing.Class = Suspected
	}
	if addressed {
		a.addresses.add(charge.address, now)
	}
	a.networks.add(charge.network, now)
	return charge, standing, true
}

// Return takes the charge back: the password was right. The zero Charge is none.
func (c Charge) Return() {
	if c.attempts == nil {
		return
	}
	if c.addressed {
		c.attempts.addresses.remove(c.address)
	}
	c.attempts.networks.remove(c.network)
}

// Failed counts a failed attempt at a user. There is no need to do so in
// advance: a user has one attempt under way at a time.
func (a *Attempts) Failed(user string, now time.Time) {
	a.users.add(maphash.String(a.seed, user), now)
}

// prefixesOf reads the client's address, which some proxies give with a port.
// Where it is none the prefixes are zero.
func prefixesOf(client string) (address, network netip.Prefix, addressed bool) {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		withPort, err := netip.ParseAddrPort(client)
		if err != nil {
			return netip.Prefix{}, netip.Prefix{}, false
		}
		addr = withPort.Addr()
	}
	addr = addr.Unmap()
	narrow, wide := 64, 32
	if addr.Is4() {
		narrow, wide = 32, 16
	}
	// The number of bits fits the kind of address, so there is no error; a zone is dropped.
	address, _ = addr.Prefix(narrow)
	network, _ = addr.Prefix(wide)
	return address, network, true
}

// buckets are leaky buckets (GCRA). Each is two cells, found by a hash under a seed
// that nobody outside knows and shared with other buckets; the emptier one counts
// (count-min). So a bucket may look fuller than it is, and never emptier.
type buckets struct {
	budget Budget
	rows   [2][cells]atomic.Int64 // when the cell will be empty, in Unix nanoseconds
}

const cells = 1 << 16

func (b *buckets) cells(sum uint64) [2]*atomic.Int64 {
	return [2]*atomic.Int64{&b.rows[0][uint32(sum)%cells], &b.rows[1][uint32(sum>>32)%cells]}
}

// over tells whether one more attempt would overfill the bucket.
func (b *buckets) over(sum uint64, now time.Time) bool {
	return b.ahead(sum, now)+b.budget.Every > b.budget.full()
}

// ahead is how long the bucket takes to be empty.
func (b *buckets) ahead(sum uint64, now time.Time) time.Duration {
	both := b.cells(sum)
	return time.Duration(max(min(both[0].Load(), both[1].Load())-now.UnixNano(), 0))
}

// add puts an attempt into the bucket, which does not get fuller than full.
func (b *buckets) add(sum uint64, now time.Time) {
	at := now.UnixNano()
	for _, cell := range b.cells(sum) {
		for {
			old := cell.Load()
			next := min(max(old, at)+int64(b.budget.Every), max(old, at+int64(b.budget.full())))
			if cell.CompareAndSwap(old, next) {
				break
			}
		}
	}
}

func (b *buckets) remove(sum uint64) {
	for _, cell := range b.cells(sum) {
		cell.Add(-int64(b.budget.Every))
	}
}
