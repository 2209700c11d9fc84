package oauth

import (
	"errors"
	"slices"
)

// Grant is a way in which a client may get tokens. The set is closed.
type Grant string

// The grants, by their names in RFC 6749 (grant_type).
const (
	AuthorizationCode Grant = "authorization_code"
	RefreshToken      Grant = "refresh_token"
	ClientCredentials Grant = "client_credentials"
)

// LoginClient is the client_id of tokens that a user got by a login with name and password,
// without any client. The ids of clients begin with c_.
const LoginClient = "login"

// Grants returns all grants.
func Grants() []Grant { return []Grant{AuthorizationCode, RefreshToken, ClientCredentials} }

// What is wrong with the grants of a client.
var (
	ErrNoGrant      = errors.New("a client must have a grant")
	ErrUnknownGrant = errors.New("a grant is one of authorization_code, refresh_token and client_credentials")
	ErrGrantTwice   = errors.New("a grant is there twice")
	ErrPublicGrant  = errors.New("a public client has no secret, and so cannot have the grant client_credentials")
	ErrRefreshAlone = errors.New("the grant refresh_token needs authorization_code")
)

// CheckGrants returns why a client cannot have the grants. A public client has no secret
// to authenticate with, and so gets no tokens of its own (RFC 6749 section 4.4). Refresh
// tokens come with an authorization code alone (section 4.4.3).
func CheckGrants(grants []Grant, public bool) error {
	for i, g := range grants {
		switch {
		case !slices.Contains(Grants(), g):
			return ErrUnknownGrant
		case slices.Contains(grants[:i], g):
			return ErrGrantTwice
		}
	}
	switch {
	case len(grants) == 0:
		return ErrNoGrant
	case public && slices.Contains(grants, ClientCredentials):
		return ErrPublicGrant
	case slices.Contains(grants, RefreshToken) && !slices.Contains(grants, AuthorizationCode):
		return ErrRefreshAlone
	}
	return nil
}
