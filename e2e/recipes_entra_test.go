package e2e

import (
	"strings"
	"testing"
)

const (
	entraTenant  = "https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0"
	entraPartner = "https://login.microsoftonline.com/bbbbcccc-1111-dddd-2222-eeee3333ffff/v2.0"
	entraV1      = "https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/"
	entraForeign = "https://login.microsoftonline.com/ccccdddd-2222-eeee-3333-ffff4444aaaa/v2.0"
)

func TestRecipeEntra(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newEntra(t, proxy, func(config string) string { return config })
		r.run()
		iss := func(file, issuedBy string) string {
			return issuer.changed(file, map[string]any{"iss": issuer.local(issuedBy)})
		}
		r.sendTokens("/orders", append(issuer.forgedTokens("user.json"), []recipeToken{
			{"a foreign tenant", iss("user.json", entraForeign), "401 invalid_token", "iss"},
			{"a foreign tenant, version 1", iss("v1.json", "https://sts.windows.net/ccccdddd-2222-eeee-3333-ffff4444aaaa/"), "401 invalid_token", "iss"},
			{"no tenant", iss("user.json", "https://login.microsoftonline.com/{tenantid}/v2.0"), "401 invalid_token", "iss"},
			{"version 1 of the partner", iss("v1.json", "https://sts.windows.net/bbbbcccc-1111-dddd-2222-eeee3333ffff/"), "401 invalid_token", "iss"},
			{"version 1 without the slash", iss("v1.json", strings.TrimSuffix(entraV1, "/")), "401 invalid_token", "iss"},
			{"another client", issuer.changed("user.json", map[string]any{"azp": "66667777-aaaa-8888-bbbb-9999cccc0000"}), "401 invalid_token", "claims"},
			{"another API", issuer.changed("user.json", map[string]any{"aud": "55556666-ffff-7777-aaaa-8888bbbb9999"}), "401 invalid_token", "aud"},
			{"another API, version 1", issuer.changed("v1.json", map[string]any{"aud": "api://other"}), "401 invalid_token", "aud"},
			{"the URI as audience of version 2", issuer.changed("user.json", map[string]any{"aud": "api://00001111-aaaa-2222-bbbb-3333cccc4444"}), "401 invalid_token", "aud"},
			{"an ID token", r.variables["ID_TOKEN"], "401 invalid_token", "claims"},
			{"an ID token, version 1", issuer.changed("v1.json", map[string]any{"appid": nil, "aud": "00001111-aaaa-2222-bbbb-3333cccc4444"}), "401 invalid_token", "claims"},
			{"too long", issuer.changed("application.json", map[string]any{"iat": nil, "exp": 4000000000}), "401 invalid_token", "exp"},
			{"version 1 for the id", issuer.changed("v1.json", map[string]any{"aud": "00001111-aaaa-2222-bbbb-3333cccc4444"}), "200", ""},
		}...))
		r.keepsSecrets(t)
	})
}

// newEntra starts the issuers of the page. As at Microsoft, they have the same
// keys.
func newEntra(t *testing.T, proxy string, change func(config string) string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeIssuer(t, "entra", entraTenant)
	issuer.publish("openid-configuration-partner.json", entraPartner)
	issuer.publish("openid-configuration-v1.json", entraV1)
	r := newRecipe(t, "entra", proxy, func(page string) string { return change(issuer.config(page)) })
	r.local = issuer.local
	for name, token := range map[string]string{
		"USER":        issuer.token("user.json", nil),
		"APPLICATION": issuer.token("application.json", nil),
		"PARTNER":     issuer.changed("user.json", map[string]any{"iss": issuer.local(entraPartner), "tid": "bbbbcccc-1111-dddd-2222-eeee3333ffff"}),
		"V1":          issuer.token("v1.json", nil),
		"ID_TOKEN":    issuer.token("id-token.json", nil),
		"FOREIGN":     issuer.changed("user.json", map[string]any{"iss": issuer.local(entraForeign), "tid": "ccccdddd-2222-eeee-3333-ffff4444aaaa"}),
		"GRAPH":       issuer.changed("user.json", map[string]any{"aud": "00000003-0000-0000-c000-000000000000", "scp": "Orders.Read User.Read"}),
		"UNASSIGNED":  issuer.changed("application.json", map[string]any{"roles": nil}),
	} {
		r.variables[name] = token
	}
	return r, issuer
}

// TestRecipeEntraTypes: the page's other conditions.
func TestRecipeEntraTypes(t *testing.T) {
	const clients = "{azp: [11112222-bbbb-3333-cccc-4444dddd5555, 33334444-dddd-5555-eeee-6666ffff7777]}"
	const allowed, refused = "200", "401 invalid_token"
	for condition, want := range map[string]struct{ user, application, idToken string }{
		strings.TrimSuffix(clients, "}") + ", idtyp: [app]}":  {refused, allowed, refused},
		strings.TrimSuffix(clients, "}") + ", idtyp: [user]}": {allowed, refused, refused},
		"{azp: [11112222-bbbb-3333-cccc-4444dddd5555]}":       {allowed, refused, refused},
		`{azpacr: ["0", "1", "2"]}`:                           {allowed, allowed, refused},
	} {
		t.Run(condition, func(t *testing.T) {
			r, issuer := newEntra(t, "", func(config string) string {
				if strings.Count(config, clients) != 1 {
					t.Fatalf("the page does not have %s", clients)
				}
				return strings.Replace(config, clients, condition, 1)
			})
			r.sendTokens("/orders", []recipeToken{
				{"a user", issuer.changed("user.json", map[string]any{"idtyp": "user"}), want.user, ""},
				{"an application", r.variables["APPLICATION"], want.application, ""},
				{"an ID token", r.variables["ID_TOKEN"], want.idToken, ""},
			})
		})
	}
}
