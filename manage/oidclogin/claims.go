package oidclogin

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"keyward/chars"
	"keyward/manage/access"
	"keyward/verifier/strictjson"
)

const (
	maxClaims = 128
	// maxText bounds a claim that becomes a part of a record, in bytes.
	maxText = 255
	// maxTime is the end of the year 9999.
	maxTime = 253402300799
)

// claims are the members of an ID token, or of the answer of a UserInfo endpoint.
type claims map[string]any

// decided are the claims that decide.
var decided = []string{"iss", claimSubject, "aud", "azp", "exp", "nbf", "iat", "nonce", "auth_time", claimEmail, claimEmailVerified}

// readClaims reads the claims of a verified token again, without what two parsers could
// read differently: the library reads names regardless of case, and the last of two.
func readClaims(token *oidc.IDToken) (claims, error) {
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, refused("the ID token cannot be read")
	}
	c, err := strictjson.Object(payload, strictjson.Limits{Depth: 16, Members: maxClaims})
	if err != nil {
		return nil, refused("the ID token: %w", err)
	}
	for name := range c {
		if lower := chars.LowerASCII(name); lower != name && slices.Contains(decided, lower) {
			return nil, refused("the ID token has a claim whose name differs from %s only in case", lower)
		}
	}
	return c, nil
}

// check refuses an ID token that is not the answer to the request (OpenID Connect Core
// 1.0 section 3.1.3.7). The library has verified its signature, that it is for the
// client, and that it has not expired.
func (c claims) check(l *login, client, issuer string, now time.Time) error {
	nonce, _ := c["nonce"].(string)
	azp, named := c["azp"]
	audiences, several := c["aud"].([]any)
	issued, isTime := c.time("iat")
	switch {
	case c["iss"] != issuer: // the library lets Google omit the scheme
		return refused("the ID token is that of another issuer")
	case c.text(claimSubject) == "":
		return refused("the ID token has no sub, or an invalid one")
	case named && azp != client, several && len(audiences) > 1 && !named:
		return refused("the ID token was issued to another client, or does not say to which")
	case !hmac.Equal([]byte(nonce), []byte(l.nonce())):
		return refused("the nonce is that of another login")
	case !isTime || issued.After(now.Add(leeway)):
		return refused("the ID token has no iat, or was issued later than now")
	}
	return c.checkProof(l, now)
}

// checkProof refuses an ID token of a person who did not log in to the provider again,
// if that was asked for.
func (c claims) checkProof(l *login, now time.Time) error {
	proved, isTime := c.time("auth_time")
	_, there := c["auth_time"]
	switch {
	case there && (!isTime || proved.After(now.Add(leeway))):
		return refused("the auth_time is not a time until now")
	case l.MustProve() && !there:
		return refused("the ID token has no auth_time, which max_age asks for")
	case l.MustProve() && proved.Before(l.begun.Add(-leeway)):
		return refused("the person did not log in to the provider again: the auth_time is before the login was begun")
	}
	return nil
}

// text returns a claim that is a text which a record can have; "" for any other.
func (c claims) text(name string) string {
	text, _ := c[name].(string)
	if len(text) > maxText || !chars.IsLine([]byte(text)) {
		return ""
	}
	return text
}

// time returns a claim that is a NumericDate in whole seconds.
func (c claims) time(name string) (at time.Time, ok bool) {
	number, ok := c[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || seconds <= 0 || seconds > maxTime {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0).UTC(), true
}

// identity is who has logged in. Claims that the ID token lacks are asked for: providers
// may give those of a scope at the UserInfo endpoint alone (OpenID Connect Core 1.0
// section 5.4).
func (p *Provider) identity(ctx context.Context, m *metadata, c claims, accessToken string) (access.Identity, error) {
	id := access.Identity{Issuer: p.cfg.Issuer, Subject: c.text(claimSubject), Proved: c.provedAt()}
	if p.lacks(c) && m.userInfo != "" {
		more, err := p.readUserInfo(ctx, m, accessToken, id.Subject)
		if err != nil {
			return access.Identity{}, err
		}
		c = p.complete(c, more)
	}
	id.User, id.Nameless = p.userOf(c)
	var err error
	id.Roles, err = p.rolesOf(c)
	return id, err
}

// nameClaims are the claims of which the user's name is made.
func (p *Provider) nameClaims() []string {
	if p.cfg.UserClaim == claimEmail {
		return []string{claimEmail, claimEmailVerified}
	}
	return []string{p.cfg.UserClaim}
}

func (p *Provider) lacks(c claims) bool {
	missing := func(name string) bool { _, there := c[name]; return !there }
	return slices.ContainsFunc(p.nameClaims(), missing) || p.cfg.RolesClaim != "" && missing(p.cfg.RolesClaim)
}

// complete returns the claims with those that the ID token lacks from the UserInfo
// endpoint. Both claims of an email are from one of the two: one must not verify the
// address that the other gives.
func (p *Provider) complete(c, more claims) claims {
	completed := claims{}
	for _, group := range [][]string{p.nameClaims(), {p.cfg.RolesClaim}} {
		from := c
		for _, name := range group {
			if _, there := c[name]; !there {
				from = more
			}
		}
		for _, name := range group {
			if value, there := from[name]; there {
				completed[name] = value
			}
		}
	}
	return completed
}

// readUserInfo refuses an answer about another person (OpenID Connect Core 1.0 section
// 5.3.2).
func (p *Provider) readUserInfo(ctx context.Context, m *metadata, accessToken, subject string) (claims, error) {
	more, err := p.get(ctx, m.userInfo, accessToken)
	if err != nil {
		return nil, unavailable("the UserInfo endpoint: %w", err)
	}
	if more[claimSubject] != subject {
		return nil, refused("the UserInfo endpoint gave the claims of another person")
	}
	return more, nil
}

// userOf returns the name that the provider gives the user, or why it gives none.
func (p *Provider) userOf(c claims) (name, why string) {
	name = c.text(p.cfg.UserClaim)
	switch {
	case name == "":
		return "", "the provider gives no " + p.cfg.UserClaim + " that can be a name"
	case p.cfg.UserClaim == claimEmail && c[claimEmailVerified] != true:
		return "", "the provider does not say that the email address is verified"
	}
	return name, ""
}

// rolesOf returns the managing scopes that the provider's roles give. A claim that is
// neither a text nor a list of texts is refused, so that an operator notices.
func (p *Provider) rolesOf(c claims) ([]string, error) {
	if p.cfg.RolesClaim == "" {
		return nil, nil
	}
	var roles []any
	switch value := c[p.cfg.RolesClaim].(type) {
	case nil:
	case string:
		roles = []any{value}
	case []any:
		roles = value
	default:
		return nil, refused("the claim %s is not a list of texts", p.cfg.RolesClaim)
	}
	var scopes []string
	for _, role := range roles {
		text, ok := role.(string)
		if !ok {
			return nil, refused("the claim %s is not a list of texts", p.cfg.RolesClaim)
		}
		scopes = append(scopes, p.cfg.Roles[text]...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
