package manage

import "strings"

// scopePrefix is that of the scopes that the managing half looks at. They count only
// in a key's own list, or in a user's record for a session: a key never inherits
// them, and no token has them.
const scopePrefix = "keyward:"

// The scopes, and what each gives its holder.
const (
	ScopeAdmin = scopePrefix + "admin" // everything
	ScopeRead  = scopePrefix + "read"  // reads everything, the audit log included
	ScopeKeys  = scopePrefix + "keys"  // creates, changes and revokes keys of others
	ScopeUsers = scopePrefix + "users" // creates, changes and disables users without such scopes
	ScopeSelf  = scopePrefix + "self"  // its user's own keys and sessions
)

// roles is a set of those scopes. The zero value may do nothing.
type roles uint8

const (
	roleAdmin roles = 1 << iota
	roleRead
	roleKeys
	roleUsers
	roleSelf
)

var roleOf = map[string]roles{
	ScopeAdmin: roleAdmin | roleRead | roleKeys | roleUsers | roleSelf,
	ScopeRead:  roleRead, ScopeKeys: roleKeys, ScopeUsers: roleUsers, ScopeSelf: roleSelf,
}

// rolesOf are the roles among scopes. One that begins with keyward: and is not known
// gives nothing.
func rolesOf(scopes []string) roles {
	var r roles
	for _, scope := range scopes {
		r |= roleOf[scope]
	}
	return r
}

// rolesWithin are the roles of those scopes that give no more than bound.
func rolesWithin(scopes []string, bound roles) roles {
	var r roles
	for _, scope := range scopes {
		if given := roleOf[scope]; given&^bound == 0 {
			r |= given
		}
	}
	return r
}

// has reports whether the set has one of the wanted roles.
func (r roles) has(wanted roles) bool { return r&wanted != 0 }

// managing returns those of the scopes that the managing half looks at.
func managing(scopes []string) []string {
	var found []string
	for _, scope := range scopes {
		if strings.HasPrefix(scope, scopePrefix) {
			found = append(found, scope)
		}
	}
	return found
}

// known reports whether a scope that begins with keyward: is one of those above.
func known(scope string) bool { return roleOf[scope] != 0 }
