package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/cache"
	"keyward/config"
	"keyward/extauthz"
	"keyward/policy"
	"keyward/verifier"
)

// Core is everything that judges by one configuration: made whole, swapped
// whole. It shares its stores with the Core before it where their part of
// the configuration is the same.
type Core struct {
	cfg        *config.Config
	stores     *stores
	principals *cache.Cache[verifier.KnownKey]
	unknown    *cache.Cache[uint64]
	extauthz   extauthz.Core
}

// NewCore builds what judges by the configuration, for whoever wants verdicts
// without a server. It follows the files that the configuration names until Close.
func NewCore(cfg *config.Config, logger *slog.Logger) (*Core, error) {
	stores, err := openStores(storeConfigOf(cfg), nil, logger)
	if err != nil {
		return nil, err
	}
	core, err := buildCore(cfg, stores, nil)
	if err != nil {
		return nil, errors.Join(err, stores.close())
	}
	return core, nil
}

// Checker returns what judges requests.
func (c *Core) Checker() *authz.Checker { return c.extauthz.Checker }

// Ready tells why requests can't be judged yet, nil when they can.
func (c *Core) Ready() error { return c.stores.ready() }

// Close ends the following of files.
func (c *Core) Close() error { return c.stores.close() }

// buildCore puts the parts together. Nothing of it is in force before the caller says so.
func buildCore(cfg *config.Config, stores *stores, observers []authz.Observer) (*Core, error) {
	c := &Core{cfg: cfg, stores: stores}
	rules, err := policy.New(cfg.Routes, cfg.Default)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	identity, err := authz.NewIdentity(cfg.IdentityHeaders, cfg.Carriers())
	if err != nil {
		return nil, fmt.Errorf("identity_headers: %w", err)
	}
	keys, err := c.apiKeys()
	if err != nil {
		return nil, err
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready:        stores.keysReady,
		Paths:        cfg.Paths,
		Policy:       rules,
		Sources:      cfg.Sources,
		Verifier:     verifier.Chain{keys},
		Identity:     identity,
		RequireHTTPS: cfg.RequireHTTPS,
		Observers:    observers,
		Now:          time.Now,
		NewID:        rand.Text,
	})
	if err != nil {
		return nil, err
	}
	c.extauthz = extauthz.Core{Checker: checker, Challenge: extauthz.Challenge{
		None: cfg.Challenge.None, Realm: cfg.Challenge.Realm,
		Bearer: cfg.Sources.Bearer, Basic: cfg.Sources.Basic,
	}}
	return c, nil
}

// apiKeys makes the verifier of API keys and its caches.
func (c *Core) apiKeys() (authz.Verifier, error) {
	var err error
	if c.principals, err = cache.New[verifier.KnownKey](c.cfg.Cache.Size, c.cfg.Cache.TTL); err != nil {
		return nil, err
	}
	if c.unknown, err = cache.New[uint64](c.cfg.Cache.Size, c.cfg.Cache.NegativeTTL); err != nil {
		return nil, err
	}
	cfg := verifier.APIKeyConfig{
		Keys: c.stores.keys, Hasher: c.stores.hasher,
		Prefixes: c.cfg.Keys.Prefixes, BasicUsers: c.cfg.BasicKeyUsernames, MaxAge: c.cfg.Keys.MaxAge,
		Principals: c.principals, Unknown: c.unknown,
	}
	if c.stores.users != nil {
		cfg.Users = c.stores.users
	}
	return verifier.NewAPIKey(cfg)
}

// cacheStates is what the metrics show of the caches.
func (c *Core) cacheStates() []admin.CacheState {
	known, unknown := c.principals.Stats(), c.unknown.Stats()
	return []admin.CacheState{
		{Name: "key", Hits: known.Hits, Misses: known.Misses, Entries: known.Entries},
		{Name: "negative", Hits: unknown.Hits, Misses: unknown.Misses, Entries: unknown.Entries},
	}
}
