package e2e

import (
	"strings"
	"testing"
)

func TestRecipeCognito(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		const pool = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3"
		issuer := startRecipeIssuer(t, "cognito", pool)
		r := newRecipe(t, "cognito", proxy, issuer.config)
		otherPool := strings.Replace(issuer.local(pool), "Ab1Cd2Ef3", "Zz9Yy8Xx7", 1)
		r.variables["USER"] = issuer.token("user.json", nil)
		r.variables["APPLICATION"] = issuer.token("application.json", nil)
		r.variables["ID_TOKEN"] = issuer.token("id-token.json", nil)
		r.variables["OTHER_CLIENT"] = issuer.changed("user.json", map[string]any{"client_id": "3example00000000"})
		r.variables["OTHER_POOL"] = issuer.changed("user.json", map[string]any{"iss": otherPool})
		r.variables["REFRESH"] = "eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIiwiYWxnIjoiUlNBLU9BRVAifQ.T2xkS2V5.aXZpdml2.Y2lwaGVydGV4dA.dGFn" // a JWE
		r.run()
		r.script("spoofed", `curl https://api.example.com/orders -H "Authorization: Bearer $USER" -H 'X-Auth-Client: 2example98765432' # 200, X-Auth-Client: 1example23456789`+"\n")
		r.sendTokens("/orders", append(issuer.forgedTokens("user.json"), []recipeToken{
			{"an ID token", r.variables["ID_TOKEN"], "401 invalid_token", "aud"},
			{"an ID token with client_id", issuer.changed("id-token.json", map[string]any{"client_id": "1example23456789"}), "401 invalid_token", "claims"},
			{"no use", issuer.changed("user.json", map[string]any{"token_use": nil}), "401 invalid_token", "claims"},
			{"another client", r.variables["OTHER_CLIENT"], "401 invalid_token", "aud"},
			{"another client, with aud", issuer.changed("user.json", map[string]any{"client_id": "3example00000000", "aud": "1example23456789"}), "401 invalid_token", "aud"},
			{"another pool", r.variables["OTHER_POOL"], "401 invalid_token", "iss"},
			{"a sign-in by the SDK", issuer.changed("user.json", map[string]any{"scope": "aws.cognito.signin.user.admin"}), "403 insufficient_scope", ""},
		}...))
		r.sendTokens("/admin", []recipeToken{
			{"a sign-in by the SDK", issuer.changed("user.json", map[string]any{"scope": "aws.cognito.signin.user.admin"}), "200", ""},
			{"no group", issuer.changed("user.json", map[string]any{"cognito:groups": nil}), "403 insufficient_scope", ""},
		})
		r.keepsSecrets(t)
	})
}
