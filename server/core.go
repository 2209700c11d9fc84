package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/extauthz"
	"keyward/issuer"
	"keyward/policy"
	"keyward/verifier"
)

// Core is everything that judges by one configuration: made whole, swapped
// whole. It shares its parts with the Core before it where their share of
// the configuration is the same.
type Core struct {
	cfg       *config.Config
	parts     parts
	usage     *keyUsage  // nil where no server counts
	passwords *passwords // nil without passwords
	caches    []cacheStats
	servers   []*issuer.Introspector
	extauthz  extauthz.Core
}

// NewCore builds what judges by the configuration, for whoever wants verdicts
// without a server. It follows the files that the configuration names until Close.
func NewCore(cfg *config.Config, logger *slog.Logger) (*Core, error) {
	parts, err := openParts(cfg, parts{}, surroundings{}, logger)
	if err != nil {
		return nil, err
	}
	core, err := buildCore(cfg, parts, nil, nil)
	if err != nil {
		return nil, errors.Join(err, parts.close())
	}
	return core, nil
}

// Checker returns what judges requests.
func (c *Core) Checker() *authz.Checker { return c.extauthz.Checker }

// Ready tells why some requests can't be judged yet, nil when all can.
func (c *Core) Ready() error { return c.parts.ready() }

// Close ends the following of files and the asking of issuers.
func (c *Core) Close() error {
	err := errors.Join(c.parts.close(), c.hangUp())
	if c.usage != nil {
		err = errors.Join(err, c.usage.Close())
	}
	return err
}

// hangUp closes idle connections to introspection servers.
func (c *Core) hangUp() error {
	var errs []error
	for _, server := range c.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// buildCore puts the parts together. Nothing of it is in force before the
// caller says so. The old Core, which may be nil, is the one it takes over from.
func buildCore(cfg *config.Config, parts parts, old *Core, observers []authz.Observer) (*Core, error) {
	c := &Core{cfg: cfg, parts: parts}
	rules, err := policy.New(cfg.Routes, cfg.Default)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	identity, err := authz.NewIdentity(cfg.IdentityHeaders, cfg.Carriers())
	if err != nil {
		return nil, fmt.Errorf("identity_headers: %w", err)
	}
	chain, err := c.verifiers(old)
	if err != nil {
		return nil, err
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready:        parts.stores.keysReady,
		Paths:        cfg.Paths,
		Policy:       rules,
		Sources:      cfg.Sources,
		Verifier:     chain,
		Identity:     identity,
		RequireHTTPS: cfg.RequireHTTPS,
		TrustedHops:  cfg.ClientAddress.TrustedHops,
		Observers:    observers,
		Now:          time.Now,
		NewID:        rand.Text,
	})
	if err != nil {
		return nil, err
	}
	c.extauthz = extauthz.Core{
		Checker: checker,
		Denials: extauthz.Denials{Errors: cfg.Errors, Now: time.Now, Challenge: extauthz.Challenge{
			None: cfg.Challenge.None, Realm: cfg.Challenge.Realm,
			Bearer: cfg.Sources.Bearer, Basic: cfg.Sources.Basic,
		}},
		Trusted: cfg.TrustedProxies,
	}
	return c, nil
}

// verifiers makes the chain of credential kinds. Its order is the contract's:
// what a prefix marks as a key is one; then who has three segments is a JWT;
// then keys without a prefix; all else is for the authorization servers.
func (c *Core) verifiers(old *Core) (verifier.Chain, error) {
	keys, err := c.apiKeys()
	if err != nil {
		return nil, err
	}
	chain := verifier.Chain{keys}
	if c.cfg.Passwords {
		if err := c.takePasswords(old); err != nil {
			return nil, err
		}
		chain = append(chain, c.passwords.verifier)
	}
	fingerprints := verifier.NewFingerprints()
	if len(c.cfg.JWT) > 0 {
		tokens, err := c.tokens(fingerprints)
		if err != nil {
			return nil, err
		}
		chain = append(chain, tokens)
	}
	chain = append(chain, keys.Unprefixed())
	if len(c.cfg.Introspection) > 0 {
		grants, err := c.grants(fingerprints)
		if err != nil {
			return nil, err
		}
		chain = append(chain, grants)
	}
	return chain, nil
}
