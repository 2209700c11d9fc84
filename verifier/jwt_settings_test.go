package verifier_test

import (
	"errors"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier"
)

// TestScopeClaims: the scopes of all named claims are granted. A name that cannot
// be a scope is refused in scope, and grants nothing elsewhere.
func TestScopeClaims(t *testing.T) {
	type change = map[string]any
	for why, c := range map[string]struct {
		names  []string
		claims change
		want   authz.Reason
		scopes string
	}{
		"scope alone":                 {nil, change{"scope": "read", "roles": []string{"admin"}}, authz.OK, "read"},
		"two":                         {[]string{"scp", "roles"}, change{"scp": "read write", "roles": []string{"admin", "read"}}, authz.OK, "admin read write"},
		"one of two is there":         {[]string{"scp", "roles"}, change{"roles": []string{"admin"}}, authz.OK, "admin"},
		"none is there":               {[]string{"scp", "roles"}, change{}, authz.OK, ""},
		"a role with a space":         {[]string{"roles"}, change{"roles": []string{"read", "Site Manager"}}, authz.OK, "read"},
		"a backslash":                 {[]string{"roles"}, change{"roles": []string{"read", `CORP\admins`}}, authz.OK, "read"},
		"an umlaut":                   {[]string{"roles"}, change{"roles": []string{"Käufer", "read"}}, authz.OK, "read"},
		"scope with a space":          {nil, change{"scope": []string{"read", "Site Manager"}}, authz.InvalidToken, ""},
		"scope with an umlaut":        {nil, change{"scope": "read BJÖRK"}, authz.InvalidToken, ""},
		"scope by a pointer, strict":  {[]string{"/scope"}, change{"scope": "read BJÖRK"}, authz.InvalidToken, ""},
		"scope among others, strict":  {[]string{"roles", "scope"}, change{"roles": []string{"ä"}, "scope": "read ä"}, authz.InvalidToken, ""},
		"a claim of another type":     {[]string{"scp", "roles"}, change{"scp": "read", "roles": 5}, authz.InvalidToken, ""},
		"nested scope is not scope":   {[]string{"/a/scope"}, change{"a": change{"scope": []string{"read", "ä"}}}, authz.OK, "read"},
		"Keycloak's roles, a pointer": {[]string{"/resource_access/my.api/roles"}, change{"resource_access": change{"my.api": change{"roles": []string{"read"}}}}, authz.OK, "read"},
	} {
		f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.ScopeClaims = c.names })
		if p := f.expect(f.mint("EdDSA", c.claims), c.want, why); p != nil && p.Scopes.String() != c.scopes {
			t.Errorf("%s: %q, want %q", why, p.Scopes, c.scopes)
		}
	}
}

// TestRolesThatAreNoScopesInheritNothing: a token with a scope claim does not get
// its user's scopes, even if none of the names is a scope.
func TestRolesThatAreNoScopesInheritNothing(t *testing.T) {
	all, err := authz.ParseScopes([]string{"admin"})
	if err != nil {
		t.Fatal(err)
	}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		c.Users, i.Users, i.ScopeClaims = userMap{"alice": {Name: "alice", Scopes: all}}, true, []string{"roles", "scp"}
	})
	for scopes, changes := range map[string]map[string]any{"": {"roles": []string{"Site Manager"}}, "admin": {}} {
		if p := f.expect(f.mint("EdDSA", changes), authz.OK, scopes); p == nil || p.Scopes.String() != scopes {
			t.Errorf("%v: %+v", changes, p)
		}
	}
}

// TestAudienceClaim: only the named claim is compared.
func TestAudienceClaim(t *testing.T) {
	type change = map[string]any
	for why, c := range map[string]struct {
		claim  string
		claims change
		want   authz.Reason
	}{
		"aud by default":                 {"", change{"aud": "api"}, authz.OK},
		"no aud":                         {"", change{"aud": nil, "client_id": "api"}, authz.InvalidToken},
		"Cognito":                        {"client_id", change{"aud": nil, "client_id": "api"}, authz.OK},
		"another client":                 {"client_id", change{"aud": nil, "client_id": "other"}, authz.InvalidToken},
		"aud does not stand in for it":   {"client_id", change{"aud": "api"}, authz.InvalidToken},
		"aud is not compared beside it":  {"client_id", change{"aud": "other", "client_id": "api"}, authz.OK},
		"a list":                         {"azp", change{"azp": []string{"x", "api"}}, authz.OK},
		"a list with a number":           {"azp", change{"azp": []any{"api", 5}}, authz.InvalidToken},
		"null":                           {"azp", change{"azp": nil}, authz.InvalidToken},
		"a pointer":                      {"/client/id", change{"client": change{"id": "api"}}, authz.OK},
		"a pointer to something else":    {"/client/id", change{"client": change{"id": "other"}}, authz.InvalidToken},
		"a pointer, and aud, as default": {"/aud", change{"aud": "api"}, authz.OK},
	} {
		f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.AudienceClaim = c.claim })
		f.expect(f.mint("EdDSA", c.claims), c.want, why)
	}
}

// TestClaimConditions: all conditions must hold, and a token that does not meet
// one is refused before its signature is verified.
func TestClaimConditions(t *testing.T) {
	type change = map[string]any
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		oneFailureGate(c, i)
		i.Claims = []verifier.ClaimConditions{{"repository", []string{"octo-org/*"}}, {"/env/name", []string{"prod", "staging"}}}
	})
	plain := newJWTFixture(t, nil)
	for why, c := range map[string]struct {
		claims change
		want   authz.Reason
	}{
		"both":                      {change{"repository": "octo-org/a", "env": change{"name": "prod"}}, authz.OK},
		"another repository":        {change{"repository": "evil/a", "env": change{"name": "prod"}}, authz.InvalidToken},
		"no repository":             {change{"env": change{"name": "prod"}}, authz.InvalidToken},
		"something else than env":   {change{"repository": "octo-org/a", "env": "prod"}, authz.InvalidToken},
		"a repository that is null": {change{"repository": nil, "env": change{"name": "prod"}}, authz.InvalidToken},
	} {
		f.expect(f.mint("EdDSA", c.claims), c.want, why)
		plain.expect(plain.mint("EdDSA", c.claims), authz.OK, why+", without conditions")
	}
	f = newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.Claims = []verifier.ClaimConditions{{"/env/name", []string{"prod"}}}
	})
	f.expect(f.mint("EdDSA", change{"env": change{"name": "test"}}), authz.InvalidToken, "another value within an object")
}

// TestNumericRevocation: tokens whose ids are numbers are revoked by their
// decimal text, cached ones too.
func TestNumericRevocation(t *testing.T) {
	list := &revocationList{jtis: map[string]bool{}, sids: map[string]bool{}, subjects: map[string]time.Time{}}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	token := f.mint("EdDSA", map[string]any{"sub": 42, "jti": 7, "sid": 9})
	for name, revoke := range map[string]func(on bool){
		"jti": func(on bool) { list.jtis["7"] = on },
		"sid": func(on bool) { list.sids["9"] = on },
		"sub": func(on bool) {
			if delete(list.subjects, "42"); on {
				list.subjects["42"] = tokenNow
			}
		},
	} {
		if p := f.expect(token, authz.OK, "before "+name); p == nil || p.User != "42" {
			t.Errorf("%+v", p)
		}
		list.change(func() { revoke(true) })
		f.expect(token, authz.RevokedToken, "by its "+name)
		list.change(func() { revoke(false) })
	}
}

// TestNearIssuers: the cause of an iss that is not configured names the
// configured one that it resembles, and nothing of the token.
func TestNearIssuers(t *testing.T) {
	issuers := []string{
		"https://id.example.com", "https://login.example.com/realms/shop", "https://login.microsoftonline.com/11111111-aaaa/v2.0", "https://sts.windows.net/22222222-bbbb/", "joe",
	}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		for _, name := range issuers {
			other := *i
			other.Issuer, other.Name = name, name
			c.Issuers = append(c.Issuers, other)
		}
	})
	for iss, want := range map[string]string{
		"https://id.example.com/":                                ` that differs from "https://id.example.com" only by the / at the end`,
		"https://ID.example.com":                                 ` that differs from "https://id.example.com" only by the case of letters`,
		"http://id.example.com":                                  ` that differs from "https://id.example.com" only by http and https`,
		"https://sts.windows.net/11111111-aaaa/":                 ` that differs from "https://login.microsoftonline.com/11111111-aaaa/v2.0" by the version of the token: one is of Entra v1.0, the other of v2.0`,
		"https://login.microsoftonline.com/22222222-bbbb/v2.0":   ` that differs from "https://sts.windows.net/22222222-bbbb/" by the version of the token: one is of Entra v1.0, the other of v2.0`,
		"https://login.microsoftonline.com/SECRET-3333/v2.0":     ` that differs from "https://login.microsoftonline.com/11111111-aaaa/v2.0" by the tenant`,
		"https://login.example.com/realms/SECRET":                ` that differs from "https://login.example.com/realms/shop" by what follows the host, as those of other tenants and realms do`,
		"https://id.example.com.SECRET.example":                  "",
		"https://id.example.com@SECRET.example":                  "",
		"SECRET":                                                 "",
		"":                                                       "",
		"https://login.microsoftonline.com/22222222-bbbb/SECRET": ` that differs from "https://login.microsoftonline.com/11111111-aaaa/v2.0" by what follows the host, as those of other tenants and realms do`,
	} {
		c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(f.mint("EdDSA", map[string]any{"iss": iss}))}
		_, err := f.Verify(t.Context(), c, tokenNow)
		refusal, refused := errors.AsType[*authz.CredentialError](err)
		if !refused {
			t.Errorf("%s: %v", iss, err)
			continue
		}
		if cause, ok := errors.AsType[*verifier.Cause](refusal.Cause); !ok || cause.Rule != verifier.RuleIss || cause.Got != "a text"+want {
			t.Errorf("%s: %v, want%s", iss, refusal.Cause, want)
		}
	}
}
