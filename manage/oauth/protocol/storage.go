package protocol

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"keyward/authz"
	"keyward/manage/fault"
	"keyward/manage/oauth"
	"keyward/manage/state"
	storeoauth "keyward/store/oauth"
)

// storage is the library's storage. The library reads a grant, changes it and saves it, in
// steps that others may come between; what must happen once happens here in one step of
// oauth.Service, and what the library has changed besides does not count.
type storage struct{ *Protocol }

// clientGrantPrefix is that of the sids of tokens that clients get for themselves, of which
// nothing is stored.
const clientGrantPrefix = "gc_"

func newGrantID(context.Context) string { return clientGrantPrefix + rand.Text() }

// isProtocolError reports whether the error is one that clients are to learn.
func isProtocolError(err error) bool {
	_, is := errors.AsType[goidc.Error](err)
	return is
}

// asLibraryError returns ErrNotFound for what is not accepted. Any other error is kept: the
// library takes some for the client's.
func (x *exchange) asLibraryError(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return goidc.ErrNotFound
	}
	x.failed = err
	return err
}

// Client implements goidc.DCRManager: the client of the request, which was authenticated, or
// is named in a request that is.
func (s storage) Client(ctx context.Context, id string) (*goidc.Client, error) {
	x := exchangeOf(ctx)
	if x.client == nil || x.client.ID != id {
		return nil, goidc.ErrNotFound
	}
	c := &goidc.Client{ID: id, Secret: id, ClientMeta: goidc.ClientMeta{
		Name: x.client.Name, RedirectURIs: []string{x.redirectURI}, ResponseTypes: []goidc.ResponseType{goidc.ResponseTypeCode},
		ScopeIDs: libraryScopes, TokenAuthnMethod: goidc.AuthnMethodSecretPost, IDTokenSigAlg: s.algorithm(),
	}}
	if x.client.Public {
		c.TokenAuthnMethod = goidc.AuthnMethodNone
	}
	for _, grant := range x.client.Grants {
		c.GrantTypes = append(c.GrantTypes, goidc.GrantType(grant))
	}
	return c, nil
}

const libraryScopes = oauth.ScopeOpenID + " " + anyScope

// verifySecret accepts the secret of a client that the guard has authenticated, in whose
// place the guard puts the client's id.
func verifySecret(ctx context.Context, stored, presented string) error {
	x := exchangeOf(ctx)
	if x.client == nil || x.client.Public || stored != x.client.ID || subtle.ConstantTimeCompare([]byte(stored), []byte(presented)) != 1 {
		return errClosed
	}
	return nil
}

// SaveClient implements goidc.DCRManager.
func (s storage) SaveClient(context.Context, *goidc.Client) error { return errClosed }

// DeleteClient implements goidc.DCRManager.
func (s storage) DeleteClient(context.Context, string) error { return errClosed }

// SaveSession implements goidc.AuthManager. A request that waits for its user is in the
// pages' forms, and not stored.
func (s storage) SaveSession(context.Context, *goidc.AuthnSession) error { return nil }

// Session implements goidc.AuthManager.
func (s storage) Session(context.Context, string) (*goidc.AuthnSession, error) {
	return nil, goidc.ErrNotFound
}

// GrantByAuthCode implements goidc.AuthManager.
func (s storage) GrantByAuthCode(ctx context.Context, code string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	x.token = authz.NewSecret(code)
	grant, bound, err := s.Service.FindCode(ctx, x.call, x.token, x.client)
	if err != nil {
		return nil, x.asLibraryError(err)
	}
	x.issued.Grant, x.scopes = grant, grant.Scopes
	g := libraryGrant(&grant, grant.Scopes)
	g.AuthCodeExpiresAt = int(bound.Expires.Add(time.Second).Unix()) // whole seconds; the code itself ends earlier
	g.AuthParams = goidc.AuthorizationParameters{RedirectURI: bound.RedirectURI, CodeChallenge: bound.Challenge, Nonce: bound.Nonce}
	return g, nil
}

// GrantByRefreshToken implements goidc.RefreshTokenManager.
func (s storage) GrantByRefreshToken(ctx context.Context, token string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	x.token = authz.NewSecret(token)
	issued, err := s.Service.FindRefresh(ctx, x.token, x.client, x.path == TokenPath)
	if err != nil {
		return nil, x.asLibraryError(err)
	}
	x.issued = issued
	if len(issued.Grant.Scopes) > 0 {
		x.scopes = oauth.Granted(issued.Grant.Scopes, x.client, &issued.User)
	}
	if x.path == TokenPath {
		for asked := range strings.FieldsSeq(x.form.Get("scope")) {
			if !slices.Contains(x.scopes, asked) { // of which the library knows too little
				x.wrong = invalidScope
				return nil, goidc.ErrNotFound
			}
		}
	}
	g := libraryGrant(&issued.Grant, x.scopes)
	g.RefreshTokenExpiresAt = int(issued.Grant.Expires.Unix())
	return g, nil
}

func libraryGrant(g *state.Grant, scopes []string) *goidc.Grant {
	return &goidc.Grant{
		ID: g.ID, CreatedAt: int(g.Began.Unix()), Subject: g.User, Username: g.User, ClientID: g.Client,
		Scopes: strings.Join(scopes, " "), Resources: g.Resources,
	}
}

// rotate returns the successor of the refresh token, when the library has checked the
// request. handleGrant, which is called next, returns why there is none.
func (s storage) rotate(ctx context.Context) string {
	x := exchangeOf(ctx)
	issued, err := s.Service.RefreshFor(ctx, x.call, x.token, x.client)
	switch {
	case err == nil:
		x.issued, x.used = issued, true
	case fault.CodeOf(err) == fault.NotFound:
		x.wrong = invalidGrant
	default:
		x.failed = err
	}
	return issued.Refresh.Reveal()
}

// handleGrant is called when the library has checked all but what is stored.
func (s storage) handleGrant(ctx context.Context, kind goidc.GrantType, g *goidc.Grant) error {
	x := exchangeOf(ctx)
	switch kind {
	case goidc.GrantRefreshToken:
		if !x.used {
			return errClosed // x has what is answered
		}
	case goidc.GrantClientCredentials:
		asked := strings.Fields(x.form.Get("scope"))
		x.scopes = oauth.Granted(asked, x.client, nil)
		if len(asked) > 0 && len(x.scopes) == 0 {
			x.wrong = invalidScope
			return errClosed
		}
		g.Scopes = strings.Join(x.scopes, " ")
	}
	return nil
}

// SaveGrant implements goidc.GrantManager.
func (s storage) SaveGrant(ctx context.Context, g *goidc.Grant) error {
	x := exchangeOf(ctx)
	switch {
	case x.path == RevokePath:
		if g.RevokedAt == 0 {
			return nil
		}
		return s.end(ctx, x, g.ID)
	case g.RevokedAt != 0: // an exchange that failed changes nothing
		return nil
	case x.path == ConsentPath, x.path == AuthorizePath:
		code, err := s.Service.Authorize(ctx, x.call, *x.visit.authorization)
		if err != nil {
			x.failed = err
			return err
		}
		g.AuthCode = code.Reveal()
	case x.path == TokenPath && x.form.Get("grant_type") == string(storeoauth.AuthorizationCode):
		return s.redeem(ctx, x, g)
	}
	return nil
}

// redeem uses a code up, when the library has checked the request.
func (s storage) redeem(ctx context.Context, x *exchange, g *goidc.Grant) error {
	issued, err := s.Service.Redeem(ctx, x.call, x.token, x.client)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		x.wrong = invalidGrant
		return errClosed
	case err != nil:
		x.failed = err
		return err
	}
	x.issued, x.used = issued, true
	if len(issued.Grant.Scopes) > 0 { // the user may have lost some since
		x.scopes = oauth.Granted(issued.Grant.Scopes, x.client, &issued.User)
	}
	g.Scopes, g.RefreshToken = strings.Join(x.scopes, " "), issued.Refresh.Reveal()
	return nil
}

// Grant implements goidc.GrantManager. The library asks for it when it has verified an access
// token by its signature.
func (s storage) Grant(ctx context.Context, id string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	if x.path == RevokePath {
		return &goidc.Grant{ID: id}, nil
	}
	p, err := s.CheckToken(ctx, x.token)
	if refused, is := errors.AsType[*authz.CredentialError](err); is && refused.Reason != authz.Unavailable {
		return nil, goidc.ErrNotFound
	}
	if err == nil && x.client == nil {
		client, failed := s.Service.Client(ctx, p.ClientID)
		x.client, err = &client, failed
	}
	if err != nil {
		return nil, x.asLibraryError(err)
	}
	return &goidc.Grant{ID: id, Subject: orText(p.User, p.ClientID), Username: p.User, ClientID: p.ClientID}, nil
}

// end ends what a token is of that its client revokes.
func (s storage) end(ctx context.Context, x *exchange, grant string) (err error) {
	if strings.HasPrefix(grant, clientGrantPrefix) {
		err = s.Service.EndClientToken(ctx, x.call, grant, x.client.ID)
	} else {
		err = s.Service.EndGrant(ctx, x.call, grant, x.client.ID)
	}
	if err != nil {
		x.failed = err
	}
	return err
}

// tokenClaims are the claims of an access token beside those that the library sets.
func (s storage) tokenClaims(ctx context.Context, token *goidc.Token, g *goidc.Grant) map[string]any {
	x := exchangeOf(ctx)
	scopes := slices.DeleteFunc(strings.Fields(token.Scopes), func(scope string) bool { return !slices.Contains(x.scopes, scope) })
	if x.issued.Grant.ID == "" {
		return s.Service.ClientClaims(x.client, g.ID, token.Resources, scopes)
	}
	grant := x.issued.Grant
	grant.Resources = token.Resources
	return s.Service.Claims(&grant, scopes)
}

// countToken counts an access token that was signed.
func (s storage) countToken(ctx context.Context, _ *goidc.Token, _ *goidc.Grant) error {
	s.Service.Issued(exchangeOf(ctx).form.Get("grant_type"))
	return nil
}

// idTokenClaims are those of an ID token beside those that the library sets (OpenID Connect
// Core section 2).
func idTokenClaims(ctx context.Context, _ *goidc.Grant) map[string]any {
	x := exchangeOf(ctx)
	return map[string]any{"auth_time": x.issued.Grant.AuthTime.Unix(), "sid": x.issued.Grant.ID}
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
