package keyindex

import (
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/store"
)

// Client is an OAuth client, as far as checks ask about the tokens that Keyward's own issuer
// gave to it. It is never changed: a later record makes another Client and marks this one as
// stale.
type Client struct {
	ID       string
	Scopes   authz.Scopes // the most that its tokens may have
	Disabled bool         // so is every client whose record is not supported
	// Gen is the generation of its tokens: those of an earlier one have ended.
	Gen int64
	// Origins are where the scripts of a public client are: the origins of its redirect
	// URIs.
	Origins []string

	stale atomic.Bool
}

// Stale reports whether the store says something else of this client now, or nothing. It
// is one atomic load.
func (c *Client) Stale() bool { return c.stale.Load() }

// Clients holds the OAuth clients of one store for a server; a [store.Feed] keeps it up to
// date.
type Clients struct{ set inForce[clientSet] }

// NewClients makes Clients that has none and is not ready.
func NewClients() *Clients { return &Clients{} }

// Lookup finds a client, disabled ones too. Before Ready there are none.
func (c *Clients) Lookup(id string) (*Client, bool) {
	set := c.set.Load()
	if set == nil {
		return nil, false
	}
	set.mu.RLock()
	defer set.mu.RUnlock()
	client, found := set.byID[id]
	return client, found
}

// AllowsOrigin reports whether scripts of that origin are those of a public client in force.
func (c *Clients) AllowsOrigin(origin string) bool {
	set := c.set.Load()
	if set == nil {
		return false
	}
	set.mu.RLock()
	defer set.mu.RUnlock()
	for _, client := range set.byID {
		if !client.Disabled && slices.Contains(client.Origins, origin) {
			return true
		}
	}
	return false
}

// Ready returns why Lookup cannot be relied on: clients are not loaded yet, or they are
// suspended. It is nil if it can.
func (c *Clients) Ready() error {
	if err := c.set.ready(); err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	return nil
}

// Suspend has Lookup find no client until Resume. Clients that were found before are stale
// then, and stay so.
func (c *Clients) Suspend() {
	c.set.suspend()
	if set := c.set.committed.Load(); set != nil {
		set.markStale()
	}
}

// Resume ends what Suspend began, and reports whether it had. Then its caller has the feed
// read all clients again, since those of before are stale.
func (c *Clients) Resume() bool { return c.set.resume() }

// Begin implements store.Sink.
func (c *Clients) Begin() store.Generation[store.Client] {
	return &clientSet{byID: map[string]*Client{}, gens: map[string]int64{}}
}

// Commit lets the new clients be found before the old ones report that they are stale.
func (c *Clients) Commit(next store.Generation[store.Client]) {
	if old := c.set.commit(next.(*clientSet)); old != nil {
		old.markStale()
	}
}

// Applied implements store.Sink.
func (c *Clients) Applied() {}

// Fault implements store.Sink.
func (c *Clients) Fault(reason error) { c.set.reason.Store(&reason) }

// clientSet is what the clients of a store came to when all of them were read.
type clientSet struct {
	mu   sync.RWMutex
	byID map[string]*Client

	// gens has the generation of each client, deleted ones too; it never goes back. It is
	// the writer's own.
	gens map[string]int64
}

func (s *clientSet) markStale() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, client := range s.byID {
		client.stale.Store(true)
	}
}

// Apply puts a record in force: the new client is found before the old one reports that it
// is stale, so a caller that looks it up again gets the new one.
func (s *clientSet) Apply(r *store.Client) (time.Time, error) {
	client, err := s.client(r)
	if err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	old := s.byID[r.ID]
	if client != nil {
		s.byID[client.ID] = client
	} else {
		delete(s.byID, r.ID)
	}
	s.mu.Unlock()
	if old == nil {
		return time.Time{}, nil
	}
	old.stale.Store(true)
	if !old.Disabled && (client == nil || client.Disabled || client.Gen > old.Gen) {
		return r.At, nil
	}
	return time.Time{}, nil
}

// client makes the client that a record is about, nil for a deleted one.
func (s *clientSet) client(r *store.Client) (*Client, error) {
	kept := r.Clone()
	r = &kept
	if r.Unsupported {
		r.Scopes, r.Disabled = nil, true
	}
	_, scopes, err := store.CompileAccess(nil, r.Scopes)
	if err != nil {
		return nil, errAccess
	}
	gen := max(r.Gen, s.gens[r.ID])
	s.gens[r.ID] = gen
	if !r.Deleted.IsZero() {
		return nil, nil
	}
	return &Client{ID: r.ID, Scopes: scopes, Disabled: r.Disabled, Gen: gen, Origins: originsOf(r)}, nil
}

// originsOf are the origins of a public client's redirect URIs.
func originsOf(r *store.Client) (origins []string) {
	if !r.Public {
		return nil
	}
	for _, uri := range r.RedirectURIs {
		if u, err := url.Parse(uri); err == nil && u.Host != "" {
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
	}
	return origins
}

// Undone returns an error if tokens of a client that have ended count in next, or if next
// has none of the clients.
func (c *Clients) Undone(g store.Generation[store.Client], _ time.Time) error {
	old, next := c.set.committed.Load(), g.(*clientSet)
	if old == nil {
		return nil
	}
	old.mu.RLock()
	defer old.mu.RUnlock()
	revived, kept := 0, len(old.byID) == 0
	for id, gen := range old.gens {
		client, there := next.byID[id]
		kept = kept || there
		if _, was := old.byID[id]; there && (client.Gen < gen || !was) {
			revived++
		}
	}
	switch {
	case revived > 0:
		return fmt.Errorf("clients whose tokens have ended count again: %d", revived)
	case !kept:
		return fmt.Errorf("none of the %d clients in force is left", len(old.byID))
	}
	return nil
}
