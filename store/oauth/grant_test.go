package oauth

import (
	"errors"
	"testing"
)

// TestGrants is the policy: which client may have which grants.
func TestGrants(t *testing.T) {
	for _, c := range []struct {
		what   string
		grants []Grant
		public bool
		want   error
	}{
		{"a confidential client with all", Grants(), false, nil},
		{"a public client", []Grant{AuthorizationCode, RefreshToken}, true, nil},
		{"a program", []Grant{ClientCredentials}, false, nil},
		{"none", nil, false, ErrNoGrant},
		{"one that is not offered", []Grant{"password"}, false, ErrUnknownGrant},
		{"an implicit one", []Grant{AuthorizationCode, "implicit"}, false, ErrUnknownGrant},
		{"one twice", []Grant{ClientCredentials, ClientCredentials}, false, ErrGrantTwice},
		{"a public client for itself", []Grant{AuthorizationCode, ClientCredentials}, true, ErrPublicGrant},
		{"refresh tokens without a code", []Grant{ClientCredentials, RefreshToken}, false, ErrRefreshAlone},
	} {
		if got := CheckGrants(c.grants, c.public); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
