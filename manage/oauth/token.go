package oauth

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/oauth"
)

// Signer signs tokens with the issuer's key.
type Signer interface {
	// Sign returns a JWT in the compact form (RFC 7515 section 7.1) with the typ in its
	// header and the claims as JSON.
	Sign(typ string, claims any) (string, error)
}

// typAccessToken is the typ of access tokens (RFC 9068 section 2.1).
const typAccessToken = "at+jwt"

// ScopeOpenID is the scope by which a client asks for an ID token (OpenID Connect Core
// section 3.1.2.1). Each client and each user has it.
const ScopeOpenID = "openid"

// Tokens are an access token, and the refresh token that gets the next one.
type Tokens struct {
	Access, Refresh authz.Secret
	User            string
	Expires         time.Time // of the access token
}

// tokens signs an access token for the grant of a login, and returns it with its refresh
// token. It has the scopes that its user has now. The kind of grant is counted.
func (s *Service) tokens(kind string, user *store.UserRecord, g state.Grant, refresh authz.Secret) (Tokens, error) {
	now := s.Now()
	expires := now.Add(s.AccessTTL).Truncate(time.Second)
	claims := s.Claims(&g, grantable(user.Scopes))
	claims["iss"], claims["sub"], claims["iat"], claims["exp"], claims["jti"] = s.Issuer, user.Name, now.Unix(), expires.Unix(), rand.Text()
	text, err := s.Signer.Sign(typAccessToken, claims)
	if err != nil {
		return Tokens{}, unavailable(err)
	}
	s.Issued(kind)
	return Tokens{Access: authz.NewSecret(text), Refresh: refresh, User: user.Name, Expires: expires.UTC()}, nil
}

// Claims are those of an access token of the grant (RFC 9068 section 2.2), but for iss, sub,
// iat, exp and jti, and those of Keyward's own: verifier.JWTIssuer.Own says what checks make
// of them.
func (s *Service) Claims(g *state.Grant, scopes []string) map[string]any {
	claims := map[string]any{"aud": s.audience(g.Resources), "client_id": g.Client, "sid": g.ID, "sub_kind": "user", "gen": g.Gen}
	if g.Client != oauth.LoginClient {
		claims["client_gen"] = g.ClientGen
	}
	return withScopes(claims, scopes)
}

// ClientClaims are those of an access token that a client gets for itself (RFC 6749 section
// 4.4), as Claims has them. sid is that of this token alone.
func (s *Service) ClientClaims(c *store.Client, sid string, resources, scopes []string) map[string]any {
	claims := map[string]any{"aud": s.audience(resources), "client_id": c.ID, "sid": sid, "sub_kind": "client", "gen": c.Gen}
	return withScopes(claims, scopes)
}

// audience is the aud of a token that is for the resources.
func (s *Service) audience(resources []string) any {
	switch len(resources) {
	case 0:
		return s.Audience
	case 1:
		return resources[0]
	default:
		return resources
	}
}

func withScopes(claims map[string]any, scopes []string) map[string]any {
	claims["scope"] = strings.Join(scopes, " ") // "" too: a token without the claim has all of its user's
	return claims
}

// grantable are the scopes without those of Keyward itself, which no token has.
func grantable(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return strings.HasPrefix(s, access.ScopePrefix) })
}

// Granted returns the scopes of a grant: those that were asked for, and that the client may
// have, and the user has. Without any that is asked for, it is asked for all. A client that
// gets tokens for itself has no user.
func Granted(asked []string, client *store.Client, user *store.UserRecord) []string {
	if len(asked) == 0 {
		asked = client.Scopes
	}
	var granted []string
	for _, scope := range grantable(asked) {
		switch {
		case slices.Contains(granted, scope):
		case scope == ScopeOpenID && user != nil,
			slices.Contains(client.Scopes, scope) && (user == nil || slices.Contains(user.Scopes, scope)):
			granted = append(granted, scope)
		}
	}
	return granted
}
