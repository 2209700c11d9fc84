package verifier

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/chars"
)

// TokenInfo is an authorization server's response about a token (RFC 7662
// section 2.2). Strings have at most 255 bytes and no control characters; ""
// and the zero Time mean that a member was absent. The zero TokenInfo is
// inactive.
type TokenInfo struct {
	Active bool

	Subject, Username, ClientID string // section 2.2: sub, username, client_id
	Issuer, JTI                 string
	Audience                    []string
	Scopes                      authz.Scopes

	// TokenType is token_type. Use is token_use, or else typ: some servers
	// distinguish refresh and ID tokens from access tokens by these.
	TokenType, Use string
	// SenderConstrained means that the token is valid only with a proof that
	// its sender has a certain key (RFC 7800: cnf).
	SenderConstrained bool

	ExpiresAt, IssuedAt, NotBefore time.Time
}

// isAccessTokenType reports whether a type is one of the names that servers
// give to access tokens, in ASCII of either case. A server may call a refresh
// token active, too.
func isAccessTokenType(name string) bool {
	switch chars.LowerASCII(name) {
	case "", "bearer", "access", "access_token", "jwt", "at+jwt", "application/at+jwt":
		return true
	default:
		return false
	}
}

// Introspector queries an authorization server about a token.
type Introspector interface {
	// Introspect returns the server's response about a token of the client. An
	// error means that it is not known whether the token is active; ErrNotAsked
	// means that the server was not queried. Introspect returns in bounded
	// time, and soon after ctx ends.
	Introspect(ctx context.Context, client authz.Address, token authz.Secret) (*TokenInfo, error)
}

// ErrNotAsked is an Introspector's error that says nothing about the token.
var ErrNotAsked = errors.New("the server was not asked")
