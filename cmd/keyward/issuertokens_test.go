package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/explain"
)

type object = map[string]any

// issuerKeys are two RSA keys, and the files that an issuer may publish of them.
type issuerKeys struct {
	t             *testing.T
	first, second *rsa.PrivateKey
}

func newIssuerKeys(t *testing.T) *issuerKeys {
	t.Helper()
	k := &issuerKeys{t: t}
	for _, key := range []**rsa.PrivateKey{&k.first, &k.second} {
		var err error
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// jwk returns the JWK of a key, with changes; nil removes a member.
func jwk(key *rsa.PrivateKey, kid string, changes object) object {
	b64 := base64.RawURLEncoding.EncodeToString
	all := object{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "e": "AQAB", "n": b64(key.N.Bytes())}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// file returns the content of jwks_file, in one of the ways in which issuers
// publish their keys.
func (k *issuerKeys) file(kind string) string {
	n := k.first.N.Bytes()
	keys := map[string][]object{
		"":                          {jwk(k.first, "k1", nil)},
		"three algorithms":          {jwk(k.first, "k1", nil), jwk(k.first, "k1", object{"alg": "RS384"}), jwk(k.first, "k1", object{"alg": "RS512"})},
		"leading zero":              {jwk(k.first, "k1", object{"n": base64.RawURLEncoding.EncodeToString(append([]byte{0}, n...))})},
		"padded":                    {jwk(k.first, "k1", object{"n": base64.URLEncoding.EncodeToString(n)})},
		"two keys":                  {jwk(k.first, "k1", nil), jwk(k.second, "k2", nil)},
		"two keys, the second used": {jwk(k.second, "k2", nil), jwk(k.first, "k1", nil)},
		"without kid":               {jwk(k.first, "", object{"kid": nil})},
	}
	var pems string
	for _, key := range []*rsa.PrivateKey{k.first, k.second} {
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			k.t.Fatal(err)
		}
		pems += string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if kind == "PEM" {
			return pems
		}
	}
	if kind == "two in PEM" {
		return pems
	}
	if keys[kind] == nil {
		k.t.Fatalf("no kind of key set is called %q", kind)
	}
	text, err := json.Marshal(object{"keys": keys[kind]})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text)
}

// token signs with the first key; nil removes a claim or a member of the header.
func (k *issuerKeys) token(claims, header object) string {
	now := time.Now().Unix()
	all := jwt.MapClaims{"iss": "https://id.example.com", "sub": "alice", "aud": "api", "iat": now, "exp": now + 3600}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
	token.Header["kid"] = "k1"
	maps.Copy(token.Header, header)
	maps.DeleteFunc(token.Header, func(_ string, v any) bool { return v == nil })
	text, err := token.SignedString(k.first)
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

// issuerCase is a token of an issuer, and what Keyward says with some settings.
type issuerCase struct {
	keys           string // see issuerKeys.file
	settings       string // of the issuer, each after a comma
	claims, header object
	want           string // the subject and its scopes, or the cause
}

// check returns what `keyward check` says about the case. A route needs the scope
// read from a token that has scopes.
func (k *issuerKeys) check(c issuerCase, users ...string) string {
	dir := k.t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			k.t.Fatal(err)
		}
		return path
	}
	more := ""
	if len(users) > 0 {
		more = "users: {file: " + filepath.Join(dir, "users.jsonl") + "}\n"
		for _, name := range users {
			if got := runWith(k.t, "user", "set", name, "--scope", "read", "--file", filepath.Join(dir, "users.jsonl")); got != 0 {
				k.t.Fatalf("user set %s: exit code %d", name, got)
			}
		}
	}
	file := write("issuer.keys", k.file(c.keys))
	config := write("keyward.yaml", "keys: {file: ''}\n"+more+
		"jwt: [{name: idp, issuer: 'https://id.example.com', audiences: [api], jwks_file: "+file+c.settings+"}]\nidentity_headers: {x-scopes: scopes}\n")
	verdict := answers(k.t, config, []map[string]any{{"path": "/x", "headers": map[string]string{"Authorization": "Bearer " + k.token(c.claims, c.header)}}})[0]
	if verdict.Decision == "allow" {
		return strings.TrimSpace(verdict.Subject + " " + verdict.Set["x-scopes"])
	}
	return outcome(verdict)
}

// outcome returns the reason, and the cause of an invalid token.
func outcome(v explain.Verdict) string {
	for _, step := range v.Steps {
		if _, cause, found := strings.Cut(step.Outcome, "invalid_token ("); found {
			return strings.TrimSuffix(cause, ")")
		}
	}
	return v.Reason
}

// TestIssuersAsTheyAre has tokens and key sets of real issuers: what Keyward says
// by default, and with the settings that accept them.
func TestIssuersAsTheyAre(t *testing.T) {
	k := newIssuerKeys(t)
	now := time.Now().Unix()
	subject := func(settings string) string { return ", subject_claim: " + settings }
	for why, c := range map[string]issuerCase{
		"one key":                                 {want: "alice"},
		"one kid for three algorithms":            {keys: "three algorithms", want: "alice"},
		"a modulus with a leading zero":           {keys: "leading zero", want: "alice"},
		"a padded modulus":                        {keys: "padded", want: "alice"},
		"two keys, no kid":                        {keys: "two keys", header: object{"kid": nil}, want: "kid: want the id of one of the issuer's keys for RS256, got none, and several keys fit"},
		"two keys, no kid, tried":                 {keys: "two keys", settings: ", require_kid: false", header: object{"kid": nil}, want: "alice"},
		"the second of two keys, no kid, tried":   {keys: "two keys, the second used", settings: ", require_kid: false", header: object{"kid": nil}, want: "alice"},
		"a key without kid":                       {keys: "without kid", want: "kid: want the id of one of the issuer's keys for RS256, got another one"},
		"a key without kid, tried":                {keys: "without kid", settings: ", require_kid: false", want: "alice"},
		"an unknown kid, tried":                   {settings: ", require_kid: false", header: object{"kid": "other"}, want: "kid: want the id of one of the issuer's keys for RS256, got another one"},
		"a key in PEM":                            {keys: "PEM", want: "alice"},
		"two keys in PEM":                         {keys: "two in PEM", want: "kid: want the id of one of the issuer's keys for RS256, got none, and several keys fit"},
		"two keys in PEM, tried":                  {keys: "two in PEM", settings: ", require_kid: false", want: "alice"},
		"numeric sub":                             {claims: object{"sub": 42}, want: "42"},
		"numeric sub and another subject":         {settings: subject("email"), claims: object{"sub": 42, "email": "a@example.com"}, want: "a@example.com"},
		"numeric user_id":                         {settings: subject("user_id"), claims: object{"sub": nil, "user_id": 7}, want: "7"},
		"typ JOSE":                                {header: object{"typ": "JOSE"}, want: "typ: want JWT, at+jwt, or none, got another type, or none"},
		"typ JOSE, listed":                        {settings: ", types: [JOSE]", header: object{"typ": "JOSE"}, want: "alice"},
		"typ application/jwt":                     {header: object{"typ": "application/jwt"}, want: "alice"},
		"no exp":                                  {claims: object{"exp": nil}, want: "exp: want a time in seconds since 1970, got none"},
		"no exp, optional":                        {settings: ", require_exp: false", claims: object{"exp": nil}, want: "alice"},
		"no exp, optional, issued too long ago":   {settings: ", require_exp: false", claims: object{"exp": nil, "iat": now - 90_000}, want: "expired_token"},
		"expired, exp optional":                   {settings: ", require_exp: false", claims: object{"exp": now - 60}, want: "expired_token"},
		"a role with a space":                     {settings: ", scope_claim: roles", claims: object{"roles": []string{"read", "Site Manager"}}, want: "alice read"},
		"a Windows group":                         {settings: ", scope_claim: roles", claims: object{"roles": []string{"read", `CORP\admins`}}, want: "alice read"},
		"scope with a space in a name":            {claims: object{"scope": []string{"read", "Site Manager"}}, want: "scope: want scopes (RFC 6749 section 3.3) in a text or a list in scope, got a list"},
		"scope beyond ASCII":                      {claims: object{"scope": []string{"read", "BJÖRK"}}, want: "scope: want scopes (RFC 6749 section 3.3) in a text or a list in scope, got a list"},
		"Entra, scp and roles":                    {settings: ", scope_claim: [scp, roles]", claims: object{"scp": "read write", "roles": []string{"Files.All"}}, want: "alice Files.All read write"},
		"Entra, roles without scp":                {settings: ", scope_claim: [scp, roles]", claims: object{"roles": []string{"Files.All"}}, want: "alice Files.All"},
		"Cognito, client_id for aud":              {claims: object{"aud": nil, "client_id": "api", "token_use": "access"}, want: `aud: want "api" (audiences), got none`},
		"Cognito, named":                          {settings: ", audience_claim: client_id", claims: object{"aud": nil, "client_id": "api", "token_use": "access"}, want: "alice"},
		"Cognito, another client":                 {settings: ", audience_claim: client_id", claims: object{"aud": "api", "client_id": "other"}, want: `aud: want "api" (audiences) in client_id, got a text`},
		"a member with a dot, by a dotted path":   {settings: subject("kubernetes.io.serviceaccount.name"), claims: object{"kubernetes.io": object{"serviceaccount": object{"name": "web"}}}, want: "subject: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, in kubernetes.io.serviceaccount.name, got none"},
		"a member with a dot, by a pointer":       {settings: subject("/kubernetes.io/serviceaccount/name"), claims: object{"kubernetes.io": object{"serviceaccount": object{"name": "web"}}}, want: "web"},
		"GitHub, our repository":                  {settings: ", claims: {repository: ['octo-org/*'], ref: [refs/heads/main]}", claims: object{"repository": "octo-org/a", "ref": "refs/heads/main"}, want: "alice"},
		"GitHub, a branch":                        {settings: ", claims: {repository: ['octo-org/*'], ref: [refs/heads/main]}", claims: object{"repository": "octo-org/a", "ref": "refs/heads/x"}, want: `claims: want "refs/heads/main" in ref (claims), got a text`},
		"GitHub, a repository of others":          {settings: ", claims: {repository: ['octo-org/*']}", claims: object{"repository": "octo-org-evil/a"}, want: `claims: want "octo-org/*" in repository (claims), got a text`},
		"Kubernetes, another namespace":           {settings: ", claims: {/kubernetes.io/namespace: [shop]}", claims: object{"kubernetes.io": object{"namespace": "other"}}, want: `claims: want "shop" in /kubernetes.io/namespace (claims), got a text`},
		"Kubernetes, our namespace":               {settings: ", claims: {/kubernetes.io/namespace: [shop]}", claims: object{"kubernetes.io": object{"namespace": "shop"}}, want: "alice"},
		"longer than max_token_bytes":             {settings: ", max_token_bytes: 1000", claims: object{"x": strings.Repeat("x", 1000)}, want: "form: want at most 1000 bytes (max_token_bytes), got more"},
		"the wrong audience":                      {claims: object{"aud": "other"}, want: `aud: want "api" (audiences), got a text`},
		"an issuer with a slash":                  {claims: object{"iss": "https://id.example.com/"}, want: `iss: want "https://id.example.com" (issuer), got a text that differs from "https://id.example.com" only by the / at the end`},
		"cty JWT":                                 {header: object{"cty": "JWT"}, want: "cty: want none, or a type that is not a token, got a text"},
		"an unknown kid":                          {header: object{"kid": "other"}, want: "kid: want the id of one of the issuer's keys for RS256, got another one"},
		"valid for longer than a day":             {claims: object{"exp": now + 100_000}, want: "exp: want a time at most 24h0m0s (max_lifetime) from now, got a later one"},
		"exp as text":                             {claims: object{"exp": fmt.Sprint(now + 99)}, want: "exp: want a time in seconds since 1970, got a text"},
		"iat ahead":                               {claims: object{"iat": now + 90}, want: "iat: want a time that is not in the future, within leeway, got a later one"},
		"no sub":                                  {claims: object{"sub": nil}, want: "subject: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, in sub, got none"},
		"numeric jti":                             {claims: object{"jti": 42}, want: "alice"},
		"a fraction in jti":                       {claims: object{"jti": 4.2}, want: "jti: want a plain text of 1 to 255 bytes, or a whole number from 0 to 2^53, or none, got a number"},
		"scope null":                              {claims: object{"scope": json.RawMessage("null")}, want: "scope: want scopes (RFC 6749 section 3.3) in a text or a list in scope, got null"},
		"an algorithm that is not in the list":    {header: object{"alg": "PS256"}, want: `alg: want "RS256" (algorithms), got another algorithm`},
		"a lax issuer still has signatures":       {settings: ", require_kid: false, require_exp: false, types: [JOSE]", keys: "two keys", header: object{"kid": "k2"}, want: "signature: want one made by the issuer's key for its kid and alg, got another one"},
		"a condition on a claim that is not here": {settings: ", claims: {tenant: ['42']}", want: `claims: want "42" in tenant (claims), got none`},
		"a condition on a number":                 {settings: ", claims: {tenant: ['42']}", claims: object{"tenant": 42}, want: "alice"},
	} {
		if got := k.check(c); got != c.want {
			t.Errorf("%s: %s\nwant %s", why, got, c.want)
		}
	}
}

// TestUsersWithColons: the subjects of tokens are users, whose names have colons.
func TestUsersWithColons(t *testing.T) {
	k := newIssuerKeys(t)
	for name, want := range map[string]string{
		"repo:octo-org/octo-repo:ref:refs/heads/main": "repo:octo-org/octo-repo:ref:refs/heads/main read",
		"system:serviceaccount:shop:web":              "system:serviceaccount:shop:web read",
		"system:serviceaccount:shop:other":            "disabled_user",
	} {
		got := k.check(issuerCase{settings: ", users: true", claims: object{"sub": name}}, "repo:octo-org/octo-repo:ref:refs/heads/main", "system:serviceaccount:shop:web")
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
