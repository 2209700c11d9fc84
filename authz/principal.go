package authz

import (
	"time"

	"keyward/authz/urlpath"
)

// Principal is the party that a verified credential stands for. The cache
// shares it between requests, so it must not be changed once made.
type Principal struct {
	AuthMethod AuthMethod
	// PreviousSecret means that the key was presented by a secret that a
	// rotation has replaced.
	PreviousSecret bool

	User string // "" for a credential that acts for no user
	// ClientID is the OAuth client that a token was issued to, "" if the token
	// names none. It is never a user: users and clients have separate
	// namespaces.
	ClientID string
	KeyID    string
	KeyName  string
	Project  string
	Issuer   string

	// Paths are the paths that the credential allows, UserPaths those that its
	// user may use. A path must be in both. The zero urlpath.Set is empty.
	Paths, UserPaths urlpath.Set
	Scopes           Scopes

	// Rate is the credential's own rate, in place of that of its kind; zero for
	// none.
	Rate Rate

	// ExpiresAt is when the credential expires; the zero Time means never.
	ExpiresAt time.Time
	// AcceptedUntil is when a key stops being accepted: when it expires, or reaches
	// the configuration's maximum age. The zero Time means never.
	AcceptedUntil time.Time
}

// Subject returns the user, or else the key's id; never the key's name, nor a
// client's id. It is "" for a token that stands for a client.
func (p *Principal) Subject() string {
	if p.User != "" {
		return p.User
	}
	return p.KeyID
}

// displayName returns a name of the principal for people.
func (p *Principal) displayName() string {
	if subject := p.Subject(); subject != "" {
		return subject
	}
	return "client " + p.ClientID
}

// anonymous is the principal of every request that is allowed without a
// credential.
var anonymous = &Principal{AuthMethod: AuthMethodAnonymous, Paths: urlpath.Any(), UserPaths: urlpath.Any()}
