package e2e

import (
	"maps"
	"strings"
)

// recipeToken is a token beside those of a page, and what becomes of it.
type recipeToken struct {
	name, token string
	want        string // as in a comment of a page
	cause       string // the rule that docs/reasons.md lists for it; "": another reason
}

// sendTokens sends each token to a target of the API. In the run with Envoy, it
// also compares the cause, which no proxy changes.
func (r *recipe) sendTokens(target string, tokens []recipeToken) {
	r.t.Helper()
	for _, c := range tokens {
		r.variables["FORGED"] = c.token
		r.script(c.name, `curl "https://api.example.com`+target+`" -H "Authorization: Bearer $FORGED" # `+c.want+"\n")
		if c.cause == "" || r.opts.proxy != "" {
			continue
		}
		if printed := r.check(target, c.token); !strings.Contains(printed, "("+c.cause+": ") {
			r.t.Errorf("%s: the cause is not %s: %s", c.name, c.cause, printed)
		}
	}
}

// check returns what the command prints about a token, once it has the keys of
// the issuer.
func (r *recipe) check(target, token string) string {
	const undecided = 3
	var printed []byte
	for range 10 {
		cmd := r.command("check", "--config", r.opts.example, "--method", "GET", "--path", target, "--header", "Authorization: Bearer "+token)
		printed, _ = cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != undecided {
			break
		}
	}
	return string(printed)
}

// changed is token with some claims changed. A nil value removes the claim.
func (i *recipeIssuer) changed(file string, values map[string]any) string {
	i.t.Helper()
	return i.token(file, func(_, claims map[string]any) {
		for name, value := range values {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
	})
}

// forgedTokens are what every page refuses in the place of the RS256 token in
// file, with the causes.
func (i *recipeIssuer) forgedTokens(file string) []recipeToken {
	i.t.Helper()
	header := func(values map[string]any) func(header, claims map[string]any) {
		return func(header, _ map[string]any) { maps.Copy(header, values) }
	}
	other := newRecipeKeys(i.t)
	embedded, err := i.unsigned(file, header(map[string]any{
		"jwk": map[string]any{"kty": "RSA", "n": encodedNumber(other.rsa.N), "e": "AQAB"},
	})).SignedString(other.rsa)
	if err != nil {
		i.t.Fatal(err)
	}
	return []recipeToken{
		{"another key", i.forged(file), "401 invalid_token", "signature"},
		{"another key, which the header has", embedded, "401 invalid_token", "signature"},
		{"the public key as a secret", i.publicKeyAsSecret(file), "401 invalid_token", "alg"},
		{"no signature", i.withoutSignature(file), "401 invalid_token", "form"},
		{"no algorithm", i.withoutSignature(file) + "AAAA", "401 invalid_token", "alg"},
		{"another algorithm of the same key", i.token(file, header(map[string]any{"alg": "PS256"})), "401 invalid_token", "alg"},
		{"an unknown key", i.token(file, header(map[string]any{"kid": "unknown"})), "401 invalid_token", "kid"},
		{"a type of another purpose", i.token(file, header(map[string]any{"typ": "logout+jwt"})), "401 invalid_token", "typ"},
		{"expired", i.changed(file, map[string]any{"exp": 1700000000, "iat": 1699996400, "nbf": nil}), "401 expired_token", ""},
		{"another issuer", i.changed(file, map[string]any{"iss": "https://issuer.example.org/"}), "401 invalid_token", "iss"},
	}
}
