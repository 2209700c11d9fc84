package verifier

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/keyindex"
	"keyward/verifier/jwks"
)

// jwtToken is a token with a valid signature and valid claims. It is immutable,
// except for the revocation version.
type jwtToken struct {
	owner     *JWT // the verifier whose rules it passed; a cache may outlive the verifier
	issuer    *jwtIssuer
	principal *authz.Principal
	key       *jwks.Key
	user      *keyindex.User   // nil if the subject is not a user
	client    *keyindex.Client // nil if it was not given to an OAuth client of Keyward's own

	inheritScopes bool // the token names no scopes, so the user's apply
	own           ownClaims

	jti, sid string
	issuedAt time.Time // the earliest possible time, see earliestIssue; zero: unknown
	from     time.Time // when it begins to be accepted, including leeway
	until    time.Time // when it stops being accepted, including leeway; zero: never

	// revocationVersion is Revocations.Changes, read before the token was found
	// not revoked.
	revocationVersion atomic.Uint64
}

// newToken makes a token of verified claims. It shares no memory with the
// token's text, which would otherwise stay in memory as long as the cache
// entry.
func (i *jwtIssuer) newToken(c *jwtClaims, key *jwks.Key) *jwtToken {
	t := &jwtToken{
		issuer: i, key: key, jti: strings.Clone(c.jti), sid: strings.Clone(c.sid), issuedAt: earliestIssue(c.issuedAt, i.Leeway),
		principal: &authz.Principal{
			AuthMethod: i.AuthMethod, User: strings.Clone(c.subject), ClientID: strings.Clone(c.client), Issuer: i.Issuer, Scopes: c.scopes,
			Paths: urlpath.Any(), UserPaths: urlpath.Any(), ExpiresAt: c.expires,
		},
	}
	if !c.expires.IsZero() {
		t.until = c.expires.Add(i.Leeway)
	}
	for _, begin := range [...]time.Time{c.notBefore, c.issuedAt} {
		if !begin.IsZero() && t.from.Before(begin.Add(-i.Leeway)) {
			t.from = begin.Add(-i.Leeway)
		}
	}
	t.inheritScopes = i.Users && !c.hasScopes
	if i.Own {
		t.own, t.principal.AuthMethod = c.own, ownAuthMethod(c.client)
	}
	return t
}

// earliestIssue returns the earliest time by our clock at which a token may
// have been issued, given that the issuer's clock may be ahead by the leeway.
// So a token with an iat in the future counts as issued before now. Zero stays
// zero.
func earliestIssue(issuedAt time.Time, leeway time.Duration) time.Time {
	if issuedAt.IsZero() {
		return issuedAt
	}
	return issuedAt.Add(-leeway)
}

func (t *jwtToken) expired(now time.Time) bool { return !t.until.IsZero() && !now.Before(t.until) }

// stillValid reports whether a token that was valid still is, except for its
// expiry, which the caller checks and reports.
func (j *JWT) stillValid(t *jwtToken, now time.Time) bool {
	return t.owner == j && !now.Before(t.from) && t.issuer.Keys.Contains(t.key) &&
		(t.user == nil || !t.user.Stale()) && (t.client == nil || !t.client.Stale()) && j.stillUnrevoked(t)
}

func (j *JWT) stillUnrevoked(t *jwtToken) bool {
	r := j.cfg.Revocations
	return r == nil || r.Changes() == t.revocationVersion.Load() || j.checkRevoked(t) == nil
}

// checkRevoked looks up whether the token is revoked. The number is read first,
// so that a concurrent revocation counts as a change.
func (j *JWT) checkRevoked(t *jwtToken) error {
	r := j.cfg.Revocations
	if r == nil {
		return nil
	}
	if err := r.Ready(); err != nil {
		return fmt.Errorf("looking up a revoked token: %w", err)
	}
	changes := r.Changes()
	if r.Revoked(keyindex.Token{ID: t.jti, SessionID: t.sid, Subject: revocationSubject(t.principal), IssuedAt: t.issuedAt}) {
		return &authz.CredentialError{Reason: authz.RevokedToken, Principal: t.principal}
	}
	t.revocationVersion.Store(changes)
	return nil
}

// revocationSubject returns the name by which all tokens of a principal are
// revoked: its subject, or else the id of its client.
func revocationSubject(p *authz.Principal) string {
	if p.User == "" {
		return p.ClientID
	}
	return p.User
}

// admit checks whether a valid token, its user and its client may still be used, and adds
// the user's rights to the principal. The token is not shared yet.
func (j *JWT) admit(t *jwtToken) error {
	if err := j.checkRevoked(t); err != nil {
		return err
	}
	if err := j.admitUser(t); err != nil {
		return err
	}
	return j.admitClient(t)
}

func (j *JWT) admitUser(t *jwtToken) error {
	if !t.issuer.Users || t.own.ofClient {
		return nil
	}
	if err := j.cfg.Users.Ready(); err != nil {
		return fmt.Errorf("looking up the user of a token: %w", err)
	}
	user, ok := j.cfg.Users.Lookup(t.principal.User)
	if !ok || user.Disabled {
		return &authz.CredentialError{Reason: authz.DisabledUser, Principal: t.principal}
	}
	if t.ended(user) {
		return &authz.CredentialError{Reason: authz.RevokedToken, Principal: t.principal}
	}
	t.user = user
	t.principal.UserPaths = user.Paths
	switch {
	case t.inheritScopes:
		t.principal.Scopes = user.Scopes
	case t.issuer.Own: // a scope that was taken from the user is taken from its tokens
		t.principal.Scopes = t.principal.Scopes.Within(user.Scopes)
	}
	return nil
}

// ended reports whether the token is that of a deleted user, whose name was given to another,
// or ended with all that its user had. Keyward's own tokens say so to the token, and those of
// others to the second.
func (t *jwtToken) ended(user *keyindex.User) bool {
	if t.issuer.Own {
		return user.Gen != t.own.gen
	}
	return !user.Since(t.issuedAt)
}
