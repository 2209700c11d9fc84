package verifier_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/cache"
	"keyward/verifier"
	"keyward/verifier/admission"
	"keyward/verifier/fingerprint"
	"keyward/verifier/jwks"
)

func TestJWTPrincipal(t *testing.T) {
	f := newJWTFixture(t, nil)
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		p := f.expect(f.mint(algorithm, map[string]any{"scope": "write read read"}), authz.OK, algorithm)
		if p == nil {
			continue
		}
		if p.AuthMethod != authz.AuthMethodJWT || p.User != "alice" || p.Issuer != "https://issuer.example" || p.Scopes.String() != "read write" ||
			!p.Paths.IsAnyPath() || !p.UserPaths.IsAnyPath() || !p.ExpiresAt.Equal(tokenNow.Add(time.Hour)) || p.KeyID != "" {
			t.Errorf("%s: %+v", algorithm, p)
		}
	}
}

// TestJWTKinds checks that only bearer tokens of three segments are JWTs.
func TestJWTKinds(t *testing.T) {
	f := newJWTFixture(t, nil)
	good := f.mint("ES256", nil)
	f.expect(good, authz.OK, "good")
	for text, want := range map[string]authz.Reason{
		"": authz.NoCredential, "a": authz.NoCredential, "a.b": authz.NoCredential, good + ".": authz.NoCredential, good + ".x.y": authz.NoCredential,
		"..": authz.InvalidToken, "a.b.c": authz.InvalidToken, "." + good[:len(good)-3]: authz.NoCredential,
		strings.Repeat("a", 8193) + ".b.c": authz.InvalidToken,
	} {
		if _, got := f.verifyBearer(text); got != want {
			t.Errorf("%.20q: %s, want %s", text, got, want)
		}
	}
	for size, want := range map[int]authz.Reason{5800: authz.OK, 6100: authz.InvalidToken} { // with the rest, below and above 8192 bytes of base64
		f.expect(f.mint("EdDSA", map[string]any{"pad": strings.Repeat("x", size)}), want, fmt.Sprint(size, " bytes and more"))
	}
	for _, kind := range []authz.CredentialScheme{authz.SchemeNone, authz.SchemeBasic, authz.SchemeSession} {
		if _, err := f.Verify(t.Context(), &authz.Credential{Scheme: kind, Secret: authz.NewSecret(good)}, f.now); err != authz.ErrNotMine {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestJWTHeaderRules(t *testing.T) {
	f := newJWTFixture(t, nil)
	for why, c := range map[string]struct {
		header string
		want   authz.Reason
	}{
		"alg and kid":           {`{"alg":"ES256","kid":"ES256"}`, authz.OK},
		"typ JWT":               {`{"alg":"ES256","kid":"ES256","typ":"JWT"}`, authz.OK},
		"typ jWt":               {`{"alg":"ES256","kid":"ES256","typ":"jWt"}`, authz.OK},
		"typ at+jwt":            {`{"alg":"ES256","kid":"ES256","typ":"AT+jwt"}`, authz.OK},
		"typ with application/": {`{"alg":"ES256","kid":"ES256","typ":"application/at+jwt"}`, authz.OK},
		"no kid, one fits":      {`{"alg":"ES256"}`, authz.OK},
		"other keys ignored":    {`{"alg":"ES256","kid":"ES256","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","x5c":["AA"],"jwk":{"kty":"oct","k":"AA"}}`, authz.OK},
		"cty of another kind":   {`{"alg":"ES256","kid":"ES256","cty":"json"}`, authz.OK},
		"b64 true":              {`{"alg":"ES256","kid":"ES256","b64":true}`, authz.OK},
		"header of 4096 bytes":  {padded(4096), authz.OK},
		"header of 4097 bytes":  {padded(4097), authz.InvalidToken},
		"no alg":                {`{"kid":"ES256"}`, authz.InvalidToken},
		"alg none":              {`{"alg":"none","kid":"ES256"}`, authz.InvalidToken},
		"alg in other letters":  {`{"alg":"es256","kid":"ES256"}`, authz.InvalidToken},
		"alg another":           {`{"alg":"RS256","kid":"ES256"}`, authz.InvalidToken},
		"alg not configured":    {`{"alg":"PS256","kid":"RS256"}`, authz.InvalidToken},
		"kid unknown":           {`{"alg":"ES256","kid":"other"}`, authz.InvalidToken},
		"kid empty":             {`{"alg":"ES256","kid":""}`, authz.InvalidToken},
		"kid null":              {`{"alg":"ES256","kid":null}`, authz.InvalidToken},
		"kid number":            {`{"alg":"ES256","kid":1}`, authz.InvalidToken},
		"kid too long":          {`{"alg":"ES256","kid":"` + strings.Repeat("k", 256) + `"}`, authz.InvalidToken},
		"crit":                  {`{"alg":"ES256","kid":"ES256","crit":["b64"],"b64":true}`, authz.InvalidToken},
		"crit null":             {`{"alg":"ES256","kid":"ES256","crit":null}`, authz.InvalidToken},
		"b64 false":             {`{"alg":"ES256","kid":"ES256","b64":false}`, authz.InvalidToken},
		"b64 null":              {`{"alg":"ES256","kid":"ES256","b64":null}`, authz.InvalidToken},
		"zip":                   {`{"alg":"ES256","kid":"ES256","zip":"DEF"}`, authz.InvalidToken},
		"cty JWT":               {`{"alg":"ES256","kid":"ES256","cty":"JWT"}`, authz.InvalidToken},
		"cty application/jwt":   {`{"alg":"ES256","kid":"ES256","cty":"application/jwt"}`, authz.InvalidToken},
		"cty of another type":   {`{"alg":"ES256","kid":"ES256","cty":["JWT"]}`, authz.InvalidToken},
		"typ another":           {`{"alg":"ES256","kid":"ES256","typ":"rt+jwt"}`, authz.InvalidToken},
		"typ null":              {`{"alg":"ES256","kid":"ES256","typ":null}`, authz.InvalidToken},
		"typ empty":             {`{"alg":"ES256","kid":"ES256","typ":""}`, authz.InvalidToken},
		"typ logout":            {`{"alg":"ES256","kid":"ES256","typ":"logout+jwt"}`, authz.InvalidToken},
		"a member twice":        {`{"alg":"ES256","kid":"RS256","kid":"ES256"}`, authz.InvalidToken},
		"no object":             {`["ES256"]`, authz.InvalidToken},
		"too deep":              {`{"alg":"ES256","kid":"ES256","x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, authz.InvalidToken},
	} {
		f.expect(f.sign(t, "ES256", c.header, claims(nil)), c.want, why)
	}
	keys := append([]map[string]string{{"kid": "second", "kty": "OKP", "crv": "Ed25519", "x": f.entries[2]["x"]}}, f.entries...)
	f.keys.set.Store(parseKeys(t, f.document(t, keys...)).set.Load())
	f.expect(f.sign(t, "EdDSA", `{"alg":"EdDSA"}`, claims(nil)), authz.InvalidToken, "no kid, and two keys match")
}

func padded(size int) string {
	header := `{"alg":"ES256","kid":"ES256","pad":""}`
	return strings.Replace(header, `""`, `"`+strings.Repeat("x", size-len(header))+`"`, 1)
}

func TestJWTClaimRules(t *testing.T) {
	f := newJWTFixture(t, nil)
	now := tokenNow.Unix()
	long := strings.Repeat("a", 256)
	for _, c := range []struct {
		why  string
		name string
		v    any // nil: the claim is absent
		want authz.Reason
	}{
		{"no exp", "exp", nil, authz.InvalidToken},
		{"exp null", "exp", json.RawMessage("null"), authz.InvalidToken},
		{"exp a string", "exp", fmt.Sprint(now + 60), authz.InvalidToken},
		{"exp negative", "exp", -1, authz.InvalidToken},
		{"exp minus zero", "exp", json.RawMessage("-0"), authz.ExpiredToken},
		{"exp 0", "exp", 0, authz.ExpiredToken},
		{"exp in the leeway", "exp", now - 29, authz.OK},
		{"exp at the end of the leeway", "exp", now - 30, authz.ExpiredToken},
		{"exp with a fraction", "exp", json.RawMessage("1767225660.999"), authz.OK},
		{"exp with an exponent", "exp", json.RawMessage("176722566e1"), authz.OK},
		{"exp of year 10000", "exp", int64(253402300800), authz.InvalidToken},
		{"exp 1e300", "exp", json.RawMessage("1e300"), authz.InvalidToken},
		{"exp 1e-999999999", "exp", json.RawMessage("1e-999999999"), authz.InvalidToken},
		{"exp of many digits", "exp", json.RawMessage(fmt.Sprint(now+60) + "." + strings.Repeat("0", 60)), authz.InvalidToken},
		{"exp too far", "exp", now + 86401, authz.InvalidToken},
		{"life too long", "exp", now + 86400 - 59, authz.InvalidToken}, // iat is a minute ago
		{"life just so", "exp", now + 86400 - 60, authz.OK},
		{"nbf now", "nbf", now, authz.OK},
		{"nbf in the leeway", "nbf", now + 30, authz.OK},
		{"nbf a little after it", "nbf", json.RawMessage(fmt.Sprint(now+30) + ".001"), authz.InvalidToken},
		{"nbf after the leeway", "nbf", now + 31, authz.InvalidToken},
		{"nbf null", "nbf", json.RawMessage("null"), authz.InvalidToken},
		{"nbf 1e300", "nbf", json.RawMessage("1e300"), authz.InvalidToken},
		{"nbf negative, with a fraction", "nbf", json.RawMessage("-1.5"), authz.InvalidToken},
		{"nbf 2^64, with a fraction", "nbf", json.RawMessage("18446744073709551616.0"), authz.InvalidToken},
		{"no iat", "iat", nil, authz.OK},
		{"iat a little after the leeway", "iat", json.RawMessage(fmt.Sprint(now+30) + ".001"), authz.InvalidToken},
		{"iat in the leeway", "iat", now + 30, authz.OK},
		{"iat after the leeway", "iat", now + 31, authz.InvalidToken},
		{"iat a string", "iat", "x", authz.InvalidToken},
		{"no iss", "iss", nil, authz.InvalidToken},
		{"iss another", "iss", "https://issuer.example/", authz.InvalidToken},
		{"iss empty", "iss", "", authz.InvalidToken},
		{"iss a list", "iss", []string{"https://issuer.example"}, authz.InvalidToken},
		{"no aud", "aud", nil, authz.InvalidToken},
		{"aud null", "aud", json.RawMessage("null"), authz.InvalidToken},
		{"aud another", "aud", "API", authz.InvalidToken},
		{"aud empty", "aud", "", authz.InvalidToken},
		{"aud a list", "aud", []string{"other", "api"}, authz.OK},
		{"aud an empty list", "aud", []string{}, authz.InvalidToken},
		{"aud a list with others in it", "aud", []any{"api", 1}, authz.InvalidToken},
		{"no sub", "sub", nil, authz.InvalidToken},
		{"sub null", "sub", json.RawMessage("null"), authz.InvalidToken},
		{"sub a number", "sub", 1, authz.OK},
		{"sub zero", "sub", 0, authz.OK},
		{"sub 2^53", "sub", int64(1) << 53, authz.OK},
		{"sub above 2^53", "sub", int64(1)<<53 + 1, authz.InvalidToken},
		{"sub above 2^64", "sub", json.RawMessage("18446744073709551617"), authz.InvalidToken},
		{"sub negative", "sub", -1, authz.InvalidToken},
		{"sub minus zero", "sub", json.RawMessage("-0"), authz.InvalidToken},
		{"sub with a fraction", "sub", json.RawMessage("1.0"), authz.InvalidToken},
		{"sub with an exponent", "sub", json.RawMessage("1e3"), authz.InvalidToken},
		{"sub a boolean", "sub", true, authz.InvalidToken},
		{"sub empty", "sub", "", authz.InvalidToken},
		{"sub of 255 bytes", "sub", long[:255], authz.OK},
		{"sub too long", "sub", long, authz.InvalidToken},
		{"sub with a line break", "sub", "alice\r\nx-auth-scopes: admin", authz.InvalidToken},
		{"sub with DEL", "sub", "a\x7fb", authz.InvalidToken},
		{"sub with C1", "sub", "a\u0085b", authz.InvalidToken},
		{"sub turned round", "sub", "a\u202eb", authz.InvalidToken},
		{"sub with a space first", "sub", " alice", authz.InvalidToken},
		{"sub with a wide space last", "sub", "alice\u3000", authz.InvalidToken},
		{"sub of two words", "sub", "Älice Smith", authz.OK},
		{"sub of an issuer's form", "sub", "auth0|5f7c:x/y@z", authz.OK},
		{"jti", "jti", "j", authz.OK},
		{"jti a number", "jti", 1, authz.OK},
		{"jti with a fraction", "jti", 1.5, authz.InvalidToken},
		{"jti null", "jti", json.RawMessage("null"), authz.InvalidToken},
		{"jti too long", "jti", long, authz.InvalidToken},
		{"no scope", "scope", nil, authz.OK},
		{"scope empty", "scope", "", authz.OK},
		{"scope a list", "scope", []string{"read", "write"}, authz.OK},
		{"scope a list with a space", "scope", []string{"read write"}, authz.InvalidToken},
		{"scope a list with nothing", "scope", []string{""}, authz.InvalidToken},
		{"scope a list with others in it", "scope", []any{"read", 1}, authz.InvalidToken},
		{"scope with a tab", "scope", "read\twrite", authz.InvalidToken},
		{"scope with a quote", "scope", `re"ad`, authz.InvalidToken},
		{"scope null", "scope", json.RawMessage("null"), authz.InvalidToken},
		{"scope a number", "scope", 1, authz.InvalidToken},
		{"scope too long", "scope", long, authz.InvalidToken},
		{"scope long in all", "scope", strings.Repeat("abcdefg ", 100), authz.OK},
		{"too deep", "x", json.RawMessage(strings.Repeat("[", 16) + strings.Repeat("]", 16)), authz.InvalidToken},
		{"deep", "x", json.RawMessage(strings.Repeat("[", 15) + strings.Repeat("]", 15)), authz.OK},
	} {
		f.expect(f.mint("EdDSA", map[string]any{c.name: c.v}), c.want, c.why)
	}
	f.expect(f.mint("EdDSA", map[string]any{"exp": now + 86401, "iat": nil}), authz.InvalidToken, "exp too far, without iat")
	f.expect(f.mint("EdDSA", map[string]any{"exp": now + 86400, "iat": nil}), authz.OK, "exp just so, without iat")
	for n, want := range map[int]authz.Reason{122: authz.OK, 123: authz.InvalidToken} {
		more := map[string]any{}
		for i := range n {
			more[fmt.Sprint("x", i)] = 1
		}
		f.expect(f.mint("EdDSA", more), want, fmt.Sprint(6+n, " claims"))
	}
	f.expect(f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA"}`, strings.Replace(claims(nil), "{", `{"sub":"bob",`, 1)), authz.InvalidToken, "sub twice")
}

// TestExpiryIsCheckedLast checks that a token is reported as expired only if
// all else is valid.
func TestExpiryIsCheckedLast(t *testing.T) {
	f := newJWTFixture(t, nil)
	old := map[string]any{"exp": tokenNow.Unix() - 3600, "iat": tokenNow.Unix() - 7200}
	token := f.mint("EdDSA", old)
	if p := f.expect(token, authz.ExpiredToken, "expired"); p == nil || p.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	last := strings.LastIndexByte(token, '.')
	swapped := f.mint("EdDSA", nil)
	f.expect(token[:last]+swapped[strings.LastIndexByte(swapped, '.'):], authz.InvalidToken, "expired, with another signature")
	old["aud"] = "other"
	f.expect(f.mint("EdDSA", old), authz.InvalidToken, "expired, for another audience")
	f.expect(f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"gone"}`, claims(nil)), authz.InvalidToken, "expired, of a key that was removed")
}

func TestClaimPaths(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.SubjectClaim, i.ScopeClaims = "https://x.example/user", []string{"realm.access.permissions"}
	})
	nested := func(v any) map[string]any { return map[string]any{"access": map[string]any{"permissions": v}} }
	p := f.expect(f.mint("EdDSA", map[string]any{"sub": nil, "https://x.example/user": "bob", "realm": nested([]string{"p:w", "p:r"})}), authz.OK, "nested")
	if p != nil && (p.User != "bob" || p.Scopes.String() != "p:r p:w") {
		t.Errorf("%+v", p)
	}
	p = f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": "bob", "realm.access.permissions": "own", "realm": nested("nested")}), authz.OK, "a member of that exact name")
	if p != nil && p.Scopes.String() != "own" {
		t.Errorf("%q", p.Scopes)
	}
	p = f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": "bob", "realm": map[string]any{}}), authz.OK, "no such path: scope is not the scope claim here")
	if p != nil && p.Scopes.String() != "" {
		t.Errorf("%q", p.Scopes)
	}
	for _, wrong := range []any{"flat", 5, []any{}, map[string]any{"access": "permissions"}} {
		f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": "bob", "realm": wrong}), authz.InvalidToken, fmt.Sprintf("%v on the path to the scopes", wrong))
	}
	f.expect(f.mint("EdDSA", nil), authz.InvalidToken, "sub is not the subject here")
	f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": 7.5}), authz.InvalidToken, "the subject is a fraction")
	f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": "bob", "sub": []string{"bob"}}), authz.InvalidToken, "sub is a list")
	f.expect(f.mint("EdDSA", map[string]any{"https://x.example/user": "bob", "realm": nested(1)}), authz.InvalidToken, "nested and a number")
}

func TestAccessTokens(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.AuthMethod = authz.AuthMethodOAuth })
	all := map[string]any{"jti": "j", "client_id": "web"}
	mint := func(typ string, changes map[string]any) string {
		return f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"EdDSA"`+typ+`}`, claims(changes))
	}
	if p := f.expect(mint(`,"typ":"at+jwt"`, all), authz.OK, "complete"); p != nil && p.AuthMethod != authz.AuthMethodOAuth {
		t.Errorf("%+v", p)
	}
	f.expect(mint(`,"typ":"application/AT+JWT"`, all), authz.OK, "complete")
	f.expect(mint(`,"typ":"JWT"`, all), authz.InvalidToken, "typ JWT: an ID token")
	f.expect(mint(``, all), authz.InvalidToken, "no typ")
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		less := map[string]any{"jti": "j", "client_id": "web", name: nil}
		f.expect(mint(`,"typ":"at+jwt"`, less), authz.InvalidToken, "without "+name)
	}
	f.expect(mint(`,"typ":"at+jwt"`, map[string]any{"jti": "j", "client_id": 1.5}), authz.InvalidToken, "client_id a fraction")
	f.expect(mint(`,"typ":"at+jwt"`, map[string]any{"jti": "", "client_id": "web"}), authz.InvalidToken, "jti empty")
}

// TestAlgorithmConfusion has an HMAC under the text of a public key, and no
// signature at all.
func TestAlgorithmConfusion(t *testing.T) {
	f := newJWTFixture(t, nil)
	der, err := x509.MarshalPKIXPublicKey(f.tokenIssuer.keys["RS256"].Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	b64 := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{`{"alg":"HS256","kid":"RS256"}`, `{"alg":"RS256","kid":"RS256"}`, `{"alg":"HS256"}`} {
		input := b64([]byte(header)) + "." + b64([]byte(claims(nil)))
		for _, key := range [][]byte{text, der, nil} {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(input))
			f.expect(input+"."+b64(mac.Sum(nil)), authz.InvalidToken, "an HMAC under a public key")
		}
	}
	for _, alg := range []string{"none", "None", "NONE", ""} {
		input := b64([]byte(`{"alg":"`+alg+`"}`)) + "." + b64([]byte(claims(nil)))
		f.expect(input+".", authz.InvalidToken, "no signature")
		f.expect(input+".AA", authz.InvalidToken, "none and a signature")
	}
}

func TestSecretIssuer(t *testing.T) {
	secret := strings.Repeat("0123456789abcdef", 4)
	set, err := jwks.ParseSecret(authz.NewSecret(secret + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	keys := &issuerKeys{}
	keys.set.Store(set)
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.Algorithms, i.Keys = []string{"HS256", "HS512"}, keys
	})
	sign := func(method jwt.SigningMethod, header, key string) string {
		input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims(nil)))
		signature, err := method.Sign(input, []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	f.expect(sign(jwt.SigningMethodHS256, `{"alg":"HS256"}`, secret), authz.OK, "HS256")
	f.expect(sign(jwt.SigningMethodHS512, `{"alg":"HS512","kid":"any"}`, secret), authz.OK, "HS512, named")
	f.expect(sign(jwt.SigningMethodHS256, `{"alg":"HS256","kid":""}`, secret), authz.InvalidToken, "an empty kid")
	f.expect(sign(jwt.SigningMethodHS256, `{"alg":"HS256","kid":"`+strings.Repeat("k", 256)+`"}`, secret), authz.InvalidToken, "a kid that is too long")
	f.expect(sign(jwt.SigningMethodHS384, `{"alg":"HS384"}`, secret), authz.InvalidToken, "HS384 is not configured")
	f.expect(sign(jwt.SigningMethodHS256, `{"alg":"HS512"}`, secret), authz.InvalidToken, "HS256 with alg HS512")
	f.expect(sign(jwt.SigningMethodHS256, `{"alg":"HS256"}`, secret+"\n"), authz.InvalidToken, "another secret")
	f.expect(f.mint("EdDSA", nil), authz.InvalidToken, "a public key signature of an issuer with a secret")
}

func TestSeveralIssuers(t *testing.T) {
	other := newTokenIssuer(t)
	otherKeys := parseKeys(t, other.document(t))
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) {
		second := *i
		second.Name, second.Issuer, second.Keys, second.Audiences = "second", "https://second.example", otherKeys, nil
		c.Issuers = append(c.Issuers, second)
	})
	header := `{"alg":"EdDSA","kid":"EdDSA"}`
	second := map[string]any{"iss": "https://second.example", "aud": nil}
	f.expect(f.mint("EdDSA", nil), authz.OK, "the first's")
	f.expect(other.sign(t, "EdDSA", header, claims(second)), authz.OK, "the second's, which needs no aud")
	f.expect(f.mint("EdDSA", second), authz.InvalidToken, "the first's in the second's name")
	f.expect(other.sign(t, "EdDSA", header, claims(nil)), authz.InvalidToken, "the second's in the first's name")
	for _, aud := range []any{1, []any{"x", 1}, json.RawMessage("null")} {
		second["aud"] = aud
		f.expect(other.sign(t, "EdDSA", header, claims(second)), authz.InvalidToken, "aud of another type")
	}
}

// TestKeyOfAnotherAlgorithm checks that a key is not used for another
// algorithm, even if the source returns it.
func TestKeyOfAnotherAlgorithm(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.Algorithms = []string{"RS256", "PS256"}
		i.Keys = wrongKeySource{i.Keys}
	})
	pinned := maps.Clone(f.entries[0])
	pinned["alg"] = "RS256"
	f.keys.set.Store(parseKeys(t, f.document(t, pinned)).set.Load())
	f.expect(f.mint("RS256", nil), authz.OK, "the key's own")
	f.expect(f.sign(t, "PS256", `{"alg":"PS256","kid":"RS256"}`, claims(nil)), authz.InvalidToken, "another")
}

// wrongKeySource returns the key for every algorithm.
type wrongKeySource struct{ verifier.KeySource }

func (c wrongKeySource) Find(ctx context.Context, q jwks.Query, now time.Time) ([]*jwks.Key, error) {
	q.Algorithm = "RS256"
	return c.KeySource.Find(ctx, q, now)
}

func TestPSSSaltLength(t *testing.T) {
	f := newJWTFixture(t, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.Algorithms = []string{"PS256"} })
	header := `{"alg":"PS256","kid":"RS256"}`
	f.expect(f.sign(t, "PS256", header, claims(nil)), authz.OK, "a salt as long as the hash")
	for _, salt := range []int{0, 20, 31, 33, 64} {
		f.expect(f.signPSS(t, header, claims(nil), salt), authz.InvalidToken, fmt.Sprint("a salt of ", salt))
	}
}

func TestJWTConfigErrors(t *testing.T) {
	keys := parseKeys(t, newTokenIssuer(t).document(t))
	good := verifier.JWTIssuer{AuthMethod: authz.AuthMethodJWT, Issuer: "i", Algorithms: []string{"RS256"}, Keys: keys, MaxLifetime: time.Hour}
	make1 := func(change func(*verifier.JWTConfig, *verifier.JWTIssuer)) error {
		cfg := verifier.JWTConfig{Tokens: newTokenCache(t), Fingerprints: fingerprint.NewHasher(), Gate: admission.New(admission.Config{})}
		issuer := good
		change(&cfg, &issuer)
		cfg.Issuers = append(cfg.Issuers, issuer)
		_, err := verifier.NewJWT(cfg)
		return err
	}
	type config = verifier.JWTConfig
	type issuer = verifier.JWTIssuer
	if err := make1(func(*config, *issuer) {}); err != nil {
		t.Fatal(err)
	}
	for why, change := range map[string]func(*config, *issuer){
		"no cache":               func(c *config, _ *issuer) { c.Tokens = (*cache.Cache[verifier.CachedToken])(nil) },
		"no fingerprints":        func(c *config, _ *issuer) { c.Fingerprints = nil },
		"the same iss twice":     func(c *config, i *issuer) { c.Issuers = append(c.Issuers, *i) },
		"users that are not":     func(_ *config, i *issuer) { i.Users = true },
		"no method":              func(_ *config, i *issuer) { i.AuthMethod = authz.AuthMethodNone },
		"another method":         func(_ *config, i *issuer) { i.AuthMethod = authz.AuthMethodAPIKey },
		"no iss":                 func(_ *config, i *issuer) { i.Issuer = "" },
		"no keys":                func(_ *config, i *issuer) { i.Keys = nil },
		"no algorithms":          func(_ *config, i *issuer) { i.Algorithms = nil },
		"alg none":               func(_ *config, i *issuer) { i.Algorithms = []string{"RS256", "none"} },
		"alg unknown":            func(_ *config, i *issuer) { i.Algorithms = []string{"ES256K"} },
		"alg empty":              func(_ *config, i *issuer) { i.Algorithms = []string{""} },
		"secrets beside others":  func(_ *config, i *issuer) { i.Algorithms = []string{"RS256", "HS256"} },
		"others beside secrets":  func(_ *config, i *issuer) { i.Algorithms = []string{"HS256", "EdDSA"} },
		"no longest life":        func(_ *config, i *issuer) { i.MaxLifetime = 0 },
		"a negative leeway":      func(_ *config, i *issuer) { i.Leeway = -1 },
		"an audience of no name": func(_ *config, i *issuer) { i.Audiences = []string{"api", ""} },
	} {
		if err := make1(change); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
	if _, err := verifier.NewJWT(verifier.JWTConfig{Tokens: newTokenCache(t), Fingerprints: fingerprint.NewHasher(), Gate: admission.New(admission.Config{})}); err == nil {
		t.Error("no issuers: accepted")
	}
}
