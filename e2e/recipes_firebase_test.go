package e2e

import "testing"

func TestRecipeFirebase(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		issuer := startRecipeIssuer(t, "firebase", "https://securetoken.google.com/shop-1a2b3")
		r := newRecipe(t, "firebase", proxy, issuer.config)
		otherProject := issuer.local("https://securetoken.google.com/other-4c5d6")
		for name, token := range map[string]string{
			"USER":          issuer.token("user.json", nil),
			"ANONYMOUS":     issuer.token("anonymous.json", nil),
			"UNVERIFIED":    issuer.changed("user.json", map[string]any{"email_verified": false}),
			"OTHER_PROJECT": issuer.changed("user.json", map[string]any{"iss": otherProject, "aud": "other-4c5d6"}),
			"SESSION":       issuer.token("session-cookie.json", nil),
			"CUSTOM":        issuer.token("custom-token.json", nil),
			"EMULATOR":      issuer.withoutSignature("user.json"),
			"READER":        issuer.changed("user.json", map[string]any{"role": nil}),
		} {
			r.variables[name] = token
		}
		r.run()
		provider := func(name string) string {
			return issuer.changed("user.json", map[string]any{"firebase": map[string]any{"identities": map[string]any{}, "sign_in_provider": name}})
		}
		r.sendTokens("/articles", append(issuer.forgedTokens("user.json"), []recipeToken{
			{"anonymous", r.variables["ANONYMOUS"], "401 invalid_token", "claims"},
			{"anonymous, with an address", provider("anonymous"), "401 invalid_token", "claims"},
			{"a provider that is not enabled", provider("facebook.com"), "401 invalid_token", "claims"},
			{"no provider", issuer.changed("user.json", map[string]any{"firebase": map[string]any{}}), "401 invalid_token", "claims"},
			{"no word about the address", issuer.changed("user.json", map[string]any{"email_verified": nil}), "401 invalid_token", "claims"},
			{"address not verified", r.variables["UNVERIFIED"], "401 invalid_token", "claims"},
			{"another project", r.variables["OTHER_PROJECT"], "401 invalid_token", "iss"},
			{"another project as audience", issuer.changed("user.json", map[string]any{"aud": "other-4c5d6"}), "401 invalid_token", "aud"},
			{"another project as issuer", issuer.changed("user.json", map[string]any{"iss": otherProject}), "401 invalid_token", "iss"},
			{"a session cookie", r.variables["SESSION"], "401 invalid_token", "iss"},
			{"a custom token", r.variables["CUSTOM"], "401 invalid_token", "iss"},
			{"an empty subject", issuer.changed("user.json", map[string]any{"sub": ""}), "401 invalid_token", "subject"},
			{"too long", issuer.changed("user.json", map[string]any{"exp": 4000000000}), "401 invalid_token", "exp"},
			{"by e-mail", provider("password"), "200", ""},
		}...))
		r.script("scopes", `curl -X DELETE https://api.example.com/articles/1 -H "Authorization: Bearer $READER" # 403 insufficient_scope`+"\n")
		r.keepsSecrets(t)
	})
}
