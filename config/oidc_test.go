package config

import (
	"testing"

	"keyward/manage"
	"keyward/manage/access"
)

// TestManagingScopes: a role can give the scopes that the managing half knows, and a login
// is fresh for as long as it says.
func TestManagingScopes(t *testing.T) {
	var all access.Roles
	for _, scope := range managingScopes {
		if !access.KnownScope(scope) {
			t.Errorf("%s is not known", scope)
		}
		all |= access.RolesOf([]string{scope})
	}
	if len(managingScopes) != 5 || all != access.Admin|access.Read|access.Keys|access.Users|access.Self {
		t.Errorf("%q", managingScopes)
	}
	if freshLogin != manage.ReauthenticateAfter {
		t.Errorf("a login is fresh for %v", manage.ReauthenticateAfter)
	}
}
