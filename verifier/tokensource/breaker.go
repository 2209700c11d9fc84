package tokensource

import (
	"net/netip"
	"sync"
	"time"

	"keyward/authz"
)

// outcome is what a request says about the server it was sent to.
type outcome uint8

const (
	canceled    outcome = iota // nothing: the caller left
	answered                   // it is up, whatever it answered
	failed                     // an error that the token may have caused
	unreachable                // no connection, which a token cannot cause
)

const (
	breakerThreshold = 5           // consecutive failures after which requests are rejected
	breakerNetworks  = 3           // that failures must come from, if a token can cause them
	breakerOpenFor   = time.Second // until the next request of a client probes the server
	maxProbes        = 8           // of all clients, per breakerOpenFor
	networkProbes    = 4           // of one network's clients, per breakerOpenFor
	maxFailing       = 4096        // clients whose failures are counted one by one
)

// breaker is a circuit breaker in front of a server: while it is open, callers
// get their 503 at once.
//
// A client may hold a token that makes the server fail, so consecutive failures
// open the breaker for that client alone. It opens for all clients if the
// server cannot be reached, or if failures come from several networks without
// an answer in between: within its network a host can pose as many clients.
// Several clients then probe the server. If one client probed for all, a token
// that fails would keep the others out.
type breaker struct {
	now     func() time.Time
	changed func(open bool) // called with the lock held

	mu          sync.Mutex
	open        bool
	unreachable int // consecutive requests
	failures    int // consecutive requests, of either kind of failure
	networks    map[netip.Prefix]struct{}
	probes      map[netip.Prefix]int // by network
	probed      time.Time            // when the first of the probes was sent
	failing     map[netip.Prefix]*failingClient
}

// failingClient is a client whose last requests failed.
type failingClient struct {
	failures    int
	lastRequest time.Time // when its last request was sent
}

func newBreaker(now func() time.Time, changed func(open bool)) *breaker {
	return &breaker{now: now, changed: changed, networks: map[netip.Prefix]struct{}{}, probes: map[netip.Prefix]int{}, failing: map[netip.Prefix]*failingClient{}}
}

// allow reports whether a client may send a request. If it may, done must
// follow.
func (b *breaker) allow(address authz.Address) bool {
	now, client := b.now(), address.Client()
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failing[client]
	if !b.open && (f == nil || f.failures < breakerThreshold) {
		return true
	}
	if f != nil && within(now, f.lastRequest, breakerOpenFor) || b.open && !b.mayProbe(address.Network(), now) {
		return false
	}
	if f != nil {
		f.lastRequest = now
	} else if client.IsValid() {
		b.track(client, &failingClient{lastRequest: now})
	}
	return true
}

// mayProbe reports whether one more client of the network may probe the server.
func (b *breaker) mayProbe(network netip.Prefix, now time.Time) bool {
	if !within(now, b.probed, breakerOpenFor) {
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

// within reports whether less than d has passed since then. It is false once
// the clock has been set back.
func within(now, then time.Time, d time.Duration) bool {
	since := now.Sub(then)
	return since >= 0 && since < d
}

// done records the outcome of a client's request. Failures of clients whose
// address is unknown are not counted per client.
func (b *breaker) done(address authz.Address, o outcome) {
	now, client := b.now(), address.Client()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case canceled:
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
	if len(b.networks) < breakerNetworks {
		b.networks[address.Network()] = struct{}{}
	}
	b.recordFailure(client, now)
	if b.unreachable >= breakerThreshold || b.failures >= breakerThreshold && len(b.networks) >= breakerNetworks {
		b.set(true)
	}
}

func (b *breaker) recordFailure(client netip.Prefix, now time.Time) {
	if !client.IsValid() {
		return
	}
	if f := b.failing[client]; f != nil {
		f.failures++
		f.lastRequest = now
		return
	}
	b.track(client, &failingClient{failures: 1, lastRequest: now})
}

// track evicts an arbitrary client if the table is full: that client has to
// fail some more times.
func (b *breaker) track(client netip.Prefix, f *failingClient) {
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
