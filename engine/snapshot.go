package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/decisionlog"
	"keyward/engine/central"
	"keyward/engine/issuer"
	"keyward/extauthz"
	"keyward/manage/denials"
	"keyward/policy"
	"keyward/ratelimit"
	"keyward/reuse"
	"keyward/tracing"
	"keyward/usage"
	"keyward/verifier"
	"keyward/verifier/admission"
	"keyward/verifier/password"
)

// Snapshot is everything that checks requests by one configuration. It is built
// completely and put in force by one pointer. It shares the components whose part
// of the configuration is the same with the Snapshot before it.
type Snapshot struct {
	cfg        *config.Config
	env        *environment
	configured time.Time        // when it was built
	generation reuse.Generation // of all components below

	stores     stores
	central    *central.Store // nil: the files are the store
	keySources map[keySourceID]*keySource
	hashing    *hashing        // nil while no passwords were wanted yet
	counters   *counters       // nil in a dry run
	usage      *usage.Tracker  // nil in a dry run
	tracing    *tracing.Tracer // nil if tracing is off
	verifiers  []*verifierEntry
	apiKey     *verifier.APIKey

	limiter *ratelimit.Limiter // nil in a dry run
	console console            // empty without one
	issuer  *issuer.Issuer     // nil without one
	rules   authz.Config       // what decides, without verifier, limits and observers
	handler extauthz.Handler
}

// environment is what all Snapshots of an engine are built in.
type environment struct {
	logger      *slog.Logger
	version     string
	hashCommand password.Command
	gate        *admission.Gate // of tokens' signatures; a reload forgets no client's failures
	metrics     metrics
	observers   []authz.Observer
	dryRun      bool

	denials        *denials.Recent                           // nil without a console
	denialObserver func(configured time.Time) authz.Observer // nil: none
}

// Checker returns the Checker of this configuration.
func (s *Snapshot) Checker() *authz.Checker { return s.handler.Checker }

// Handler returns what transports answer with.
func (s *Snapshot) Handler() *extauthz.Handler { return &s.handler }

// Ready returns why some requests cannot be checked yet; nil if all can.
func (s *Snapshot) Ready() error {
	if err := s.stores.ready(); err != nil {
		return err
	}
	if s.central != nil {
		if err := s.central.Ready(); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return s.keySourcesReady()
}

// build returns a Snapshot of the configuration. It takes components over from old, which
// may be nil and stays in force until the caller replaces it. On an error nothing
// that was opened is left open.
func (e *environment) build(cfg *config.Config, old *Snapshot) (*Snapshot, error) {
	s := &Snapshot{cfg: cfg, env: e, configured: time.Now()}
	var before *reuse.Generation
	if old != nil {
		before = &old.generation
	}
	err := s.open(before)
	if err == nil && old != nil && old.Ready() == nil {
		err = s.Ready() // a reload never makes an engine less ready
	}
	if err == nil {
		err = s.assemble(before)
	}
	if err != nil {
		return nil, errors.Join(err, s.generation.Release(before))
	}
	return s, nil
}

// open opens the components that stand on their own.
func (s *Snapshot) open(old *reuse.Generation) error {
	steps := []func(*reuse.Generation) error{s.openStores, s.openKeySources, s.openHashing}
	if !s.env.dryRun {
		steps = append(steps, s.openCentral, s.openCounters, s.openTracing, s.openUsage, s.openConsole)
	}
	for _, open := range steps {
		if err := open(old); err != nil {
			return err
		}
	}
	return nil
}

// assemble makes the Checker and its Handler of the components.
func (s *Snapshot) assemble(old *reuse.Generation) error {
	cfg := s.cfg
	rules, err := policy.New(cfg.Routes, cfg.Default)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	identity, err := cfg.Identity()
	if err != nil {
		return fmt.Errorf("identity_headers: %w", err)
	}
	chain, err := s.verifierChain(old)
	if err != nil {
		return err
	}
	limiter, err := s.newLimiter()
	if err != nil {
		return err
	}
	s.rules = authz.Config{
		Ready:        s.stores.keysReady,
		Paths:        cfg.Paths,
		Policy:       rules,
		Identity:     identity,
		Overrides:    cfg.UpstreamOverrides,
		RequireHTTPS: cfg.RequireHTTPS,
		Now:          time.Now,
		Since:        time.Since,
		NewID:        newDecisionID,
	}
	checks := s.rules
	checks.Sources, checks.Verifier, checks.Limiter, checks.TrustedHops = cfg.Sources, chain, limiter, cfg.ClientAddress.TrustedHops
	checks.Observers, checks.DenialObservers = s.observers(), s.denialObservers()
	checker, err := authz.NewChecker(checks)
	if err != nil {
		return err
	}
	s.handler = extauthz.Handler{
		Checker:           checker,
		Renderer:          rendererOf(cfg, checker),
		Trusted:           cfg.TrustedProxies,
		CredentialHeaders: cfg.CredentialHeaders(),
		Metadata:          cfg.ResourceDocuments,
		Traced:            s.tracing != nil,
	}
	return s.assembleConsole(chain[0].(*verifierEntry).Verifier, limiter)
}

func rendererOf(cfg *config.Config, checker *authz.Checker) extauthz.Renderer {
	return extauthz.Renderer{
		QuotaOnAllow: cfg.RateLimits.HeadersOnAllow, KeyExpiry: cfg.Keys.ExpiryHeader, Errors: cfg.Errors, Now: time.Now,
		Challenge: extauthz.Challenge{
			None: cfg.Challenge.None, Realm: cfg.Challenge.Realm, Schemes: cfg.Sources.Schemes, TokenSchemes: cfg.Sources.TokenSchemes,
		},
		Overrides: extauthz.NewOverrides(checker.Overrides()),
	}
}

// observers returns those that get each decision.
func (s *Snapshot) observers() []authz.Observer {
	if s.env.dryRun {
		return nil
	}
	observers := []authz.Observer{s.env.metrics.decisions, s.usage}
	if s.cfg.Log.Decisions != config.LogNone {
		observers = append(observers, &decisionlog.Log{
			Logger:  s.env.logger,
			Allowed: s.cfg.Log.Decisions == config.LogAll, Denials: decisionlog.LineLimit{PerSecond: s.cfg.Log.DenialsPerSecond},
		})
	}
	if s.tracing != nil {
		observers = append(observers, s.tracing)
	}
	return append(observers, s.env.observers...)
}

// denialObservers returns those that get each denial.
func (s *Snapshot) denialObservers() []authz.Observer {
	if s.env.dryRun || s.env.denialObserver == nil {
		return nil
	}
	return []authz.Observer{s.env.denialObserver(s.configured)}
}

// newDecisionID returns an id of the form that crypto/rand.Text has: 26 characters
// of base 32. It need not be unpredictable. The generator is the runtime's ChaCha8;
// a system call for each id would be a tenth of a denial's cost.
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
