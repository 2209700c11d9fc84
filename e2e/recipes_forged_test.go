package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenCase is a token, and what becomes of a request with it.
type tokenCase struct{ what, token, want string }

// forgeries returns what no page may accept, made of the token in a document.
func (i *recipeIssuer) forgeries(file string) []tokenCase {
	i.t.Helper()
	changed := func(change func(header, claims map[string]any)) string { return i.token(file, change) }
	good := strings.Split(changed(nil), ".")
	other := strings.Split(changed(func(_, c map[string]any) { c["sub"] = "mallory" }), ".")
	const invalid = "401 invalid_token"
	return []tokenCase{
		{"another key", i.forged(file), invalid},
		{"claims of another token", good[0] + "." + other[1] + "." + good[2], invalid},
		{"without a signature", i.withoutSignature(file), invalid},
		{"the public key as a secret", i.publicKeyAsSecret(file), invalid},
		{"another issuer", changed(func(_, c map[string]any) { c["iss"] = "https://issuer.example.net" }), invalid},
		{"another audience", changed(func(_, c map[string]any) { c["aud"] = "https://another.example.net" }), invalid},
		{"no audience", changed(func(_, c map[string]any) { delete(c, "aud") }), invalid},
		{"expired", changed(func(_, c map[string]any) {
			delete(c, "nbf")
			c["iat"], c["exp"] = time.Now().Add(-10*time.Minute).Unix(), time.Now().Add(-5*time.Minute).Unix()
		}), "401 expired_token"},
		{"without an end", changed(func(_, c map[string]any) { delete(c, "exp") }), invalid},
		{"for a year", changed(func(_, c map[string]any) { c["exp"] = time.Now().AddDate(1, 0, 0).Unix() }), invalid},
		{"not yet valid", changed(func(_, c map[string]any) { c["nbf"] = time.Now().Add(5 * time.Minute).Unix() }), invalid},
		{"a key that does not exist", changed(func(h, _ map[string]any) { h["kid"] = "0" }), invalid},
		{"no subject", changed(func(_, c map[string]any) { delete(c, "sub") }), invalid},
	}
}

// withoutSignature returns the token with "alg": "none".
func (i *recipeIssuer) withoutSignature(file string) string {
	i.t.Helper()
	token := i.unsigned(file, func(header, _ map[string]any) { header["alg"] = "none" })
	text, err := token.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// publicKeyAsSecret returns the token signed with HMAC under the public key.
func (i *recipeIssuer) publicKeyAsSecret(file string) string {
	i.t.Helper()
	var public any = i.rsa.Public()
	if strings.HasPrefix(i.unsigned(file, nil).Method.Alg(), "ES") {
		public = i.ec.Public()
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		i.t.Fatal(err)
	}
	token := i.unsigned(file, func(header, _ map[string]any) { header["alg"] = "HS256" })
	text, err := token.SignedString(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// sends sends each token with the command, which has it as $TOKEN.
func (r *recipe) sends(command string, cases ...[]tokenCase) {
	r.t.Helper()
	own := r.variables["TOKEN"]
	for _, c := range slices.Concat(cases...) {
		r.variables["TOKEN"] = c.token
		r.script(c.what, command+" # "+c.want+"\n")
	}
	r.variables["TOKEN"] = own
}
