package e2e

import "testing"

func TestRecipeKeycloak(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		const partners, master = "https://sso.example.com/realms/partners", "https://sso.example.com/realms/master"
		issuer := startRecipeIssuer(t, "keycloak", "https://sso.example.com/realms/shop")
		issuer.publish("openid-configuration-partners.json", partners)
		r := newRecipe(t, "keycloak", proxy, issuer.config)
		r.local = issuer.local
		refresh, err := issuer.unsigned("refresh-token.json", nil).SignedString([]byte("a key that only the realm has"))
		if err != nil {
			t.Fatal(err)
		}
		account := map[string]any{"aud": "account", "azp": "wiki", "resource_access": map[string]any{"account": map[string]any{"roles": []string{"view-profile"}}}}
		for name, token := range map[string]string{
			"USER":     issuer.token("user.json", nil),
			"SERVICE":  issuer.token("service-account.json", nil),
			"PARTNER":  issuer.changed("user.json", map[string]any{"iss": issuer.local(partners)}),
			"ID_TOKEN": issuer.token("id-token.json", nil),
			"REFRESH":  refresh,
			"ACCOUNT":  issuer.changed("user.json", account),
			"MASTER":   issuer.changed("user.json", map[string]any{"iss": issuer.local(master)}),
		} {
			r.variables[name] = token
		}
		r.run()
		r.sendTokens("/orders", append(issuer.forgedTokens("user.json"), []recipeToken{
			{"an ID token", r.variables["ID_TOKEN"], "401 invalid_token", "claims"},
			{"an access token for DPoP", issuer.changed("user.json", map[string]any{"typ": "DPoP", "cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), "401 invalid_token", "cnf"},
			{"no typ", issuer.changed("user.json", map[string]any{"typ": nil}), "401 invalid_token", "claims"},
			{"a refresh token", refresh, "401 invalid_token", "alg"},
			{"a refresh token by RS256", issuer.changed("user.json", map[string]any{"typ": "Refresh", "aud": issuer.real}), "401 invalid_token", "aud"},
			{"an offline token for the API", issuer.changed("user.json", map[string]any{"typ": "Offline"}), "401 invalid_token", "claims"},
			{"another client", r.variables["ACCOUNT"], "401 invalid_token", "aud"},
			{"no audience", issuer.changed("user.json", map[string]any{"aud": nil}), "401 invalid_token", "aud"},
			{"another realm", r.variables["MASTER"], "401 invalid_token", "iss"},
			{"a realm that begins as ours", issuer.changed("user.json", map[string]any{"iss": issuer.local(issuer.real) + "-evil"}), "401 invalid_token", "iss"},
			{"the same key for RS512", issuer.token("user.json", func(header, _ map[string]any) { header["alg"] = "RS512" }), "401 invalid_token", "alg"},
			{"the key for encryption", issuer.token("user.json", func(header, _ map[string]any) { header["kid"] = "Jd8fK2pXn5vRq7sTb1wYc3zLm9hGa4eUo6iNkVtQxDy" }), "401 invalid_token", "kid"},
			{"a day", issuer.changed("user.json", map[string]any{"iat": 1700000000, "exp": 4000000000}), "401 invalid_token", "exp"},
			{"roles of another client", issuer.changed("user.json", map[string]any{"resource_access": map[string]any{"wiki": map[string]any{"roles": []string{"orders:read"}}}}), "403 insufficient_scope", ""},
			{"no roles", issuer.changed("user.json", map[string]any{"resource_access": nil, "realm_access": nil, "scope": "orders:read"}), "403 insufficient_scope", ""},
			{"at+jwt", issuer.token("user.json", func(header, _ map[string]any) { header["typ"] = "at+jwt" }), "200", ""},
		}...))
		r.keepsSecrets(t)
	})
}
