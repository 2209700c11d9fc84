package server

import (
	"errors"
	"reflect"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/cache"
	"keyward/config"
	"keyward/keyindex"
	"keyward/verifier/tokensource"
)

// remembered is the verifier of one kind of credential with all that it
// remembers. It outlives a Core where a reload changes nothing that it was made
// of: a comment in the configuration must not have a thousand passwords hashed
// anew, or tokens forgotten while their server is away.
type remembered struct {
	authz.Verifier
	caches  []cacheStats
	servers []*tokensource.Introspector
	madeOf  origin
}

// origin is what a verifier was made of.
type origin struct {
	keys        *keyindex.Keys
	users       *keyindex.Users
	revocations *keyindex.Revocations
	cache       config.Cache
	rules       any // its own part of the configuration, compared in depth
}

func (o *origin) equals(other *origin) bool {
	return o.keys == other.keys && o.users == other.users && o.revocations == other.revocations &&
		o.cache == other.cache && reflect.DeepEqual(o.rules, other.rules)
}

// cacheStats is one cache as the metrics name it; several may share a name.
type cacheStats struct {
	name  string
	stats func() cache.Stats
}

// kindOf returns the kind's verifier of the old Core, which may be nil, where
// it was made of the same, and else what make makes of it.
func (c *Core) kindOf(kind string, old *Core, rules any, make func(*remembered) error) (*remembered, error) {
	s := c.parts.stores
	r := &remembered{madeOf: origin{s.keys, s.users, s.revocations, c.cfg.Cache, rules}}
	if old != nil && old.kinds[kind] != nil && old.kinds[kind].madeOf.equals(&r.madeOf) {
		r = old.kinds[kind]
	} else if err := make(r); err != nil {
		return nil, errors.Join(err, r.hangUp())
	}
	c.kinds[kind] = r
	return r, nil
}

// newCache makes a cache that the metrics show under the name.
func newCache[V any](r *remembered, name string, size int, ttl time.Duration) (*cache.Cache[V], error) {
	made, err := cache.New[V](size, ttl)
	if err != nil {
		return nil, err
	}
	r.caches = append(r.caches, cacheStats{name, made.Stats})
	return made, nil
}

// hangUp closes idle connections to introspection servers.
func (r *remembered) hangUp() error {
	var errs []error
	for _, server := range r.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// forgetBut lets go of the verifiers that the other Core, which may be nil, does not have too.
func (c *Core) forgetBut(other *Core) error {
	var errs []error
	for kind, r := range c.kinds {
		if other == nil || other.kinds[kind] != r {
			errs = append(errs, r.hangUp())
		}
	}
	return errors.Join(errs...)
}

// cacheStates is what the metrics show of the caches.
func (c *Core) cacheStates() []admin.CacheState {
	// All of them, so that a series is there before its cache is.
	states := []admin.CacheState{{Name: "key"}, {Name: "password"}, {Name: "token"}, {Name: "negative"}}
	index := map[string]int{}
	for i := range states {
		index[states[i].Name] = i
	}
	for _, r := range c.kinds {
		for _, each := range r.caches {
			i, stats := index[each.name], each.stats()
			states[i].Hits += stats.Hits
			states[i].Misses += stats.Misses
			states[i].Entries += stats.Entries
		}
	}
	return states
}
