package verifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/jwks"
)

// KeySource is where an issuer's keys are.
type KeySource interface {
	// Find returns the key that the id and the algorithm name. jwks.ErrNoKey and
	// jwks.ErrManyKeys mean that the issuer has no such key; any other error that
	// it can't be told. It may wait for one refresh, no longer than ctx and a bound well below Envoy's.
	Find(ctx context.Context, kid string, hasKid bool, algorithm string, now time.Time) (*jwks.Key, error)
	// Holds tells whether a key found earlier is still one of the issuer's. A few atomic loads.
	Holds(*jwks.Key) bool
}

// Revocations is where tokens are named that end before their time.
type Revocations interface {
	// Ready tells why Revoked can't be believed yet, nil when it can.
	Ready() error
	// Revoked tells whether the token is named: by its jti, or by its subject
	// or its issuer's clock being too early. A zero issuedAt counts as issued before any time.
	Revoked(jti, subject string, issuedAt time.Time) bool
	// Changes is another number after each change, and it changes after Revoked
	// answers by the change, never before. One atomic load.
	Changes() uint64
}

// JWTConfig says what a JWT verifier is made of.
type JWTConfig struct {
	Issuers      []JWTIssuer // at least one, no two with the same iss
	Users        UserStore   // needed where an issuer's subjects are users
	Revocations  Revocations // nil: no token ends before its time
	Tokens       *cache.Cache[KnownToken]
	Fingerprints *Fingerprints
}

// KnownToken is a cached token that was found good, with what tells whether it still is.
type KnownToken struct{ *jwtToken }

// JWT verifies bearer tokens that are JSON Web Tokens (RFC 7519, and RFC 9068 for access tokens).
type JWT struct {
	cfg     JWTConfig
	issuers map[string]*jwtIssuer // by iss
}

// NewJWT returns a verifier of the given parts.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	if cfg.Tokens == nil || cfg.Fingerprints == nil || len(cfg.Issuers) == 0 {
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
		}
		j.issuers[c.Issuer] = issuer
	}
	return j, nil
}

// Verify implements authz.Verifier. A bearer token of three segments is a JWT, whoever issued it.
func (j *JWT) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	text := c.Secret.Reveal()
	if c.Kind != authz.Bearer || strings.Count(text, ".") != 2 {
		return nil, authz.ErrNotMine
	}
	if len(text) > maxJWT {
		return nil, errInvalidToken
	}
	token, err := j.known(ctx, text, now)
	if err != nil {
		return nil, err
	}
	if token.expired(now) {
		return nil, &authz.Refusal{Reason: authz.ExpiredToken, Principal: token.principal}
	}
	return token.principal, nil
}

// known returns the token from the cache, where it still holds, or else verifies it.
func (j *JWT) known(ctx context.Context, text string, now time.Time) (*jwtToken, error) {
	id := j.cfg.Fingerprints.Of("jwt", text)
	if known, ok := j.cfg.Tokens.Get(&id, now); ok && j.holds(known.jwtToken, now) {
		return known.jwtToken, nil
	}
	known, err := j.compute(ctx, id, text, now)
	if isContextError(err) && ctx.Err() == nil {
		// Somebody else verified for both of us and ran out of time; we did not.
		return j.verify(ctx, text, now)
	}
	if err == nil && !j.holds(known.jwtToken, now) {
		// A key, a user or a revocation changed while we waited for somebody else.
		return j.verify(ctx, text, now)
	}
	return known.jwtToken, err
}

// compute is apart from known so that a hit makes no closure.
func (j *JWT) compute(ctx context.Context, id cache.Key, text string, now time.Time) (KnownToken, error) {
	return j.cfg.Tokens.Compute(ctx, &id, now, func() (KnownToken, error) {
		token, err := j.verify(ctx, text, now)
		return KnownToken{token}, err
	})
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// verify finds out what the token is worth, asking everybody anew. What is
// wrong with the token itself is found before its issuer's keys are asked for,
// and expiry is told only of a token that is otherwise genuine. An expired
// token is no more looked up among the revoked: entries about it may be gone.
func (j *JWT) verify(ctx context.Context, text string, now time.Time) (*jwtToken, error) {
	signed, ok := parseCompact(text)
	if !ok {
		return nil, errInvalidToken
	}
	members, ok := parseClaims(signed.payload)
	if !ok {
		return nil, errInvalidToken
	}
	issuer := j.issuerOf(members)
	if issuer == nil || !issuer.takes(&signed.header) {
		return nil, errInvalidToken
	}
	claims, ok := issuer.read(members, now)
	if !ok {
		return nil, errInvalidToken
	}
	key, err := issuer.verifySignature(ctx, &signed, now)
	if err != nil {
		return nil, err
	}
	token := issuer.token(&claims, key)
	token.by = j
	if err := issuer.confirm(members, now); err != nil && !token.expired(now) {
		return nil, errInvalidToken
	}
	if token.expired(now) {
		return nil, &authz.Refusal{Reason: authz.ExpiredToken, Principal: token.principal}
	}
	return token, j.admit(token)
}

// issuerOf returns the issuer that the token names, nil where it is none of ours.
func (j *JWT) issuerOf(members map[string]any) *jwtIssuer {
	iss, _ := members["iss"].(string)
	return j.issuers[iss]
}
