package access

import "time"

// Identity is who an OpenID provider says has logged in.
type Identity struct {
	Issuer, Subject string // iss and sub, which together are one person forever
	User            string // the name of the person by the claim that the operator has chosen; "" if there is none
	Nameless        string // why there is none
	// Roles are the managing scopes that the provider's roles give for this login.
	Roles []string
	// Proved is when the person proved to the provider who they are; zero if that is not
	// known.
	Proved time.Time
}

// Identifies reports whether the person is the one whose identity the user's record has.
func (id *Identity) Identifies(issuer, subject string) bool {
	return id.Subject != "" && id.Issuer == issuer && id.Subject == subject
}
