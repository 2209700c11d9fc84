package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/authz/urlpath"
	"keyward/cache"
	"keyward/chars"
	"keyward/keyindex"
	"keyward/store"
	"keyward/verifier/fingerprint"
	"keyward/verifier/login"
)

// IntrospectionSource is one authorization server.
type IntrospectionSource struct {
	Name         string // in errors; also the issuer if the server names none
	Introspector Introspector
	CacheTTL     time.Duration // how long a response is used; 0: for one request
	Audiences    []string      // one of them must be in aud; empty: aud is not checked
}

// IntrospectionConfig has the parts of an Introspection verifier. All but
// Timeout and Revocations are required.
type IntrospectionConfig struct {
	// Sources are queried in order, until one says that the token is active.
	Sources []IntrospectionSource
	// Timeout bounds the queries to all of them together; 0 is 200 ms, which is
	// below Envoy's 250 ms.
	Timeout      time.Duration
	Revocations  Revocations // nil: tokens cannot be revoked
	Fingerprints *fingerprint.Hasher

	// Tokens caches the grants of active tokens, for CacheTTL at most and not
	// beyond the token's expiry, whatever the cache's own TTL. Negative caches
	// the errors of tokens that every source called inactive, or that must not
	// be accepted.
	Tokens   *cache.Cache[CachedGrant]
	Negative *cache.Cache[*authz.CredentialError]
}

// maxOpaque bounds an opaque token, in bytes.
const maxOpaque = 8192

var causeOpaque = &Cause{RuleForm, "a token68 (RFC 9110 section 11.2) of at most 8192 bytes", "another text"}

// serverLeeway is how far an authorization server's clock may be ahead. It
// equals the default leeway of jwt.
const serverLeeway = 30 * time.Second

// CachedGrant is what an active token grants, with what determines whether it
// is still valid.
type CachedGrant struct {
	principal *authz.Principal
	notBefore time.Time
	fetchedAt time.Time
	ttl       time.Duration // how long after fetchedAt the response is used

	jti               string
	issuedAt          time.Time // the earliest possible time; zero: unknown
	revoked           bool
	revocationVersion uint64 // Revocations.Changes, read before revoked was determined
}

// Introspection verifies opaque bearer tokens by querying authorization servers
// (RFC 7662). It accepts any bearer token, so it comes last in a chain.
type Introspection struct {
	cfg          IntrospectionConfig
	limiter      clientLimiter
	recentErrors *cache.Cache[error] // by token, the recent errors of a server
}

// The error of a token is cached, so that a token that makes its server fail is
// sent there once a second at most.
const (
	recentErrorTTL  = time.Second
	maxRecentErrors = 4096
)

// NewIntrospection returns a verifier of the given parts.
func NewIntrospection(cfg IntrospectionConfig) (*Introspection, error) {
	if len(cfg.Sources) == 0 || cfg.Fingerprints == nil || cfg.Tokens == nil || cfg.Negative == nil {
		return nil, errors.New("verifier: a part is missing from IntrospectionConfig")
	}
	for _, source := range cfg.Sources {
		if source.Introspector == nil {
			return nil, fmt.Errorf("verifier: introspection %s has no Introspector", source.Name)
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 200 * time.Millisecond
	}
	failed, err := cache.New[error](maxRecentErrors, recentErrorTTL)
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	return &Introspection{cfg: cfg, limiter: clientLimiter{maxPerClient: maxConcurrentPerClient, taken: map[netip.Prefix]int{}}, recentErrors: failed}, nil
}

// Verify implements authz.Verifier.
func (v *Introspection) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	if !c.Scheme.CarriesToken() {
		return nil, authz.ErrNotMine
	}
	// Other texts are not tokens, and must not be sent elsewhere: a password that
	// was typed in place of a key, or a JWT of an issuer that allows longer ones.
	if text := c.Secret.Reveal(); len(text) > maxOpaque || c.Scheme == authz.SchemeBare && authz.CheckKey(text, false) != nil {
		return nil, invalid(causeOpaque)
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
	if err, failed := v.recentErrors.Get(&id, now); failed {
		return nil, err
	}
	if err := nowait.Allowed(ctx); err != nil {
		return nil, err
	}
	client := c.Client.Address()
	if !v.limiter.acquire(client) {
		return nil, login.ErrOverloaded
	}
	defer v.limiter.release(client)
	grant, err := v.compute(ctx, id, client, c.Secret, now)
	if err != nil {
		return nil, err
	}
	return v.admit(&id, &grant, now)
}

// compute queries once for all concurrent requests with the token. It is
// separate from Verify so that a cache hit makes no closure.
func (v *Introspection) compute(ctx context.Context, id cache.Key, client authz.Address, token authz.Secret, now time.Time) (CachedGrant, error) {
	return v.cfg.Tokens.Compute(ctx, &id, now, func() (CachedGrant, error) {
		grant, err := v.query(ctx, client, token, now)
		refusal, refused := errors.AsType[*authz.CredentialError](err)
		switch {
		case refused:
			v.cfg.Negative.Put(&id, refusal, now)
		case err != nil && !errors.Is(err, ErrNotAsked):
			v.recentErrors.Put(&id, err, now)
		}
		return grant, err
	})
}

// admit returns the principal if the grant is valid now. The response may be
// old, and several requests may have waited for it.
func (v *Introspection) admit(id *cache.Key, grant *CachedGrant, now time.Time) (*authz.Principal, error) {
	if v.cfg.Revocations != nil && v.cfg.Revocations.Changes() != grant.revocationVersion {
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

// fresh reports whether the response may still be used. It may not if it lies
// in the future, which happens after a clock was set back.
func (g *CachedGrant) fresh(now time.Time) bool {
	age := now.Sub(g.fetchedAt)
	return -g.ttl < age && age < g.ttl
}

func (g *CachedGrant) expired(now time.Time) bool {
	end := g.principal.ExpiresAt
	return !end.IsZero() && !now.Before(end)
}

// checkRevocation looks up whether the token was revoked. The number of changes
// is read first, so that a concurrent revocation counts as a change.
func (v *Introspection) checkRevocation(g *CachedGrant) {
	g.revocationVersion = v.cfg.Revocations.Changes()
	g.revoked = v.cfg.Revocations.Revoked(keyindex.Token{ID: g.jti, Subject: revocationSubject(g.principal), IssuedAt: g.issuedAt})
}

// query queries the sources. Other requests may wait for the result, so it goes
// on if the request that caused it is canceled.
func (v *Introspection) query(ctx context.Context, client authz.Address, token authz.Secret, now time.Time) (CachedGrant, error) {
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

// issuer returns the token's issuer as the server names it, or else the
// source's name: a subject is unique only together with its issuer.
func (s *IntrospectionSource) issuer(info *TokenInfo) string {
	if info.Issuer == "" {
		return s.Name
	}
	return info.Issuer
}

// checkToken checks the server's response for an active token against what is
// required of a bearer token.
func (s *IntrospectionSource) checkToken(info *TokenInfo) *Cause {
	switch {
	case info.SenderConstrained:
		return causeSenderConstrained
	case !isAccessTokenType(info.TokenType) || !isAccessTokenType(info.Use):
		return &Cause{RuleUse, "an access token", "a token for another use"}
	case !s.isAudience(info.Audience):
		return &Cause{RuleAud, oneOf(s.Audiences) + " (audiences)", "others, or none"}
	case info.JTI != "" && !chars.IsClaim(info.JTI):
		return &Cause{RuleJti, wantText + ", or none", "one that is not"}
	case info.Issuer != "" && !chars.IsClaim(info.Issuer):
		return &Cause{RuleIss, wantText + ", or none", "one that is not"}
	default:
		return nil
	}
}

// subjectOf returns the user or the client of an active token, as readSubject
// does for a JWT: the id of a client is never a user.
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

// grant makes a grant from the response for an active token. Its age counts
// from now, which is before the query.
func (v *Introspection) grant(info *TokenInfo, source *IntrospectionSource, now time.Time) (CachedGrant, error) {
	user, client, cause := subjectOf(info)
	if cause == nil {
		cause = source.checkToken(info)
	}
	if cause != nil {
		return CachedGrant{}, invalid(cause)
	}
	g := CachedGrant{
		principal: &authz.Principal{
			AuthMethod: authz.AuthMethodOAuth, User: user, ClientID: client, Issuer: source.issuer(info), Scopes: info.Scopes,
			Paths: urlpath.Any(), UserPaths: urlpath.Any(), ExpiresAt: info.ExpiresAt,
		},
		notBefore: info.NotBefore, fetchedAt: now, ttl: source.CacheTTL, jti: info.JTI, issuedAt: earliestIssue(info.IssuedAt, serverLeeway),
	}
	if v.cfg.Revocations != nil {
		v.checkRevocation(&g)
	}
	return g, nil
}
