package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/chars"
	"keyward/store"
	"keyward/verifier/fingerprint"
)

// IntrospectionSource is one authorization server.
type IntrospectionSource struct {
	Name         string // in errors; the issuer where the server names none
	Introspector Introspector
	CacheTTL     time.Duration // how long its word counts; 0: for the one request
	Audiences    []string      // one of them must be in aud; empty: aud is not looked at
}

// IntrospectionConfig says what an Introspection verifier is made of.
type IntrospectionConfig struct {
	// Sources are asked in order, until one says that the token is active.
	Sources []IntrospectionSource
	// Timeout bounds the asking of all of them together; 0 is 200 ms, which
	// leaves Envoy's 250 ms some room.
	Timeout      time.Duration
	Revocations  Revocations // nil: no token ends before its time
	Fingerprints *fingerprint.Hasher

	// Tokens holds what active tokens grant, no longer than CacheTTL and the
	// token's own end whatever the cache's ttl is. Negative holds why tokens are
	// refused that every source said are inactive, or that are not to be accepted.
	Tokens   *cache.Cache[CachedGrant]
	Negative *cache.Cache[*authz.CredentialError]
}

// serverLeeway is how far an authorization server's clock may be ahead, like the
// default of jwt's leeway.
const serverLeeway = 30 * time.Second

// CachedGrant is what an active token grants, with what determines whether it still does.
type CachedGrant struct {
	principal *authz.Principal
	notBefore time.Time
	asked     time.Time
	keep      time.Duration // from then on the server is not asked again

	jti      string
	issuedAt time.Time // the earliest that it may have been; zero: not told
	revoked  bool
	changes  uint64 // Revocations.Changes from before revoked was found out
}

// Introspection verifies opaque bearer tokens by asking authorization servers
// about them (RFC 7662). It takes any bearer token, so it comes last in a chain.
type Introspection struct {
	cfg     IntrospectionConfig
	limiter clientLimiter
	failed  *cache.Cache[error] // of tokens at which a server failed a moment ago
}

// A token's error counts for a while, so that one that makes its server fail
// reaches it seldom, however often it is shown.
const (
	failedFor = time.Second
	maxFailed = 4096
)

// NewIntrospection returns a verifier of the given parts.
func NewIntrospection(cfg IntrospectionConfig) (*Introspection, error) {
	if len(cfg.Sources) == 0 || cfg.Fingerprints == nil || cfg.Tokens == nil || cfg.Negative == nil {
		return nil, errors.New("verifier: a part is missing from IntrospectionConfig")
	}
	for _, source := range cfg.Sources {
		if source.Introspector == nil {
			return nil, fmt.Errorf("verifier: introspection %s has nobody to ask", source.Name)
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 200 * time.Millisecond
	}
	failed, err := cache.New[error](maxFailed, failedFor)
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	return &Introspection{cfg: cfg, limiter: clientLimiter{maxPerClient: maxConcurrentPerClient, taken: map[netip.Prefix]int{}}, failed: failed}, nil
}

// Verify implements authz.Verifier.
func (v *Introspection) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	if c.Scheme != authz.SchemeBearer {
		return nil, authz.ErrNotMine
	}
	if v.cfg.Revocations != nil {
		if err := v.cfg.Revocations.Ready(); err != nil {
			return nil, fmt.Errorf("revocations: %w", err)
		}
	}
	id := v.cfg.Fingerprints.Sum("opaque token", c.Secret.Reveal())
	grant, ok := v.cfg.Tokens.Get(&id, now)
	if ok && (grant.fresh(now) || grant.expired(now)) {
		return v.admit(&id, &grant, now)
	}
	if refusal, refused := v.cfg.Negative.Get(&id, now); refused {
		return nil, refusal
	}
	if err, failed := v.failed.Get(&id, now); failed {
		return nil, err
	}
	client := c.Client.Address()
	if !v.limiter.acquire(client) {
		return nil, errOverloaded
	}
	defer v.limiter.release(client)
	grant, err := v.compute(ctx, id, client, c.Secret, now)
	if err != nil {
		return nil, err
	}
	return v.admit(&id, &grant, now)
}

// compute asks once for all who want to know at the same time. It is apart
// from Verify so that a hit makes no closure.
func (v *Introspection) compute(ctx context.Context, id cache.Key, client authz.Address, token authz.Secret, now time.Time) (CachedGrant, error) {
	return v.cfg.Tokens.Compute(ctx, &id, now, func() (CachedGrant, error) {
		grant, err := v.ask(ctx, client, token, now)
		refusal, refused := errors.AsType[*authz.CredentialError](err)
		switch {
		case refused:
			v.cfg.Negative.Put(&id, refusal, now)
		case err != nil && !errors.Is(err, ErrNotAsked):
			v.failed.Put(&id, err, now)
		}
		return grant, err
	})
}

// admit returns the principal if the grant is in force now. What the server said may be
// some time ago, and more than one may have waited for it.
func (v *Introspection) admit(id *cache.Key, grant *CachedGrant, now time.Time) (*authz.Principal, error) {
	if v.cfg.Revocations != nil && v.cfg.Revocations.Changes() != grant.changes {
		v.checkRevocation(grant)
		v.cfg.Tokens.Put(id, *grant, now)
	}
	switch {
	case grant.expired(now):
		return nil, &authz.CredentialError{Reason: authz.ExpiredToken, Principal: grant.principal}
	case grant.revoked:
		return nil, &authz.CredentialError{Reason: authz.RevokedToken, Principal: grant.principal}
	case now.Before(grant.notBefore):
		return nil, &authz.CredentialError{Reason: authz.InvalidToken, Principal: grant.principal, Cause: &Cause{RuleNbf, "a time that is not in the future", "a later one"}}
	default:
		return grant.principal, nil
	}
}

// fresh reports whether the server's word still counts. It does not in what was
// the future before a clock went back.
func (g *CachedGrant) fresh(now time.Time) bool {
	age := now.Sub(g.asked)
	return -g.keep < age && age < g.keep
}

func (g *CachedGrant) expired(now time.Time) bool {
	end := g.principal.ExpiresAt
	return !end.IsZero() && !now.Before(end)
}

// checkRevocation looks up whether the token was revoked. The number of changes is read
// first, so that a concurrent revocation counts as a change.
func (v *Introspection) checkRevocation(g *CachedGrant) {
	g.changes = v.cfg.Revocations.Changes()
	g.revoked = v.cfg.Revocations.Revoked(g.jti, revocable(g.principal), g.issuedAt)
}

// ask asks the sources. Others may wait for the answer, so it does not end
// with the one who happened to ask first.
func (v *Introspection) ask(ctx context.Context, client authz.Address, token authz.Secret, now time.Time) (CachedGrant, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.cfg.Timeout)
	defer cancel()
	var errs []error
	for i := range v.cfg.Sources {
		source := &v.cfg.Sources[i]
		switch info, err := source.Introspector.Introspect(ctx, client, token); {
		case err != nil:
			errs = append(errs, fmt.Errorf("introspection %s: %w", source.Name, err))
		case info.Active:
			return v.grant(info, source, now)
		}
	}
	if len(errs) > 0 {
		return CachedGrant{}, errors.Join(errs...)
	}
	return CachedGrant{}, errInactive
}

var errInactive = invalid(&Cause{RuleActive, "an active token", "one that its server calls inactive"})

func (s *IntrospectionSource) isAudience(named []string) bool {
	return len(s.Audiences) == 0 || slices.ContainsFunc(named, func(name string) bool { return slices.Contains(s.Audiences, name) })
}

// issuer is what the server calls the token's issuer, or else the source's
// name: a subject belongs to one of them.
func (s *IntrospectionSource) issuer(info *TokenInfo) string {
	if info.Issuer == "" {
		return s.Name
	}
	return info.Issuer
}

// screen checks what a server says of an active token against what a bearer token
// must be.
func (s *IntrospectionSource) screen(info *TokenInfo) *Cause {
	switch {
	case info.SenderConstrained:
		return causeSenderConstrained
	case !isAccess(info.TokenType) || !isAccess(info.Use):
		return &Cause{RuleUse, "an access token", "a token for another use"}
	case !s.isAudience(info.Audience):
		return &Cause{RuleAud, oneOf(s.Audiences) + " (audiences)", "others, or none"}
	case info.JTI != "" && !chars.IsClaim(info.JTI):
		return &Cause{RuleJti, wantText + ", or none", "one that is not"}
	default:
		return nil
	}
}

// subjectOf returns the user or the client of an active token, as readSubject does
// for a JWT: a client's id is never a user.
func subjectOf(info *TokenInfo) (user, client string, cause *Cause) {
	if user = info.Subject; user == "" {
		user = info.Username
	}
	if chars.IsClaim(info.ClientID) {
		client = info.ClientID
	}
	switch {
	case user == "" && client == "":
		return "", "", &Cause{RuleSubject, "a sub, a username or a client_id", "none"}
	case user != "" && !chars.IsClaim(user):
		return "", "", &Cause{RuleSubject, wantText, "one that is not"}
	case store.ReservedUserName(user):
		return "", "", causeReserved
	case user == client:
		return "", client, nil
	default:
		return user, client, nil
	}
}

// grant makes a grant of what a server says of an active token. The time to
// keep it counts from before the server was asked.
func (v *Introspection) grant(info *TokenInfo, source *IntrospectionSource, now time.Time) (CachedGrant, error) {
	user, client, cause := subjectOf(info)
	if cause == nil {
		cause = source.screen(info)
	}
	if cause != nil {
		return CachedGrant{}, invalid(cause)
	}
	g := CachedGrant{
		principal: &authz.Principal{
			AuthMethod: authz.AuthMethodOAuth, User: user, ClientID: client, Issuer: source.issuer(info), Scopes: info.Scopes,
			Paths: authz.AnyPath(), UserPaths: authz.AnyPath(), ExpiresAt: info.ExpiresAt,
		},
		notBefore: info.NotBefore, asked: now, keep: source.CacheTTL, jti: info.JTI, issuedAt: earliestIssue(info.IssuedAt, serverLeeway),
	}
	if v.cfg.Revocations != nil {
		v.checkRevocation(&g)
	}
	return g, nil
}
