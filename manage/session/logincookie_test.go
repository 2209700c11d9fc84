package session

import (
	"testing"
	"time"

	"keyward/authz"
)

// TestLoginCookie: the attributes with which the cookie comes back from the provider, and
// goes to no script and no other host.
func TestLoginCookie(t *testing.T) {
	const attributes = "; HttpOnly; Secure; SameSite=Lax"
	if set := SetLoginCookie(authz.NewSecret("login"), 10*time.Minute); set != "__Host-keyward-login=login; Path=/; Max-Age=600"+attributes {
		t.Error(set)
	}
	if cleared := ClearLoginCookie(); cleared != "__Host-keyward-login=; Path=/; Max-Age=0"+attributes {
		t.Error(cleared)
	}
}
