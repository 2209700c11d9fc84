package e2e

import (
	"strings"
	"testing"
)

func TestRecipeGoogleIAP(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newGoogleIAP(t, proxy)
		r.run()
		r.sends(assertionRequest, issuer.forgeries("assertion.json"), []tokenCase{
			{"signed by RSA", issuer.token("assertion.json", func(h, _ map[string]any) { h["alg"] = "RS256" }), "401 invalid_token"},
			{"an external identity", issuer.token("external-assertion.json", nil), "401 invalid_token"},
			{"a list of audiences", issuer.token("assertion.json", func(_, c map[string]any) { c["aud"] = []any{"x", c["aud"]} }), "200, X-Auth-Subject: accounts.google.com:112181712771201972891"},
		})
		r.keepsSecrets(t)
	})
}

const assertionRequest = `curl https://api.example.com/orders -H "x-goog-iap-jwt-assertion: $TOKEN"`

// newGoogleIAP makes the page's system. Pairs change its configuration.
func newGoogleIAP(t *testing.T, proxy string, pairs ...string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeKeys(t, "google-iap", "https://www.gstatic.com/iap/verify/public_key-jwk")
	r := newRecipe(t, "google-iap", proxy, func(page string) string { return replaced(t, pairs...)(issuer.config(page)) })
	changed := func(claim string, value any) string {
		return issuer.token("assertion.json", func(_, c map[string]any) { c[claim] = value })
	}
	r.variables["TOKEN"] = issuer.token("assertion.json", nil)
	r.variables["ANOTHER_SERVICE"] = changed("aud", "/projects/123456789012/global/backendServices/1234567890")
	r.variables["ANOTHER_DOMAIN"] = changed("hd", "example.net")
	r.variables["ID_TOKEN"] = issuer.token("id-token.json", nil)
	return r, issuer
}

// TestRecipeGoogleIAPClaims: the page's other conditions and subjects.
func TestRecipeGoogleIAPClaims(t *testing.T) {
	const hd = "hd: [example.com]  "
	r, issuer := newGoogleIAP(t, "", hd, "identity_source: [GCIP]", "max_lifetime: 15m", "subject_claim: /gcip/sub\n  max_lifetime: 15m")
	r.sends(assertionRequest, []tokenCase{
		{"an external identity", issuer.token("external-assertion.json", nil), "200, X-Auth-Subject: MWhfgdkelqbZFaO5CNtpt2eiY682"},
		{"a Google account", issuer.token("assertion.json", nil), "401 invalid_token"},
	})
	r, issuer = newGoogleIAP(t, "", hd, "/google/access_levels: [accessPolicies/518551280924/accessLevels/testNoOp]", "max_lifetime: 15m", "subject_claim: email\n  max_lifetime: 15m")
	r.sends(assertionRequest, []tokenCase{
		{"the access level", issuer.token("assertion.json", nil), "200, X-Auth-Subject: alice@example.com"},
		{"another one", issuer.token("assertion.json", func(_, c map[string]any) {
			c["google"] = map[string]any{"access_levels": []string{"accessPolicies/518551280924/accessLevels/testNoOp2"}}
		}), "401 invalid_token"},
		{"none", issuer.token("assertion.json", func(_, c map[string]any) { delete(c, "google") }), "401 invalid_token"},
	})
}

func TestRecipeCloudflareAccess(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newCloudflareAccess(t, proxy)
		r.run()
		r.sends(applicationRequest, issuer.forgeries("application-token.json"), []tokenCase{
			{"without a type", issuer.token("application-token.json", func(_, c map[string]any) { delete(c, "type") }), "401 invalid_token"},
			{"the kid of the previous key", issuer.token("application-token.json", func(h, _ map[string]any) {
				h["kid"] = "1a1c3986a44ce6390be42ec772b031df8f433fdc71716db821dc0c39af3bce49"
			}), "401 invalid_token"},
		})
		r.cutsAccessCookie()
		r.keepsSecrets(t)
	})
}

// cutsAccessCookie: the API gets the other cookies, wherever the token is among
// them, and never the token.
func (r *recipe) cutsAccessCookie() {
	r.t.Helper()
	plain := func(text string) string { return strings.TrimRight(strings.ReplaceAll(text, " ", ""), ";") }
	for sent, want := range map[string]string{
		"a=1; CF_Authorization=$TOKEN; b=2":                      "a=1; b=2",
		"CF_Authorization=$TOKEN; b=2":                           "b=2",
		"a=1; CF_Authorization=$TOKEN":                           "a=1",
		"CF_Authorization=$TOKEN":                                "",
		"a=1;CF_Authorization=$TOKEN;b=2":                        "a=1;b=2",
		"a=1; CF_AppSession=x":                                   "a=1; CF_AppSession=x",
		"xCF_Authorization=1; CF_Authorization=$TOKEN; b=CF_Aut": "xCF_Authorization=1; b=CF_Aut",
	} {
		if got := r.cookies(sent); plain(got) != plain(want) {
			r.t.Errorf("%s: the API got %q, want %q", sent, got, want)
		}
	}
	for _, lines := range [][]string{
		{"CF_Authorization=$TOKEN; CF_Authorization=$TOKEN"},
		{"a=1; CF_Authorization=$TOKEN; b=2; CF_Authorization=x"},
		{"CF_Authorization =$TOKEN"},
		{"a=1", "CF_Authorization=$TOKEN"},
		{"CF_Authorization=$TOKEN", "a=1; CF_Authorization=$TOKEN"},
	} {
		if got := r.cookies(lines...); strings.Contains(got, r.variables["TOKEN"]) {
			r.t.Errorf("%q: the API got the token", lines)
		}
	}
}

// cookies returns the Cookie that the API gets, of a request with these lines.
func (r *recipe) cookies(lines ...string) string {
	r.t.Helper()
	headers := []string{"Cf-Access-Jwt-Assertion: " + r.variables["TOKEN"]}
	for _, line := range lines {
		headers = append(headers, "Cookie: "+strings.ReplaceAll(line, "$TOKEN", r.variables["TOKEN"]))
	}
	return strings.Join(r.get("/orders", headers...).received(r.t).Headers["cookie"], "|")
}

const applicationRequest = `curl https://api.example.com/orders -H "Cf-Access-Jwt-Assertion: $TOKEN"`

// newCloudflareAccess makes the page's system. Pairs change its configuration.
func newCloudflareAccess(t *testing.T, proxy string, pairs ...string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeKeys(t, "cloudflare-access", "https://yourteam.cloudflareaccess.com/cdn-cgi/access/certs")
	r := newRecipe(t, "cloudflare-access", proxy, func(page string) string { return replaced(t, pairs...)(issuer.config(page)) })
	changed := func(claim string, value any) string {
		return issuer.token("application-token.json", func(_, c map[string]any) { c[claim] = value })
	}
	r.variables["TOKEN"] = issuer.token("application-token.json", nil)
	r.variables["ANOTHER_APPLICATION"] = changed("aud", []string{"4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"})
	r.variables["ANOTHER_TEAM"] = changed("iss", "https://mallory.cloudflareaccess.com")
	r.variables["SESSION"] = issuer.token("global-token.json", func(_, c map[string]any) {
		c["aud"] = []string{"32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"} // only its type is wrong
	})
	r.variables["SERVICE"] = issuer.token("service-token.json", nil)
	return r, issuer
}

// TestRecipeCloudflareServiceTokens: as the page says, those are refused, and
// programs have keys.
func TestRecipeCloudflareServiceTokens(t *testing.T) {
	r, issuer := newCloudflareAccess(t, "", "  max_lifetime: 24h", "  subject_claim: common_name\n  max_lifetime: 24h",
		"keys: {file: \"\"}", "keys: {file: keys.jsonl}", "header: cf-access-jwt-assertion", "header: [cf-access-jwt-assertion, x-api-key]")
	r.script("keys", `KEY=$(keyward key create --config keyward.yaml --name program)
curl https://api.example.com/orders -H "X-API-Key: $KEY" # 200, X-Auth-Method: api_key, X-Api-Key: -
curl https://api.example.com/orders -H "X-API-Key: $KEY" -H "Cf-Access-Jwt-Assertion: $TOKEN" # 401 ambiguous_credential
`)
	r.sends(applicationRequest, []tokenCase{
		{"a service token", r.variables["SERVICE"], "401 invalid_token"},
		{"another key", issuer.forged("service-token.json"), "401 invalid_token"},
		{"without an empty subject", issuer.token("service-token.json", func(_, c map[string]any) { delete(c, "sub") }), "200, X-Auth-Subject: e367826f93b8d71185e03fe518aff3b4.access"},
	})
}
