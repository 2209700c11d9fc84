package verifier_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/verifier"
)

const tokenSecret = "5ecret-of-the-token"

// badTokens returns tokens that each break one rule, by cause. Every claim that
// may have any text has a secret, which no cause may contain.
func badTokens(f *jwtFixture) map[string]string {
	type change = map[string]any
	header := func(h string) string {
		return f.sign(f.t, "EdDSA", h, claims(change{"sub": tokenSecret, "repository": 7}))
	}
	payload := func(p string) string { return f.sign(f.t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA"}`, p) }
	mint := func(c change) string {
		if _, set := c["repository"]; !set {
			c = maps.Clone(c)
			c["repository"] = 7
		}
		return f.mint("EdDSA", c)
	}
	good := mint(change{})
	return map[string]string{
		"form: want three segments of base64url without padding, the header at most 4096 bytes, got another form": "a.b=.c",
		"form: want at most 8192 bytes (max_token_bytes), got more":                                               mint(change{"x": strings.Repeat(tokenSecret, 400)}),
		"header: want strict JSON: not a JSON object":                                                             header(`[]`),
		"crit: want none, got a list or an object":                                                                header(`{"alg":"EdDSA","kid":"EdDSA","crit":["` + tokenSecret + `"]}`),
		"zip: want none, got a text":                                                                              header(`{"alg":"EdDSA","kid":"EdDSA","zip":"DEF"}`),
		"b64: want none, or true, got a boolean":                                                                  header(`{"alg":"EdDSA","kid":"EdDSA","b64":false}`),
		"cty: want none, or a type that is not a token":                                                           header(`{"alg":"EdDSA","kid":"EdDSA","cty":"JWT"}`),
		`alg: want "RS256" or "ES256" or "EdDSA" (algorithms), got`:                                               header(`{"alg":"PS256","kid":"EdDSA"}`),
		"alg: want the name of an algorithm, got none":                                                            header(`{"kid":"EdDSA"}`),
		"typ: want JWT, at+jwt, or none, got another":                                                             header(`{"alg":"EdDSA","kid":"EdDSA","typ":"` + tokenSecret + `"}`),
		"kid: want a text of 1 to 255 bytes, got a number":                                                        header(`{"alg":"EdDSA","kid":5}`),
		"kid: want the id of one of the issuer's keys for EdDSA, got another one":                                 header(`{"alg":"EdDSA","kid":"` + tokenSecret + `"}`),
		"payload: want strict JSON: a member occurs twice":                                                        payload(`{"iss":"x","iss":"` + tokenSecret + `"}`),
		`iss: want "https://issuer.example" (issuer), got a text`:                                                 mint(change{"iss": tokenSecret}),
		"cnf: want a bearer token, got one that is bound":                                                         mint(change{"cnf": change{"jkt": tokenSecret}}),
		"exp: want a time in seconds since 1970, got none":                                                        mint(change{"exp": nil}),
		"exp: want a time in seconds since 1970, got a text":                                                      mint(change{"exp": tokenSecret}),
		"exp: want a time at most 24h0m0s (max_lifetime) from now":                                                mint(change{"exp": tokenNow.Unix() + 100_000}),
		"exp: want a time at most 24h0m0s (max_lifetime) from iat":                                                mint(change{"exp": tokenNow.Unix() + 86_300, "iat": tokenNow.Unix() - 86_300}),
		"nbf: want a time that is not in the future":                                                              mint(change{"nbf": tokenNow.Unix() + 3600}),
		"nbf: want a time in seconds since 1970, or none, got null":                                               payload(strings.Replace(claims(nil), "{", `{"nbf":null,`, 1)),
		"iat: want a time that is not in the future":                                                              mint(change{"iat": tokenNow.Unix() + 3600}),
		"iat: want a time in seconds since 1970, or none":                                                         mint(change{"iat": tokenSecret}),
		`aud: want "api" (audiences), got a text`:                                                                 mint(change{"aud": tokenSecret}),
		`aud: want "api" (audiences), got a list`:                                                                 mint(change{"aud": []string{tokenSecret}}),
		"subject: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, in sub, got none":        mint(change{"sub": nil}),
		"subject: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, in sub, got a number":    mint(change{"sub": 4.2}),
		"subject: want a subject that does not begin with k_ or c_":                                               mint(change{"sub": "k_" + tokenSecret}),
		"jti: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, or none, got a number":       mint(change{"jti": -42}),
		"sid: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, or none, got a number":       mint(change{"sid": 42.5}),
		`claims: want "repo:acme/*" or "7" in repository (claims), got none`:                                      mint(change{"repository": nil}),
		`claims: want "repo:acme/*" or "7" in repository (claims), got a text`:                                    mint(change{"repository": tokenSecret}),
		`claims: want "repo:acme/*" or "7" in repository (claims), got a list`:                                    mint(change{"repository": []string{tokenSecret}}),
		"scope: want scopes (RFC 6749 section 3.3) in a text or a list in scope, got null":                        payload(strings.Replace(claims(change{"scope": nil, "repository": 7}), "{", `{"scope":null,`, 1)),
		"scope: want scopes (RFC 6749 section 3.3) in a text or a list in scope, got a list":                      mint(change{"scope": []string{"read", tokenSecret + " Site Manager"}}),
		"signature: want one made by the issuer's key for its kid and alg":                                        good[:len(good)-4] + "AAAA",
	}
}

// badAccessTokens returns tokens that break rules of access tokens only (RFC
// 9068).
func badAccessTokens(f *jwtFixture) map[string]string {
	access := func(header, payload string) string { return f.sign(f.t, "EdDSA", header, payload) }
	const typed = `{"alg":"EdDSA","kid":"EdDSA","typ":"at+jwt"}`
	return map[string]string{
		"typ: want at+jwt (RFC 9068 section 4)":                                                          access(`{"alg":"EdDSA","kid":"EdDSA"}`, claims(nil)),
		"required: want the claims of an access token (RFC 9068 section 2.2), got no client_id":          access(typed, claims(nil)),
		"client_id: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, got a number": access(typed, claims(map[string]any{"client_id": 5.5, "jti": "j"})),
	}
}

// badOwnTokens returns tokens that break rules of Keyward's own issuer only.
func badOwnTokens(f *jwtFixture) map[string]string {
	return map[string]string{
		`sub_kind: want "client" or "user" in sub_kind, got none`: f.mintOwn(map[string]any{"sub_kind": nil}),
		"gen: want a whole number, from 0, in gen, got a number":  f.mintOwn(map[string]any{"gen": -1}),
	}
}

// TestCauses checks that each cause says what the rule requires and what kind
// of value was found, and contains no text of the token.
func TestCauses(t *testing.T) {
	plain := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.Algorithms = []string{"RS256", "ES256", "EdDSA"}
		i.Claims = []verifier.ClaimConditions{{Claim: "repository", Values: []string{"repo:acme/*", "7"}}}
	})
	access := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.AuthMethod = authz.AuthMethodOAuth })
	own, _, _ := ownFixture(t)
	seen := map[verifier.Rule]bool{verifier.RuleUse: true, verifier.RuleActive: true} // see TestIntrospectionCauses
	for _, kind := range []struct {
		*jwtFixture
		tokens map[string]string
	}{{plain, badTokens(plain)}, {access, badAccessTokens(access)}, {own, badOwnTokens(own)}} {
		for want, token := range kind.tokens {
			seen[expectCause(t, kind.JWT, token, want)] = true
		}
	}
	for _, rule := range verifier.Rules() {
		if !seen[rule] {
			t.Errorf("no token breaks the rule %s", rule)
		}
	}
}

// expectCause checks the cause of an invalid token, and returns the rule.
func expectCause(t *testing.T, v authz.Verifier, token, want string) verifier.Rule {
	t.Helper()
	c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}
	_, err := v.Verify(t.Context(), c, tokenNow)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	if !refused || refusal.Reason != authz.InvalidToken {
		t.Errorf("%s: %v", want, err)
		return ""
	}
	cause, told := errors.AsType[*verifier.Cause](refusal.Cause)
	if !told || !strings.HasPrefix(cause.Error(), want) {
		t.Errorf("%v, want %s", refusal.Cause, want)
		return ""
	}
	if strings.Contains(fmt.Sprintf("%+v", *cause), tokenSecret) {
		t.Errorf("the cause contains text of the token: %s", cause)
	}
	return cause.Rule
}

// TestCausesAreDocumented checks that docs/reasons.md lists exactly these
// rules.
func TestCausesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Causes of invalid_token\n")
	var documented []verifier.Rule
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, verifier.Rule(row[1]))
	}
	if !slices.Equal(documented, verifier.Rules()) {
		t.Errorf("docs/reasons.md lists %v, want %v", documented, verifier.Rules())
	}
}
