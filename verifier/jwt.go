package verifier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/verifier/admission"
	"keyward/verifier/fingerprint"
	"keyward/verifier/jwks"
	"keyward/verifier/login"
)

// KeySource provides the verification keys of one issuer.
type KeySource interface {
	// Find returns the key that a token names, or the few that may be tried.
	// jwks.ErrNoKey and jwks.ErrManyKeys mean that the issuer has no such key;
	// any other error means that this is not known. Find may wait for one
	// refresh, until ctx ends or for a time well below Envoy's timeout.
	Find(ctx context.Context, q jwks.Query, now time.Time) ([]*jwks.Key, error)
	// Contains reports whether a key found earlier is still one of the
	// issuer's. It costs a few atomic loads.
	Contains(*jwks.Key) bool
}

// Revocations names the tokens that are revoked before they expire.
type Revocations interface {
	// Ready returns why Revoked cannot be relied on yet, nil if it can.
	Ready() error
	// Revoked reports whether the token is revoked: by its jti, by its sid, or
	// because it was issued too early for its subject.
	Revoked(keyindex.Token) bool
	// Changes returns a number that is different after each change. It changes
	// after Revoked reflects the change, never before. It costs one atomic
	// load.
	Changes() uint64
}

// JWTConfig has the parts of a JWT verifier. All but Users and Revocations are
// required.
type JWTConfig struct {
	Issuers      []JWTIssuer // at least one, no two with the same iss
	Users        UserStore   // required if an issuer's subjects are users
	Clients      ClientStore // required if an issuer is Keyward's own
	Revocations  Revocations // nil: tokens cannot be revoked
	Tokens       *cache.Cache[CachedToken]
	Fingerprints *fingerprint.Hasher
	Gate         *admission.Gate // bounds how many signatures are verified
}

// CachedToken is a cached token that was valid, with what determines whether it
// still is.
type CachedToken struct{ *jwtToken }

// JWT verifies bearer tokens that are JSON Web Tokens (RFC 7519; RFC 9068 for
// access tokens).
type JWT struct {
	cfg     JWTConfig
	issuers map[string]*jwtIssuer // by iss
	longest int                   // how many bytes a token of any issuer may have

	sorted     []string // the keys of issuers
	wantIssuer string   // Cause.Want for iss
}

// NewJWT returns a verifier of the given parts.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	if cfg.Tokens == nil || cfg.Fingerprints == nil || cfg.Gate == nil || len(cfg.Issuers) == 0 {
		return nil, errors.New("verifier: a part is missing from JWTConfig")
	}
	j := &JWT{cfg: cfg, issuers: make(map[string]*jwtIssuer, len(cfg.Issuers))}
	for _, c := range cfg.Issuers {
		issuer, err := newJWTIssuer(c)
		switch {
		case err != nil:
			return nil, fmt.Errorf("verifier: token issuer %q: %w", c.Name, err)
		case j.issuers[c.Issuer] != nil:
			return nil, fmt.Errorf("verifier: token issuer %q: another has the same iss", c.Name)
		case c.Users && cfg.Users == nil:
			return nil, fmt.Errorf("verifier: token issuer %q: there are no users", c.Name)
		case c.Own && cfg.Clients == nil:
			return nil, fmt.Errorf("verifier: token issuer %q: there are no clients", c.Name)
		}
		j.issuers[c.Issuer] = issuer
		j.longest = max(j.longest, issuer.MaxBytes)
	}
	j.sorted = slices.Sorted(maps.Keys(j.issuers))
	j.wantIssuer = oneOf(j.sorted) + " (issuer)"
	return j, nil
}

// Verify implements authz.Verifier. A token of three segments is a JWT, whatever
// its issuer.
func (j *JWT) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	text := c.Secret.Reveal()
	if !c.Scheme.CarriesToken() || strings.Count(text, ".") != 2 {
		return nil, authz.ErrNotMine
	}
	if len(text) > j.longest {
		return nil, invalid(causeLength(j.longest))
	}
	token, err := j.cached(ctx, c, text, now)
	if err != nil {
		return nil, err
	}
	if token.expired(now) {
		return nil, &authz.CredentialError{Reason: authz.ExpiredToken, Principal: token.principal}
	}
	return token.principal, nil
}

// cached returns the token from the cache if it is still valid, and verifies it
// otherwise.
func (j *JWT) cached(ctx context.Context, c *authz.Credential, text string, now time.Time) (*jwtToken, error) {
	id := j.cfg.Fingerprints.Sum("jwt", text)
	if known, ok := j.cfg.Tokens.Get(&id, now); ok && j.stillValid(known.jwtToken, now) {
		return known.jwtToken, nil
	}
	if err := nowait.Allowed(ctx); err != nil { // for a slot of the Gate, for keys, or for the signature
		return nil, err
	}
	known, own, err := j.compute(ctx, id, c, text, now)
	switch {
	case err == nil && !j.stillValid(known.jwtToken, now): // something changed meanwhile
	case err != nil && !own && isRequestError(err) && ctx.Err() == nil: // another request verified it for both
	default:
		return known.jwtToken, err
	}
	return j.verify(ctx, c, text, now)
}

// compute is separate from cached so that a cache hit makes no closure. It also
// reports whether this request did the work, and not another one with the same
// token.
func (j *JWT) compute(ctx context.Context, id cache.Key, c *authz.Credential, text string, now time.Time) (known CachedToken, own bool, err error) {
	known, err = j.cfg.Tokens.Compute(ctx, &id, now, func() (CachedToken, error) {
		own = true
		token, err := j.verify(ctx, c, text, now)
		return CachedToken{token}, err
	})
	return known, own, err
}

// isRequestError reports whether the error is about the request that did the
// work and not about the token.
func isRequestError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || err == login.ErrOverloaded || err == login.ErrRateLimited
}

// verify verifies the token without the cache. Cheap checks come first, then
// the signature. The checks that matter only for a genuine token come last.
// Before the signature only the outline is parsed; [admission.Gate] bounds the
// rest.
func (j *JWT) verify(ctx context.Context, c *authz.Credential, text string, now time.Time) (*jwtToken, error) {
	signed, cause := parseCompact(text)
	if cause != nil {
		return nil, invalid(cause)
	}
	issuer, cause := j.issuerOf(signed.claims)
	if cause == nil && len(text) > issuer.MaxBytes {
		cause = causeLength(issuer.MaxBytes)
	}
	if cause == nil {
		cause = issuer.accepts(&signed.header)
	}
	if cause == nil {
		cause = issuer.checkClaims(signed.claims, new(jwtClaims), now)
	}
	if cause != nil {
		return nil, invalid(cause)
	}
	keys, err := issuer.findKeys(ctx, &signed.header, now)
	if err != nil {
		return nil, err
	}
	var token *jwtToken
	refused := j.cfg.Gate.Do(ctx, clientOf(c.Client.Address()), len(keys), func() bool {
		token, err = j.examine(issuer, &signed, keys, now)
		_, bad := errors.AsType[*authz.CredentialError](err)
		return !bad // what cannot be looked up is not the client's fault
	})
	switch {
	case errors.Is(refused, admission.ErrExhausted):
		return nil, login.ErrRateLimited
	case refused != nil:
		return nil, login.ErrOverloaded
	default:
		return token, err
	}
}

// examine verifies the signature, then the claims. A token is reported as
// expired only if it is otherwise genuine. It does not look up whether an
// expired token is revoked, since the entry may have been removed.
func (j *JWT) examine(issuer *jwtIssuer, signed *signedToken, keys []*jwks.Key, now time.Time) (*jwtToken, error) {
	key := issuer.verifySignature(signed, keys)
	if key == nil {
		return nil, invalid(causeSignature(len(keys)))
	}
	members, cause := signed.strict()
	if cause != nil {
		return nil, invalid(cause)
	}
	claims, cause := issuer.read(members, now)
	if cause != nil {
		return nil, invalid(cause)
	}
	token := issuer.newToken(&claims, key)
	token.owner = j
	if err := issuer.validateClaims(members, now); err != nil && !token.expired(now) {
		return nil, invalid(&Cause{Rule: RulePayload, Want: "claims that golang-jwt finds valid too"})
	}
	if token.expired(now) {
		return nil, &authz.CredentialError{Reason: authz.ExpiredToken, Principal: token.principal}
	}
	return token, j.admit(token)
}

// issuerOf returns the issuer that the token names.
func (j *JWT) issuerOf(members map[string]any) (*jwtIssuer, *Cause) {
	iss, _ := members["iss"].(string)
	if issuer := j.issuers[iss]; issuer != nil {
		return issuer, nil
	}
	return nil, &Cause{RuleIss, j.wantIssuer, jsonType(members, "iss") + j.nearIssuer(iss)}
}
