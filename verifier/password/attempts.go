package password

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"keyward/authz"
)

// Budget is how many attempts are let pass: Burst at once, and one more each Every.
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

// Who asks more often than this goes behind others for some seconds, and is never refused for it.
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

// full is how far a bucket that holds Burst attempts is ahead of the time.
func (b Budget) capacity() time.Duration { return time.Duration(b.Burst) * b.Every }

// AttemptsConfig has the budgets of failed attempts. The zero Budget is the default.
type AttemptsConfig struct {
	Address Budget // of an IPv4 address or an IPv6 /64; over it an address is refused
	Network Budget // of an IPv4 /16 or an IPv6 /32; over it a network is suspected
	User    Budget // of a user name, known or not; over it attempts at it are suspected
}

// Attempts counts attempts in tables of a fixed size, without a lock. Those
// whose password was hashed and wrong may get an address refused. All others
// only tell who goes first: if they counted for more, a flood of what nobody
// has time to hash would lock out the right ones who come from the same address,
// and fill the tables to everybody's cost.
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
	// As many as there are workers may be hashed at a time and all be wrong. What an address
	// has failed beyond its budget like that it waits for, too.
	a.addresses.overdraft = a.addresses.budget.capacity()
	return a
}

// at is the time since the tables were made. Between the times of a running
// clock that is monotonic, so a wall clock that is set changes nothing.
func (a *Attempts) at(now time.Time) time.Duration { return now.Sub(a.createdAt) }

// Attempt is where one comes from and whom it is at. The zero Attempt is never allowed.
type Attempt struct {
	attempts               *Attempts
	address, network, user uint64
	addressed              bool
}

// Attempt is one of the client's at the user, not counted yet.
//
// A client whose address is unknown is never refused, because all such clients
// look the same: behind a unix socket one of them would lock out all.
// All of them count as one network.
func (a *Attempts) Attempt(client authz.Address, user string) Attempt {
	return Attempt{
		attempts: a, address: maphash.Comparable(a.seed, client.Client()), network: maphash.Comparable(a.seed, client.Network()),
		user: maphash.String(a.seed, user), addressed: client.Known(),
	}
}

// Allowed tells whether the address has not failed too often. Ask again when the hashing
// begins: those before in the queue may have failed meanwhile.
func (t Attempt) Allowed(now time.Time) bool {
	return t.attempts != nil && !(t.addressed && t.attempts.addresses.exceeded(t.address, t.attempts.at(now)))
}

// Ask counts that the attempt is made, and tells where it stands among others.
// Networks are wide, since nobody is refused for theirs: in a flood from many
// addresses, who comes from elsewhere goes before all of them. Within a
// network the addresses are told apart, by how often they failed and ask.
func (t Attempt) Record(now time.Time) Priority {
	a, at := t.attempts, t.attempts.at(now)
	suspicion := a.networks.backlog(t.network, at) + a.networkAttempts.backlog(t.network, at)
	if t.addressed {
		suspicion += a.addresses.backlog(t.address, at) + a.addressAttempts.backlog(t.address, at)
		a.addressAttempts.add(t.address, at)
	}
	standing := Priority{Unknown, suspicion.Truncate(penaltyStep)}
	if a.networks.exceeded(t.network, at) || a.networkAttempts.exceeded(t.network, at) || a.users.exceeded(t.user, at) {
		standing.Class = Suspect
	}
	a.networkAttempts.add(t.network, at)
	return standing
}

// suspicionStep makes equals of those between whom there is no difference to
// speak of, such as one who asks twice in a second and one who asks once.
const penaltyStep = time.Second

// Failed counts that the password was hashed and wrong.
func (t Attempt) Failed(now time.Time) {
	a, at := t.attempts, t.attempts.at(now)
	if t.addressed {
		a.addresses.add(t.address, at)
	}
	a.networks.add(t.network, at)
	a.users.add(t.user, at)
}

// buckets are leaky buckets (GCRA). Each is two cells, found by a hash under a seed
// that nobody outside knows and shared with other buckets; the emptier one counts
// (count-min). So a bucket may look fuller than it is, and never emptier.
type buckets struct {
	budget    Budget
	overdraft time.Duration          // how much fuller than full it gets
	rows      [2][cells]atomic.Int64 // when the cell will be empty, in nanoseconds, see Attempts.at
}

const cells = 1 << 16

func (b *buckets) cells(sum uint64) [2]*atomic.Int64 {
	return [2]*atomic.Int64{&b.rows[0][uint32(sum)%cells], &b.rows[1][uint32(sum>>32)%cells]}
}

// over tells whether one more attempt would overfill the bucket.
func (b *buckets) exceeded(sum uint64, at time.Duration) bool {
	return b.backlog(sum, at)+b.budget.Every > b.budget.capacity()
}

// ahead is how long the bucket takes to be empty.
func (b *buckets) backlog(sum uint64, at time.Duration) time.Duration {
	both := b.cells(sum)
	return min(b.left(both[0].Load(), at), b.left(both[1].Load(), at))
}

// lateness is how much earlier the time of a request may be than that of others
// that were counted before it: it is taken when the request comes.
const lateness = time.Minute

// left is how long a cell takes to be empty. One that takes longer than any can
// is from before a clock without a monotonic reading went back, and is empty.
func (b *buckets) left(cell int64, at time.Duration) time.Duration {
	left := time.Duration(cell) - at
	if left < 0 || left > b.budget.capacity()+b.overdraft+lateness {
		return 0
	}
	return left
}

// add puts an attempt into the bucket, which does not get fuller than full and its debt.
func (b *buckets) add(sum uint64, at time.Duration) {
	most := b.budget.capacity() + b.overdraft
	for _, cell := range b.cells(sum) {
		for {
			old := cell.Load()
			left := b.left(old, at)
			next := at + min(left+b.budget.Every, max(left, most))
			if cell.CompareAndSwap(old, int64(next)) {
				break
			}
		}
	}
}
