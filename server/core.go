package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/extauthz"
	"keyward/policy"
	"keyward/ratelimit"
)

// Core is everything that judges by one configuration: made whole, swapped
// whole. It shares its parts with the Core before it where their share of
// the configuration is the same.
type Core struct {
	cfg      *config.Config
	parts    parts
	kinds    map[string]*remembered
	limiter  *ratelimit.Limiter // nil where no server counts
	extauthz extauthz.Handler
}

// ears are told what a Core decides; the zero value is nobody.
type ears struct {
	observers []authz.Observer
	shadowed  func(limit string)
}

// NewCore builds what judges by the configuration, for whoever wants verdicts
// without a server. It follows the files that the configuration names until Close.
func NewCore(cfg *config.Config, logger *slog.Logger) (*Core, error) {
	parts, err := openParts(cfg, parts{}, surroundings{}, logger)
	if err != nil {
		return nil, cfg.HideEnv(err)
	}
	core, err := buildCore(cfg, parts, nil, ears{})
	if err != nil {
		return nil, errors.Join(cfg.HideEnv(err), parts.close())
	}
	return core, nil
}

// Checker returns what judges requests.
func (c *Core) Checker() *authz.Checker { return c.extauthz.Checker }

// Ready tells why some requests can't be judged yet, nil when all can.
func (c *Core) Ready() error { return c.parts.ready() }

// Close ends the following of files and the asking of issuers.
func (c *Core) Close() error { return errors.Join(c.parts.close(), c.forgetBut(nil)) }

// buildCore puts the parts together. Nothing of it is in force before the
// caller says so. The old Core, which may be nil, is the one it takes over from.
func buildCore(cfg *config.Config, parts parts, old *Core, told ears) (*Core, error) {
	c := &Core{cfg: cfg, parts: parts, kinds: map[string]*remembered{}}
	rules, err := policy.New(cfg.Routes, cfg.Default)
	if err != nil {
		return nil, fmt.Errorf("routes: %w", err)
	}
	identity, err := cfg.Identity()
	if err != nil {
		return nil, fmt.Errorf("identity_headers: %w", err)
	}
	chain, err := c.verifiers(old)
	if err != nil {
		return nil, errors.Join(err, c.forgetBut(old))
	}
	limiter, err := c.limits(told.shadowed)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rate_limits: %w", err), c.forgetBut(old))
	}
	checker, err := authz.NewChecker(authz.Config{
		Limiter:      limiter,
		Ready:        parts.stores.keysReady,
		Paths:        cfg.Paths,
		Policy:       rules,
		Sources:      cfg.Sources,
		Verifier:     chain,
		Identity:     identity,
		Overrides:    cfg.UpstreamOverrides,
		RequireHTTPS: cfg.RequireHTTPS,
		TrustedHops:  cfg.ClientAddress.TrustedHops,
		Observers:    told.observers,
		Now:          time.Now,
		Since:        time.Since,
		NewID:        newDecisionID,
	})
	if err != nil {
		return nil, errors.Join(err, c.forgetBut(old))
	}
	c.extauthz = extauthz.Handler{
		Checker: checker,
		Renderer: extauthz.Renderer{
			QuotaOnAllow: cfg.RateLimits.OnAllow, Errors: cfg.Errors, Now: time.Now, Challenge: extauthz.Challenge{
				None: cfg.Challenge.None, Realm: cfg.Challenge.Realm, Schemes: cfg.Sources.Schemes,
			},
			Overrides: extauthz.NewOverrides(checker.Overrides()),
		},
		Trusted:           cfg.TrustedProxies,
		CredentialHeaders: cfg.Carriers(),
		Traced:            parts.tracing != nil,
	}
	return c, nil
}

// limits makes what counts requests: an interface without anything in it where nothing does.
func (c *Core) limits(shadowed func(string)) (authz.Limiter, error) {
	if c.parts.limits == nil {
		return nil, nil
	}
	var err error
	c.limiter, err = c.parts.limits.limiter(c.cfg, shadowed)
	return c.limiter, err
}

// newDecisionID names a decision, as crypto/rand.Text would: 26 characters of
// base 32, which nobody has to be kept from guessing. The generator is the
// runtime's ChaCha8; asking the system each time would be a tenth of a denial's cost.
func newDecisionID() string {
	const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var id [26]byte
	for i := 0; i < len(id); {
		for bits, n := rand.Uint64(), 0; n < 12 && i < len(id); i, n = i+1, n+1 {
			id[i] = base32[bits&31]
			bits >>= 5
		}
	}
	return string(id[:])
}
