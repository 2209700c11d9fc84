package verifier

import (
	"net/netip"
	"sync"

	"keyward/authz"
	"keyward/verifier/admission"
)

// maxConcurrentPerClient is how many uncached opaque tokens of one client are
// introspected at a time. One server gets at most 64 concurrent requests
// (package tokensource), and a client that invents tokens must not take all of
// them.
const maxConcurrentPerClient = 16

// clientLimiter bounds the concurrent requests of each client. It has an entry
// only for clients with a request in flight.
type clientLimiter struct {
	maxPerClient int
	mu           sync.Mutex
	taken        map[netip.Prefix]int
}

// acquire reports whether the client may have one more request. If it may,
// release must follow. Clients without an address cannot be distinguished and
// have no bound.
func (s *clientLimiter) acquire(address authz.Address) bool {
	if !address.Known() {
		return true
	}
	client := address.Client()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[client] == s.maxPerClient {
		return false
	}
	s.taken[client]++
	return true
}

func (s *clientLimiter) release(address authz.Address) {
	if !address.Known() {
		return
	}
	client := address.Client()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[client]--; s.taken[client] == 0 {
		delete(s.taken, client)
	}
}

// clientOf returns the client at an address, as package admission counts it.
func clientOf(address authz.Address) admission.Client {
	return admission.Client{Address: address.Client(), Network: address.Network()}
}
