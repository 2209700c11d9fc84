package engine

import (
	"errors"
	"reflect"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/cache"
	"keyward/config"
	"keyward/keyindex"
	"keyward/reuse"
	"keyward/verifier/tokensource"
)

// verifierEntry is a verifier with its caches. A reload keeps it if none of its
// inputs changed: a comment in the configuration must not have a thousand
// passwords hashed again, or tokens forgotten while their server is unavailable.
type verifierEntry struct {
	authz.Verifier
	caches  []cacheStats
	servers []*tokensource.Introspector
	inputs  buildInputs
}

// Close closes idle connections to introspection servers.
func (v *verifierEntry) Close() error {
	var errs []error
	for _, server := range v.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// buildInputs are what a verifier is built from.
type buildInputs struct {
	keys        *keyindex.Keys
	users       *keyindex.Users
	revocations *keyindex.Revocations
	clients     *keyindex.Clients
	cache       config.Cache
	rules       any // its own part of the configuration, compared in depth
}

func (in buildInputs) equal(other buildInputs) bool {
	return in.keys == other.keys && in.users == other.users && in.revocations == other.revocations && in.clients == other.clients &&
		in.cache == other.cache && reflect.DeepEqual(in.rules, other.rules)
}

// cacheStats is one cache as the metrics name it; several may share a name.
type cacheStats struct {
	name  string
	stats func() cache.Stats
}

// verifierFor returns the verifier of a kind of credential: that of old if its
// inputs are equal, else what build completes.
func (s *Snapshot) verifierFor(kind string, old *reuse.Generation, rules any, build func(*verifierEntry) error) (*verifierEntry, error) {
	inputs := buildInputs{s.stores.keys.records, s.stores.userRecords(), s.stores.revocationRecords(), s.stores.clientRecords(), s.cfg.Cache, rules}
	v, err := reuse.OrFunc(&s.generation, old, kind, inputs, buildInputs.equal, func() (*verifierEntry, error) {
		v := &verifierEntry{inputs: inputs}
		if err := build(v); err != nil {
			return nil, errors.Join(err, v.Close())
		}
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	s.verifiers = append(s.verifiers, v)
	return v, nil
}

// newCache makes a cache that the metrics show under the name.
func newCache[V any](v *verifierEntry, name string, size int, ttl time.Duration) (*cache.Cache[V], error) {
	made, err := cache.New[V](size, ttl)
	if err != nil {
		return nil, err
	}
	v.caches = append(v.caches, cacheStats{name, made.Stats})
	return made, nil
}

// cacheStates returns the state of the caches, as the metrics show it.
func (s *Snapshot) cacheStates() []admin.CacheState {
	// All of them, so that a series is there before its cache is.
	states := []admin.CacheState{{Name: "key"}, {Name: "password"}, {Name: "token"}, {Name: "negative"}}
	index := map[string]int{}
	for i := range states {
		index[states[i].Name] = i
	}
	for _, v := range s.verifiers {
		for _, each := range v.caches {
			i, known := index[each.name]
			if !known {
				i = len(states)
				index[each.name] = i
				states = append(states, admin.CacheState{Name: each.name})
			}
			stats := each.stats()
			states[i].Hits += stats.Hits
			states[i].Misses += stats.Misses
			states[i].Entries += stats.Entries
		}
	}
	return states
}
