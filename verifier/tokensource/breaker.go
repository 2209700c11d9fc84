package tokensource

import (
	"net/netip"
	"sync"
	"time"

	"keyward/authz"
)

// outcome is what the attempt to ask a server says about the server.
type outcome uint8

const (
	abandoned   outcome = iota // nothing: the caller gave up
	answered                   // it is there, whatever it answered
	failed                     // an error, which the token may have caused
	unreachable                // no connection, which a token cannot cause
)

const (
	failuresToCut = 5           // in a row, after which questions are held back
	networksToCut = 3           // from which failures must come, if a token can cause them
	cutFor        = time.Second // until the next question of a client finds out whether the server is well
	maxProbes     = 8           // of all clients, in each cutFor
	networkProbes = 4           // of the clients of one network
	maxFailing    = 4096        // clients of which it is remembered that their questions fail
)

// breaker holds back questions to a server that does not answer, so that the
// callers get their 503 at once.
//
// A client may hold a token that makes the server fail. So failures in a row
// hold back the questions of that client alone. All clients' are held back
// where the server cannot be reached, or where failures come from several
// networks without an answer in between: within its network a host can pose as
// many clients. Then several clients find out whether the server is well again:
// if one did so for all, a token that fails would keep the others out.
type breaker struct {
	now     func() time.Time
	changed func(open bool) // called with the lock held

	mu          sync.Mutex
	open        bool
	unreachable int // attempts in a row
	failures    int // attempts in a row, of whatever kind
	networks    map[netip.Prefix]struct{}
	probes      map[netip.Prefix]int // by network
	probed      time.Time            // when the first of the probes was let through
	failing     map[netip.Prefix]*failing
}

// failing is a client whose last questions failed.
type failing struct {
	failures int
	asked    time.Time // when the last question was let through
}

func newBreaker(now func() time.Time, changed func(open bool)) *breaker {
	return &breaker{now: now, changed: changed, networks: map[netip.Prefix]struct{}{}, probes: map[netip.Prefix]int{}, failing: map[netip.Prefix]*failing{}}
}

// enter reports whether a client may ask. Then leave says what came of it.
func (b *breaker) enter(address authz.Address) bool {
	now, client := b.now(), address.Client()
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failing[client]
	if !b.open && (f == nil || f.failures < failuresToCut) {
		return true
	}
	if f != nil && within(now, f.asked, cutFor) || b.open && !b.mayProbe(address.Network(), now) {
		return false
	}
	if f != nil {
		f.asked = now
	} else if client.IsValid() {
		b.remember(client, &failing{asked: now})
	}
	return true
}

// mayProbe reports whether one more client of the network may find out whether the server is well.
func (b *breaker) mayProbe(network netip.Prefix, now time.Time) bool {
	if !within(now, b.probed, cutFor) {
		clear(b.probes)
		b.probed = now
	}
	all := 0
	for _, n := range b.probes {
		all += n
	}
	if all >= maxProbes || b.probes[network] >= networkProbes {
		return false
	}
	b.probes[network]++
	return true
}

// within reports whether less than d has passed since then. A clock that went
// back ends it.
func within(now, then time.Time, d time.Duration) bool {
	since := now.Sub(then)
	return since >= 0 && since < d
}

// leave notes what came of a question of that client. Clients whose address is
// unknown are not held back one by one.
func (b *breaker) leave(address authz.Address, o outcome) {
	now, client := b.now(), address.Client()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case abandoned:
		return
	case answered:
		delete(b.failing, client)
		b.unreachable, b.failures = 0, 0
		clear(b.networks)
		b.set(false)
		return
	case unreachable:
		b.unreachable++
	case failed:
		b.unreachable = 0
	}
	b.failures++
	if len(b.networks) < networksToCut {
		b.networks[address.Network()] = struct{}{}
	}
	b.blame(client, now)
	if b.unreachable >= failuresToCut || b.failures >= failuresToCut && len(b.networks) >= networksToCut {
		b.set(true)
	}
}

func (b *breaker) blame(client netip.Prefix, now time.Time) {
	if !client.IsValid() {
		return
	}
	if f := b.failing[client]; f != nil {
		f.failures++
		f.asked = now
		return
	}
	b.remember(client, &failing{failures: 1, asked: now})
}

// remember makes room by forgetting any other client: it has to fail some times more.
func (b *breaker) remember(client netip.Prefix, f *failing) {
	if len(b.failing) >= maxFailing {
		for other := range b.failing {
			delete(b.failing, other)
			break
		}
	}
	b.failing[client] = f
}

func (b *breaker) set(open bool) {
	if b.open != open {
		b.open = open
		b.changed(open)
	}
}
