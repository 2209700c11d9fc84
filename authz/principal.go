package authz

import "time"

// Principal is who asks, once a verifier has vouched for it. It is shared
// between requests by the cache, so nobody changes one after it was made.
type Principal struct {
	AuthMethod AuthMethod
	User       string // "" for a credential that acts for no user
	// ClientID is the OAuth client a token was issued to, "" where it names
	// none. It is never a user: clients and users are named by different people.
	ClientID string
	KeyID    string
	KeyName  string
	Project  string
	Issuer   string

	// Paths are where the credential may go, UserPaths where its user may;
	// a path must be in both. The zero PathSet is nowhere.
	Paths, UserPaths PathSet
	Scopes           Scopes

	// Rate is the credential's own, in place of that of its kind; zero is none.
	Rate Rate

	// ExpiresAt is when the credential ends; the zero Time is never.
	ExpiresAt time.Time
}

// Subject is the user, else the key's id; never the key's name, nor a client's
// id. It is "" for a token that stands for a client.
func (p *Principal) Subject() string {
	if p.User != "" {
		return p.User
	}
	return p.KeyID
}

// displayName names the principal for people.
func (p *Principal) displayName() string {
	if subject := p.Subject(); subject != "" {
		return subject
	}
	return "client " + p.ClientID
}

// anonymous is the principal of every request that passed without a credential.
var anonymous = &Principal{AuthMethod: AuthMethodAnonymous, Paths: AnyPath(), UserPaths: AnyPath()}
