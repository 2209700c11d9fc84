package verifier

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
)

// TokenInfo is what an authorization server says of a token (RFC 7662 section
// 2.2). Texts are at most 255 bytes and without control characters; "" and
// the zero Time stand for what was not said. The zero TokenInfo is inactive.
type TokenInfo struct {
	Active bool

	Subject, Username, ClientID string // section 2.2: sub, username, client_id
	Issuer, JTI                 string
	Audience                    []string
	Scopes                      authz.Scopes

	// TokenType is token_type; Use is token_use, or else typ, by which servers
	// tell refresh and ID tokens from access tokens.
	TokenType, Use string
	// SenderConstrained is true if the token is valid only with a proof that its
	// sender has a key (RFC 7800: cnf).
	SenderConstrained bool

	ExpiresAt, IssuedAt, NotBefore time.Time
}

// isAccess knows the names that servers give to access tokens, in ASCII of
// either case. A server asked about a refresh token says that it is active, too.
func isAccess(name string) bool {
	switch authz.LowerASCII(name) {
	case "", "bearer", "access", "access_token", "jwt", "at+jwt", "application/at+jwt":
		return true
	default:
		return false
	}
}

// Introspector asks an authorization server about a token.
type Introspector interface {
	// Introspect returns what the server says of a token that the client shows.
	// On any error it is not known whether the token is active; ErrNotAsked
	// means that the server was not asked. It returns in bounded time, and soon
	// after ctx ends.
	Introspect(ctx context.Context, client authz.Address, token authz.Secret) (*TokenInfo, error)
}

// ErrNotAsked is an Introspector's error that has nothing to do with the token.
var ErrNotAsked = errors.New("the server was not asked")
