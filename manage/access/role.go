package access

import "strings"

// ScopePrefix is that of the scopes that the managing half looks at. They count only
// in a key's own list, or in a user's record for a session: a key never inherits
// them, and no token has them.
const ScopePrefix = "keyward:"

// The scopes, and what each gives its holder.
const (
	ScopeAdmin = ScopePrefix + "admin" // everything
	ScopeRead  = ScopePrefix + "read"  // reads everything, the audit log included
	ScopeKeys  = ScopePrefix + "keys"  // creates, changes and revokes keys of others
	ScopeUsers = ScopePrefix + "users" // creates, changes and disables users without such scopes
	ScopeSelf  = ScopePrefix + "self"  // its user's own keys and sessions
)

// Roles is a set of those scopes. The zero value may do nothing.
type Roles uint8

// The roles, one for each scope.
const (
	Admin Roles = 1 << iota
	Read
	Keys
	Users
	Self
)

var roleOf = map[string]Roles{
	ScopeAdmin: Admin | Read | Keys | Users | Self,
	ScopeRead:  Read, ScopeKeys: Keys, ScopeUsers: Users, ScopeSelf: Self,
}

// RolesOf returns the roles among scopes. One that begins with keyward: and is not known
// gives nothing.
func RolesOf(scopes []string) Roles {
	var r Roles
	for _, scope := range scopes {
		r |= roleOf[scope]
	}
	return r
}

// Scopes returns the scopes that give one role each of the set.
func Scopes(set Roles) []string {
	var names []string
	for _, scope := range []string{ScopeRead, ScopeKeys, ScopeUsers, ScopeSelf} {
		if set.Has(roleOf[scope]) {
			names = append(names, scope)
		}
	}
	if len(names) == 0 && set.Has(Admin) {
		names = append(names, ScopeAdmin)
	}
	return names
}

// rolesWithin returns the roles of those scopes that give no more than bound.
func rolesWithin(scopes []string, bound Roles) Roles {
	var r Roles
	for _, scope := range scopes {
		if given := roleOf[scope]; given&^bound == 0 {
			r |= given
		}
	}
	return r
}

// Has reports whether the set has one of the wanted roles.
func (r Roles) Has(wanted Roles) bool { return r&wanted != 0 }

// Managing returns those of the scopes that the managing half looks at.
func Managing(scopes []string) []string {
	var found []string
	for _, scope := range scopes {
		if strings.HasPrefix(scope, ScopePrefix) {
			found = append(found, scope)
		}
	}
	return found
}

// KnownScope reports whether a scope that begins with keyward: is one of those above.
func KnownScope(scope string) bool { return roleOf[scope] != 0 }
