package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func TestRecipeSignalR(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newSignalR(t, proxy, func(config string) string { return config })
		r.run()
		r.refusesForged(issuer)
		r.keepsSecrets(t)
	}, overHTTP...)
}

// newSignalR starts the issuers of the page.
func newSignalR(t *testing.T, proxy string, change func(config string) string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeIssuer(t, "signalr", "https://id.example.com")
	r := newRecipe(t, "signalr", proxy, func(page string) string { return change(issuer.config(page)) })
	secret := writeFile(t, r.dir, "jwt-secret", placesSecret)
	r.variables["TOKEN"] = issuer.token("access-token.json", nil)
	r.variables["OWN"] = ownToken(t, issuer, []byte(readText(t, secret)), nil)
	return r, issuer
}

// ownToken returns a token that the application has signed.
func ownToken(t *testing.T, issuer *recipeIssuer, secret []byte, change func(header, claims map[string]any)) string {
	t.Helper()
	text, err := issuer.unsigned("own-token.json", change).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refusesForged sends tokens that are not those of the page, each in both
// places.
func (r *recipe) refusesForged(issuer *recipeIssuer) {
	r.t.Helper()
	changed := func(change func(header, claims map[string]any)) string {
		return issuer.token("access-token.json", change)
	}
	own := func(secret string, change func(header, claims map[string]any)) string {
		return ownToken(r.t, issuer, []byte(secret), change)
	}
	for _, c := range []struct{ token, want string }{
		{issuer.forged("access-token.json"), "401 invalid_token"},
		{changed(func(_, c map[string]any) { c["exp"], c["iat"], c["nbf"] = 1700000000, 1699996400, 1699996400 }), "401 expired_token"},
		{changed(func(_, c map[string]any) { c["aud"] = "another" }), "401 invalid_token"},
		{changed(func(_, c map[string]any) { c["iss"] = "https://id.example.org" }), "401 invalid_token"},
		{changed(func(_, c map[string]any) { c["iss"] = "https://api.example.com" }), "401 invalid_token"}, // the other issuer's name
		{changed(func(_, c map[string]any) { c["scope"] = []string{"openid"} }), "403 insufficient_scope"},
		{changed(func(h, _ map[string]any) { h["kid"] = "D2C3B71A3A2F4B5E9E3C0C5B1F7C4E21" }), "401 invalid_token"}, // an ES256 key
		{changed(func(h, _ map[string]any) { h["alg"], h["kid"] = "ES256", "D2C3B71A3A2F4B5E9E3C0C5B1F7C4E21" }), "200, X-Auth-Subject: 818727"},
		{own("another secret of 32 bytes or more", nil), "401 invalid_token"},
		{own(encodedNumber(issuer.rsa.N), func(h, c map[string]any) { // the public key as a secret
			c["iss"], h["kid"] = issuer.URL, "6B7ACC520305BFDB4F7252DAEB2177CC"
		}), "401 invalid_token"},
		{own(placesSecret, func(_, c map[string]any) { c["iss"] = issuer.URL }), "401 invalid_token"},
		{own(placesSecret, func(_, c map[string]any) { c["role"] = "Support" }), "403 insufficient_scope"},
		{own(placesSecret, func(_, c map[string]any) { delete(c, "exp") }), "401 invalid_token"},
		{own(placesSecret, func(h, _ map[string]any) { h["alg"] = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256" }), "401 invalid_token"},
	} {
		r.variables["FORGED"] = c.token
		r.script("forged", `curl "https://api.example.com/hubs/chat?access_token=$FORGED&id=1" # `+c.want+`
curl -X POST https://api.example.com/hubs/chat/negotiate -H "Authorization: Bearer $FORGED" # `+c.want+"\n")
	}
}

// TestRecipeSignalRForwards: the page's variant, in which ASP.NET gets the token
// too.
func TestRecipeSignalRForwards(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, _ := newSignalR(t, proxy, func(config string) string {
			const hub = "{name: hub, "
			if strings.Count(config, hub) != 1 {
				t.Fatalf("the page has no route of the hub")
			}
			return strings.Replace(config, hub, hub+"forward_credentials: true, ", 1)
		})
		r.start()
		target := "/hubs/chat?id=1&access_token=" + r.variables["TOKEN"]
		if got := r.get(target).received(t); got.Path != target || !slices.Equal(got.Headers["x-auth-subject"], []string{"818727"}) {
			t.Errorf("%+v", got)
		}
	}, "haproxy")
}

// TestRecipeSignalRClaimTypes: the page's settings for claims that are named by
// URLs.
func TestRecipeSignalRClaimTypes(t *testing.T) {
	const subject, role = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
	page := readText(t, filepath.Join(programs.root, recipePage("signalr")))
	r, issuer := newSignalR(t, "", func(config string) string {
		for setting, claim := range map[string][2]string{"subject_claim: ": {"nameid", subject}, "scope_claim: ": {"role", role}} {
			changed := setting + "/" + strings.ReplaceAll(claim[1], "/", "~1")
			if !strings.Contains(page, "`"+changed+"`") || !strings.Contains(config, setting+claim[0]) {
				t.Fatalf("the page does not have %s", changed)
			}
			config = strings.Replace(config, setting+claim[0], changed, 1)
		}
		return config
	})
	r.variables["OWN"] = ownToken(t, issuer, []byte(placesSecret), func(_, c map[string]any) {
		c[subject], c[role] = c["nameid"], c["role"]
		delete(c, "nameid")
		delete(c, "role")
	})
	r.script("claim types", `curl "https://api.example.com/hubs/chat?id=1&access_token=$OWN" # 200, X-Auth-Subject: 17, X-Auth-Scopes: Support chat`+"\n")
}

// TestRecipeIssuer: what the harness of issuers serves and signs is what its
// documents say.
func TestRecipeIssuer(t *testing.T) {
	issuer := startRecipeIssuer(t, "signalr", "https://id.example.com")
	served := string(fetch(t, issuer.URL+"/.well-known/openid-configuration/jwks"))
	if strings.Contains(served, "${") || !strings.Contains(served, encodedNumber(issuer.rsa.N)) {
		t.Errorf("the key set is %s", served)
	}
	if discovery := string(fetch(t, issuer.URL+"/.well-known/openid-configuration")); !strings.Contains(discovery, `"issuer": "`+issuer.URL+`"`) || strings.Contains(discovery, "https://id.") {
		t.Errorf("the discovery document is %s", discovery)
	}
	for alg, key := range map[string]any{"RS256": issuer.rsa.Public(), "ES256": issuer.ec.Public()} {
		text := issuer.token("access-token.json", func(header, _ map[string]any) { header["alg"] = alg })
		token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithIssuer(issuer.URL), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if err != nil || token.Header["typ"] != "at+jwt" {
			t.Errorf("%s: %v", alg, err)
		}
	}
}
