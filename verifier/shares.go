package verifier

import (
	"net/netip"
	"sync"

	"keyward/authz"
	"keyward/verifier/admission"
)

// maxAsking is how many unknown opaque tokens of one client are asked about at
// a time. A server is asked some 64 questions at once (package tokensource): one
// client that makes up tokens must not take all of them.
const maxAsking = 16

// shares bounds what each client has under way. It holds those only that have something.
type shares struct {
	most  int
	mu    sync.Mutex
	taken map[netip.Prefix]int
}

// enter tells whether the client may have one more; then leave gives it back.
// Clients without an address can't be told apart and have no bound of their own.
func (s *shares) enter(address authz.Address) bool {
	if !address.Known() {
		return true
	}
	client := address.Client()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[client] == s.most {
		return false
	}
	s.taken[client]++
	return true
}

func (s *shares) leave(address authz.Address) {
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

// clientOf is the client at an address, as work for it is counted.
func clientOf(address authz.Address) admission.Client {
	return admission.Client{Address: address.Client(), Network: address.Network()}
}
