package server

import (
	"fmt"
	"os"
	"strings"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/cache"
	"keyward/issuer"
	"keyward/verifier"
)

// cacheStats is one cache as the metrics name it; several may share a name.
type cacheStats struct {
	name  string
	stats func() cache.Stats
}

// newCache makes a cache that the metrics show under the name.
func newCache[V any](c *Core, name string, ttl time.Duration) (*cache.Cache[V], error) {
	made, err := cache.New[V](c.cfg.Cache.Size, ttl)
	if err != nil {
		return nil, err
	}
	c.caches = append(c.caches, cacheStats{name, made.Stats})
	return made, nil
}

// apiKeys makes the verifier of API keys.
func (c *Core) apiKeys() (*verifier.APIKey, error) {
	principals, err := newCache[verifier.KnownKey](c, "key", c.cfg.Cache.TTL)
	if err != nil {
		return nil, err
	}
	unknown, err := newCache[uint64](c, "negative", c.cfg.Cache.NegativeTTL)
	if err != nil {
		return nil, err
	}
	return verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: c.parts.stores.keys, Hasher: c.parts.stores.hasher, Users: c.parts.stores.userStore(),
		Prefixes: c.cfg.Keys.Prefixes, BasicUsers: c.cfg.BasicKeyUsernames, MaxAge: c.cfg.Keys.MaxAge,
		Principals: principals, Unknown: unknown,
	})
}

// tokens makes the verifier of JWTs.
func (c *Core) tokens(fingerprints *verifier.Fingerprints) (authz.Verifier, error) {
	known, err := newCache[verifier.KnownToken](c, "token", c.cfg.Cache.TTL)
	if err != nil {
		return nil, err
	}
	cfg := verifier.JWTConfig{
		Users: c.parts.stores.userStore(), Revocations: c.parts.stores.revoked(), Tokens: known, Fingerprints: fingerprints,
	}
	for i := range c.cfg.JWT {
		t := &c.cfg.JWT[i]
		cfg.Issuers = append(cfg.Issuers, verifier.JWTIssuer{
			Name: t.Name, Method: t.Kind, Issuer: t.Issuer, Audiences: t.Audiences, Algorithms: t.Algorithms,
			Keys: c.parts.issuers.places[keyPlaceOf(t)], SubjectClaim: t.SubjectClaim, ScopeClaim: t.ScopeClaim,
			Leeway: t.Leeway, MaxLifetime: t.MaxLifetime, Users: t.Users,
		})
	}
	return verifier.NewJWT(cfg)
}

// grants makes the verifier of opaque tokens.
func (c *Core) grants(fingerprints *verifier.Fingerprints) (authz.Verifier, error) {
	ttl := c.cfg.Cache.TTL
	for _, i := range c.cfg.Introspection {
		ttl = max(ttl, i.CacheTTL) // each grant has an end of its own
	}
	known, err := newCache[verifier.KnownGrant](c, "token", ttl)
	if err != nil {
		return nil, err
	}
	inactive, err := newCache[struct{}](c, "negative", c.cfg.Cache.NegativeTTL)
	if err != nil {
		return nil, err
	}
	cfg := verifier.IntrospectionConfig{
		Revocations: c.parts.stores.revoked(), Tokens: known, Negative: inactive, Fingerprints: fingerprints,
	}
	for _, i := range c.cfg.Introspection {
		var secret authz.Secret
		if i.ClientSecretFile != "" {
			text, err := os.ReadFile(i.ClientSecretFile)
			if err != nil {
				return nil, fmt.Errorf("introspection %s: client_secret_file: %w", i.Name, err)
			}
			secret = authz.NewSecret(strings.TrimRight(string(text), "\r\n"))
		}
		server, err := issuer.NewIntrospector(issuer.IntrospectorConfig{
			Name: i.Name, URL: i.URL, ClientID: i.ClientID, ClientSecret: secret, Timeout: i.Timeout, Log: c.parts.logger,
		})
		if err != nil {
			return nil, fmt.Errorf("introspection %s: %w", i.Name, err)
		}
		c.servers = append(c.servers, server)
		cfg.Sources = append(cfg.Sources, verifier.IntrospectionSource{Name: i.Name, Introspector: server, CacheTTL: i.CacheTTL, Audiences: i.Audiences})
		cfg.Timeout += i.Timeout // they are asked one after the other
	}
	return verifier.NewIntrospection(cfg)
}

// cacheStates is what the metrics show of the caches.
func (c *Core) cacheStates() []admin.CacheState {
	var states []admin.CacheState
	index := map[string]int{}
	for _, each := range c.caches {
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
	return states
}
