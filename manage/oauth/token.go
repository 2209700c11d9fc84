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
)

// Signer signs tokens with the issuer's key.
type Signer interface {
	// Sign returns a JWT in the compact form (RFC 7515 section 7.1) with the typ in its
	// header and the claims as JSON.
	Sign(typ string, claims any) (string, error)
}

// typAccessToken is the typ of access tokens (RFC 9068 section 2.1).
const typAccessToken = "at+jwt"

// accessClaims are those of an access token (RFC 9068 section 2.2), and of Keyward's own:
// verifier.JWTIssuer.Own says what checks make of them.
type accessClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
	Session  string `json:"sid"` // the grant
	SubKind  string `json:"sub_kind"`
	Gen      int64  `json:"gen"`
	Scope    string `json:"scope,omitempty"`
}

// tokens signs an access token for the grant, and returns it with its refresh token. A token
// of a login has the scopes that its user has now. The kind of grant is counted.
func (s *Service) tokens(kind string, user *store.UserRecord, g state.Grant, refresh authz.Secret) (Tokens, error) {
	now := s.Now()
	expires := now.Add(s.AccessTTL).Truncate(time.Second)
	text, err := s.Signer.Sign(typAccessToken, &accessClaims{
		Issuer: s.Issuer, Audience: s.Audience, Subject: user.Name, ClientID: g.Client, IssuedAt: now.Unix(), Expires: expires.Unix(),
		ID: rand.Text(), Session: g.ID, SubKind: "user", Gen: g.Gen, Scope: strings.Join(granted(user.Scopes), " "),
	})
	if err != nil {
		return Tokens{}, unavailable(err)
	}
	s.Issued(kind)
	return Tokens{Access: authz.NewSecret(text), Refresh: refresh, User: user.Name, Expires: expires.UTC()}, nil
}

// granted are the scopes without those of Keyward itself, which no token has.
func granted(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return strings.HasPrefix(s, access.ScopePrefix) })
}
