package authz

// AuthMethod is the kind of credential by which a principal was authenticated.
// The zero AuthMethod means that the principal is not authenticated.
type AuthMethod uint8

// The kinds. A new one is a constant here, a row in authMethods and a verifier;
// configuration, limits and metrics walk the table.
const (
	AuthMethodNone AuthMethod = iota
	AuthMethodAPIKey
	AuthMethodBasic
	AuthMethodJWT
	AuthMethodOAuth
	AuthMethodAnonymous // the request needed no credential
	AuthMethodSession   // a login to the console, for its own listener alone

	AuthMethodCount
)

// AuthMethodInfo is a row of the table of kinds.
type AuthMethodInfo struct {
	Method AuthMethod
	// Name is the kind in the configuration, metrics, logs and the
	// x-auth-method header.
	Name string
	// Schemes are the schemes in which credentials of the kind are sent. It is
	// empty for a kind without a credential.
	Schemes []CredentialScheme
	// Console is a kind that only the console's listener takes: no route can
	// accept it.
	Console bool
}

var authMethods = [AuthMethodCount]AuthMethodInfo{
	AuthMethodAPIKey:    {Method: AuthMethodAPIKey, Name: "api_key", Schemes: []CredentialScheme{SchemeBare, SchemeBearer}},
	AuthMethodBasic:     {Method: AuthMethodBasic, Name: "basic", Schemes: []CredentialScheme{SchemeBasic}},
	AuthMethodJWT:       {Method: AuthMethodJWT, Name: "jwt", Schemes: []CredentialScheme{SchemeBare, SchemeBearer}},
	AuthMethodOAuth:     {Method: AuthMethodOAuth, Name: "oauth", Schemes: []CredentialScheme{SchemeBare, SchemeBearer}},
	AuthMethodAnonymous: {Method: AuthMethodAnonymous, Name: "anonymous"},
	AuthMethodSession:   {Method: AuthMethodSession, Name: "session", Schemes: []CredentialScheme{SchemeSession}, Console: true},
}

// AuthMethods returns the table, without a row for AuthMethodNone. The caller
// must not change it.
func AuthMethods() []AuthMethodInfo { return authMethods[AuthMethodNone+1:] }

// String returns the kind's name, "" for AuthMethodNone.
func (m AuthMethod) String() string {
	if m >= AuthMethodCount {
		return ""
	}
	return authMethods[m].Name
}
