package verifier

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/keyindex"
	"keyward/verifier/jwks"
)

// jwtToken is a token whose signature and claims are right. But for the number
// of the revocations it is never changed.
type jwtToken struct {
	by        *JWT // whose rules it was judged by; a cache may outlive them
	issuer    *jwtIssuer
	principal *authz.Principal
	key       *jwks.Key
	user      *keyindex.User // nil where subjects are no users

	inheritScopes bool // the token names no scopes: the user's hold

	jti      string
	issuedAt time.Time // the earliest that it may have been, see earliestIssue; zero: not told
	from     time.Time // accepted from then on, leeway included
	until    time.Time // and no longer than to then

	// revocationVersion is Revocations.Changes, read before the token was found not revoked.
	revocationVersion atomic.Uint64
}

// token makes one of claims that the key's signature is good for. It shares no
// memory with the token's text, which the cache would keep alive.
func (i *jwtIssuer) token(c *jwtClaims, key *jwks.Key) *jwtToken {
	t := &jwtToken{
		issuer: i, key: key, jti: strings.Clone(c.jti), issuedAt: earliestIssue(c.issuedAt, i.Leeway),
		until: c.expires.Add(i.Leeway),
		principal: &authz.Principal{
			AuthMethod: i.AuthMethod, User: strings.Clone(c.subject), ClientID: strings.Clone(c.client), Issuer: i.Issuer, Scopes: c.scopes,
			Paths: authz.AnyPath(), UserPaths: authz.AnyPath(), ExpiresAt: c.expires,
		},
	}
	for _, begin := range [...]time.Time{c.notBefore, c.issuedAt} {
		if !begin.IsZero() && t.from.Before(begin.Add(-i.Leeway)) {
			t.from = begin.Add(-i.Leeway)
		}
	}
	t.inheritScopes = i.Users && !c.hasScopes
	return t
}

// earliestIssue is when a token may have been issued by our clock, if its
// issuer's is ahead by as much as is allowed: a token that is accepted with an
// iat still to come is one of those that were issued before now. Zero stays zero.
func earliestIssue(issuedAt time.Time, leeway time.Duration) time.Time {
	if issuedAt.IsZero() {
		return issuedAt
	}
	return issuedAt.Add(-leeway)
}

func (t *jwtToken) expired(now time.Time) bool { return !now.Before(t.until) }

// stillValid reports whether a token that was valid still is, except for its expiry,
// which the caller checks and reports.
func (j *JWT) stillValid(t *jwtToken, now time.Time) bool {
	return t.by == j && !now.Before(t.from) && t.issuer.Keys.Contains(t.key) &&
		(t.user == nil || !t.user.Stale()) && j.stillUnrevoked(t)
}

func (j *JWT) stillUnrevoked(t *jwtToken) bool {
	r := j.cfg.Revocations
	return r == nil || r.Changes() == t.revocationVersion.Load() || j.checkRevoked(t) == nil
}

// checkRevoked asks the revocations. The number is read first: what is
// revoked in between counts as a change.
func (j *JWT) checkRevoked(t *jwtToken) error {
	r := j.cfg.Revocations
	if r == nil {
		return nil
	}
	if err := r.Ready(); err != nil {
		return fmt.Errorf("looking up a revoked token: %w", err)
	}
	changes := r.Changes()
	if r.Revoked(t.jti, revocable(t.principal), t.issuedAt) {
		return &authz.CredentialError{Reason: authz.RevokedToken, Principal: t.principal}
	}
	t.revocationVersion.Store(changes)
	return nil
}

// revocable is the name by which all tokens of a principal are revoked: its
// subject, or else its client's id.
func revocable(p *authz.Principal) string {
	if p.User == "" {
		return p.ClientID
	}
	return p.User
}

// admit asks of a token that is good in itself whether it and its user may
// still be used, and gives the principal what is the user's. The token is
// not shared yet.
func (j *JWT) admit(t *jwtToken) error {
	if err := j.checkRevoked(t); err != nil {
		return err
	}
	if !t.issuer.Users {
		return nil
	}
	if err := j.cfg.Users.Ready(); err != nil {
		return fmt.Errorf("looking up the user of a token: %w", err)
	}
	user, ok := j.cfg.Users.Lookup(t.principal.User)
	if !ok || user.Disabled {
		return &authz.CredentialError{Reason: authz.DisabledUser, Principal: t.principal}
	}
	if !user.Since(t.issuedAt) { // a token of a deleted user, whose name another has now
		return &authz.CredentialError{Reason: authz.RevokedToken, Principal: t.principal}
	}
	t.user = user
	t.principal.UserPaths = user.Paths
	if t.inheritScopes {
		t.principal.Scopes = user.Scopes
	}
	return nil
}
