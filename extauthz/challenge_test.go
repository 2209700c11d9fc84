package extauthz

import (
	"strings"
	"testing"

	"keyward/authz"
	"keyward/chars"
)

// TestEachSchemeHasAChallenge checks that every scheme that may be enabled has
// a challenge.
func TestEachSchemeHasAChallenge(t *testing.T) {
	for _, scheme := range authz.CredentialSchemes() {
		if scheme.AuthScheme == "" {
			continue
		}
		c := Challenge{Realm: "api", Schemes: authz.NewSchemeSet(scheme.Scheme)}
		got := c.value(&authz.Decision{Reason: authz.NoCredential})
		if name, _, _ := strings.Cut(got, " "); chars.LowerASCII(name) != scheme.AuthScheme {
			t.Errorf("%s: %q; add its challenge to extauthz/challenge.go", scheme.AuthScheme, got)
		}
	}
}
