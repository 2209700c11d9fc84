package e2e

import (
	"strings"
	"testing"
)

func TestRecipeAuth0(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newAuth0(t, proxy, func(config string) string { return config })
		r.run()
		r.sendTokens("/orders", append(issuer.forgedTokens("user.json"), []recipeToken{
			{"an ID token", r.variables["ID_TOKEN"], "401 invalid_token", "aud"},
			{"userinfo only", issuer.changed("user.json", map[string]any{"aud": issuer.local("https://acme.us.auth0.com/userinfo")}), "401 invalid_token", "aud"},
			{"the Management API", r.variables["MANAGEMENT"], "401 invalid_token", "aud"},
			{"an audience with a slash", issuer.changed("user.json", map[string]any{"aud": "https://api.example.com/"}), "401 invalid_token", "aud"},
			{"no audience", issuer.changed("user.json", map[string]any{"aud": nil}), "401 invalid_token", "aud"},
			{"another tenant", r.variables["FOREIGN"], "401 invalid_token", "iss"},
			{"the issuer without the slash", issuer.changed("user.json", map[string]any{"iss": issuer.URL}), "401 invalid_token", "iss"},
			{"the next key, which did not sign", issuer.token("user.json", func(header, _ map[string]any) { header["kid"] = "iM6gB4n2xY8pLw0TzQv1R" }), "401 invalid_token", "signature"},
			{"30 days", issuer.changed("user.json", map[string]any{"exp": 4000000000}), "401 invalid_token", "exp"},
			{"scopes without permissions", issuer.changed("user.json", map[string]any{"permissions": nil}), "403 insufficient_scope", ""},
			{"permissions that were not asked for", issuer.changed("user.json", map[string]any{"scope": "openid"}), "200", ""},
			{"one audience", issuer.changed("user.json", map[string]any{"aud": "https://api.example.com"}), "200", ""},
		}...))
		r.keepsSecrets(t)
	})
}

func newAuth0(t *testing.T, proxy string, change func(config string) string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeIssuer(t, "auth0", "https://acme.us.auth0.com/")
	r := newRecipe(t, "auth0", proxy, func(page string) string { return change(issuer.config(page)) })
	for name, token := range map[string]string{
		"USER":       issuer.token("user.json", nil),
		"RFC9068":    issuer.token("user-rfc9068.json", nil),
		"MACHINE":    issuer.token("application.json", nil),
		"ID_TOKEN":   issuer.token("id-token.json", nil),
		"OPAQUE":     "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiaXNzIjoiaHR0cHM6Ly9hY21lLnVzLmF1dGgwLmNvbS8ifQ..aXZpdml2.Y2lwaGVydGV4dA.dGFn",
		"MANAGEMENT": issuer.changed("application.json", map[string]any{"aud": issuer.local("https://acme.us.auth0.com/api/v2/")}),
		"FOREIGN":    issuer.changed("user.json", map[string]any{"iss": "https://mallory.us.auth0.com/"}),
		"ASKED":      issuer.changed("user.json", map[string]any{"scope": "openid read:orders write:orders"}),
	} {
		r.variables[name] = token
	}
	return r, issuer
}

// TestRecipeAuth0Variants: the page's other settings.
func TestRecipeAuth0Variants(t *testing.T) {
	const page = "  scope_claim: permissions\n"
	const allowed, refused, unscoped = "200", "401 invalid_token", "403 insufficient_scope"
	for name, c := range map[string]struct{ config, user, rfc9068, machine string }{
		"RBAC alone":   {"  scope_claim: scope\n", allowed, allowed, allowed},
		"own claims":   {"  scope_claim: https://api.example.com/roles\n", allowed, unscoped, unscoped},
		"machines":     {page + "  claims: {gty: [client-credentials]}\n", refused, refused, allowed},
		"applications": {page + "  claims: {azp: [mK3brgMY0GIMox40xKWcUZBbv2Xs0YdG]}\n", allowed, refused, refused},
	} {
		t.Run(name, func(t *testing.T) {
			r, issuer := newAuth0(t, "", func(config string) string {
				if strings.Count(config, page) != 1 {
					t.Fatalf("the page does not have %s", page)
				}
				return strings.Replace(config, page, c.config, 1)
			})
			r.sendTokens("/orders", []recipeToken{
				{"a user", issuer.changed("user.json", map[string]any{"https://api.example.com/roles": []string{"read:orders"}}), c.user, ""},
				{"a user, RFC 9068", r.variables["RFC9068"], c.rfc9068, ""},
				{"a machine", r.variables["MACHINE"], c.machine, ""},
			})
		})
	}
}
