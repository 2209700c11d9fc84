package password

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"keyward/authz"
)

// Budget is how many attempts are allowed: Burst at once, and one more per
// Every.
type Budget struct {
	Burst int
	Every time.Duration
}

// The default budgets.
var (
	DefaultAddressBudget = Budget{10, 10 * time.Second}
	DefaultNetworkBudget = Budget{100, 5 * time.Second}
	DefaultUserBudget    = Budget{10, 10 * time.Second}
)

// An origin with more attempts than this has a lower priority for some seconds.
// It is not refused for that.
var (
	addressRate = Budget{50, 200 * time.Millisecond}
	networkRate = Budget{100, 100 * time.Millisecond}
)

func (b Budget) or(other Budget) Budget {
	if b.Burst <= 0 || b.Every <= 0 {
		return other
	}
	return b
}

// capacity is how long a full bucket takes to drain.
func (b Budget) capacity() time.Duration { return time.Duration(b.Burst) * b.Every }

// AttemptsConfig has the budgets of failed attempts. The zero Budget is the
// default.
type AttemptsConfig struct {
	Address Budget // of an IPv4 address or an IPv6 /64; over it an address is refused
	Network Budget // of an IPv4 /16 or an IPv6 /32; over it a network is suspect
	User    Budget // of a user name, known or not; over it its attempts are suspect
}

// Attempts counts attempts in tables of a fixed size, without a lock. Only
// verified failures can block an address. Unverified attempts affect priority
// alone; otherwise a flood that exceeds hashing capacity would lock out
// legitimate users behind the same address, and fill the tables with attempts of
// one client.
type Attempts struct {
	seed                             maphash.Seed
	createdAt                        time.Time // see at
	addresses, networks, users       buckets   // failed attempts
	addressAttempts, networkAttempts buckets   // all of them, for some seconds
}

// NewAttempts makes empty tables, of five MiB together.
func NewAttempts(cfg AttemptsConfig) *Attempts {
	a := &Attempts{seed: maphash.MakeSeed(), createdAt: time.Now()}
	a.addresses.budget = cfg.Address.or(DefaultAddressBudget)
	a.networks.budget = cfg.Network.or(DefaultNetworkBudget)
	a.users.budget = cfg.User.or(DefaultUserBudget)
	a.addressAttempts.budget, a.networkAttempts.budget = addressRate, networkRate
	// The workers may find several wrong passwords of one address at a time. An
	// address that exceeds its budget that way waits for the excess too.
	a.addresses.overdraft = a.addresses.budget.capacity()
	return a
}

// at returns the time since the tables were made, by the monotonic clock:
// setting the wall clock changes nothing.
func (a *Attempts) at(now time.Time) time.Duration { return now.Sub(a.createdAt) }

// Attempt is the origin and the user of an attempt. The zero Attempt is never
// allowed.
type Attempt struct {
	attempts               *Attempts
	address, network, user uint64
	addressed              bool
}

// Attempt returns an attempt of the client to log in as the user. It is not
// counted yet.
//
// A client whose address is unknown is never refused, because such clients
// cannot be distinguished: behind a unix socket one of them would lock out all.
// All of them count as one network.
func (a *Attempts) Attempt(client authz.Address, user string) Attempt {
	return Attempt{
		attempts: a, address: maphash.Comparable(a.seed, client.Client()), network: maphash.Comparable(a.seed, client.Network()),
		user: maphash.String(a.seed, user), addressed: client.Known(),
	}
}

// Allowed reports whether the address has not failed too often. Check again
// when the hashing begins: attempts that were queued earlier may have failed
// meanwhile.
func (t Attempt) Allowed(now time.Time) bool {
	return t.attempts != nil && !(t.addressed && t.attempts.addresses.exceeded(t.address, t.attempts.at(now)))
}

// Record counts the attempt and returns its priority. Networks are wide, since
// no client is refused for its network: in a flood from many addresses, clients
// of other networks go before all of them. Within a network, addresses are
// ordered by their failures and attempts.
func (t Attempt) Record(now time.Time) Priority {
	a, at := t.attempts, t.attempts.at(now)
	penalty := a.networks.backlog(t.network, at) + a.networkAttempts.backlog(t.network, at)
	if t.addressed {
		penalty += a.addresses.backlog(t.address, at) + a.addressAttempts.backlog(t.address, at)
		a.addressAttempts.add(t.address, at)
	}
	priority := Priority{Unknown, penalty.Truncate(penaltyStep)}
	if a.networks.exceeded(t.network, at) || a.networkAttempts.exceeded(t.network, at) || a.users.exceeded(t.user, at) {
		priority.Class = Suspect
	}
	a.networkAttempts.add(t.network, at)
	return priority
}

// penaltyStep is the difference below which penalties are equal, such as those
// of a client with two attempts in a second and a client with one.
const penaltyStep = time.Second

// Failed counts that the password was hashed and is wrong.
func (t Attempt) Failed(now time.Time) {
	a, at := t.attempts, t.attempts.at(now)
	if t.addressed {
		a.addresses.add(t.address, at)
	}
	a.networks.add(t.network, at)
	a.users.add(t.user, at)
}

// buckets are leaky buckets (GCRA). Each is two cells, found by a hash under a
// random seed and shared with other buckets; the emptier one counts (count-min
// sketch). So a bucket may look fuller than it is, and never emptier.
type buckets struct {
	budget    Budget
	overdraft time.Duration          // how far it may exceed its capacity
	rows      [2][cells]atomic.Int64 // when the cell will be empty, in nanoseconds, see Attempts.at
}

const cells = 1 << 16

func (b *buckets) cells(sum uint64) [2]*atomic.Int64 {
	return [2]*atomic.Int64{&b.rows[0][uint32(sum)%cells], &b.rows[1][uint32(sum>>32)%cells]}
}

// exceeded reports whether one more attempt would overflow the bucket.
func (b *buckets) exceeded(sum uint64, at time.Duration) bool {
	return b.backlog(sum, at)+b.budget.Every > b.budget.capacity()
}

// backlog returns how long the bucket takes to drain.
func (b *buckets) backlog(sum uint64, at time.Duration) time.Duration {
	both := b.cells(sum)
	return min(b.left(both[0].Load(), at), b.left(both[1].Load(), at))
}

// lateness bounds how much earlier a request may have arrived than one that was
// counted before it: each is counted by its time of arrival.
const lateness = time.Minute

// left returns how long a cell takes to drain. A cell above the maximum was
// written before a clock without a monotonic reading was set back, and counts as
// empty.
func (b *buckets) left(cell int64, at time.Duration) time.Duration {
	left := time.Duration(cell) - at
	if left < 0 || left > b.budget.capacity()+b.overdraft+lateness {
		return 0
	}
	return left
}

// add puts an attempt into the bucket, up to its capacity and overdraft.
func (b *buckets) add(sum uint64, at time.Duration) {
	limit := b.budget.capacity() + b.overdraft
	for _, cell := range b.cells(sum) {
		for {
			old := cell.Load()
			left := b.left(old, at)
			next := at + min(left+b.budget.Every, max(left, limit))
			if cell.CompareAndSwap(old, int64(next)) {
				break
			}
		}
	}
}
