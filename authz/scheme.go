package authz

import "keyward/chars"

// CredentialScheme is the form in which a credential was sent. The zero scheme
// is SchemeNone.
type CredentialScheme uint8

// The schemes. A new one is a constant here and a row in credentialSchemes;
// extauthz/challenge.go has the challenge of each scheme that Authorization
// carries.
const (
	SchemeNone   CredentialScheme = iota
	SchemeBearer                  // RFC 6750: Authorization, or the cookie
	SchemeBasic                   // RFC 7617: user and password
	// SchemeBare is a key or a token by itself, in a place of its own: a header,
	// the query, a subprotocol, or the user name or the password of Basic.
	SchemeBare
	SchemeSession // a session of the console, in its cookie

	CredentialSchemeCount
)

// CredentialSchemeInfo is a row of the table of schemes.
type CredentialSchemeInfo struct {
	Scheme CredentialScheme
	// AuthScheme is the scheme's name in Authorization (RFC 9110 section 11.1),
	// in lower case. Its switch under `credentials` has the same name. It is ""
	// for a scheme that Authorization does not carry.
	AuthScheme string
	// parse parses what follows the name in Authorization.
	parse func(s *CredentialSources, rest string) (Credential, Reason)
}

var credentialSchemes = [CredentialSchemeCount]CredentialSchemeInfo{
	SchemeBearer:  {SchemeBearer, "bearer", (*CredentialSources).parseBearer},
	SchemeBasic:   {SchemeBasic, "basic", (*CredentialSources).parseBasic},
	SchemeBare:    {Scheme: SchemeBare},
	SchemeSession: {Scheme: SchemeSession},
}

// CredentialSchemes returns the table, without a row for SchemeNone. The caller
// must not change it.
func CredentialSchemes() []CredentialSchemeInfo { return credentialSchemes[SchemeNone+1:] }

// authScheme returns the row of the scheme that Authorization names, in any
// case. It returns nil for an unknown one.
func authScheme(name string) *CredentialSchemeInfo {
	for i := range credentialSchemes {
		if s := &credentialSchemes[i]; s.parse != nil && chars.EqualASCIIFold(name, s.AuthScheme) {
			return s
		}
	}
	return nil
}

// SchemeSet is a set of schemes. The zero SchemeSet is empty.
type SchemeSet uint8

// NewSchemeSet returns the set of the given schemes.
func NewSchemeSet(schemes ...CredentialScheme) (set SchemeSet) {
	for _, s := range schemes {
		set |= 1 << s
	}
	return set
}

// With returns the set with s, if in is true, or without it.
func (set SchemeSet) With(s CredentialScheme, in bool) SchemeSet {
	if in {
		return set | 1<<s
	}
	return set &^ (1 << s)
}

// Contains reports whether the scheme is in the set.
func (set SchemeSet) Contains(s CredentialScheme) bool { return set&(1<<s) != 0 }

// CarriesToken reports whether the scheme carries an API key, a JWT or an opaque
// token, and not a user's password or a session.
func (s CredentialScheme) CarriesToken() bool { return s == SchemeBearer || s == SchemeBare }
