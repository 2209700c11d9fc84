package verifier_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/internal/vectors"
	"keyward/verifier"
	"keyward/verifier/jwks"
)

// FuzzTokenAgainstGolangJWT compares the result with golang-jwt's, with the
// same keys and options: Keyward may refuse more and must never accept more. It
// tries each input as it is, and signed again, so that headers and claims with
// valid signatures are covered. The settings of the issuer are part of the input.
func FuzzTokenAgainstGolangJWT(f *testing.F) {
	for _, v := range vectors.Tokens(f) {
		parts := strings.Split(v.Token, ".")
		if len(parts) != 3 {
			continue
		}
		header, errH := base64.RawURLEncoding.DecodeString(parts[0])
		payload, errP := base64.RawURLEncoding.DecodeString(parts[1])
		if errH == nil && errP == nil {
			f.Add(header, payload, parts[2], uint8(0), uint8(0))
			f.Add(header, payload, parts[2], uint8(0), uint8(allSettings))
		}
	}
	n := uint8(0)
	for _, header := range []string{`{"alg":"RS256","kid":"RS256"}`, `{"alg":"ES256","kid":"ES256","typ":"JWT"}`, `{"alg":"EdDSA","kid":"other","typ":"jose"}`, `{"alg":"PS256","kid":"RS256"}`, `{"alg":"EdDSA","typ":"application/jwt"}`} {
		for _, changes := range []map[string]any{
			nil, {"nbf": tokenNow.Unix()}, {"scope": []string{"a"}}, {"aud": []string{"x", "api"}}, {"exp": json.RawMessage("1767225660.5")}, {"exp": nil}, {"exp": nil, "iat": nil},
			{"sub": 42}, {"user": map[string]any{"id": 7}}, {"client_id": "api"}, {"roles": []string{"a", "ä b"}}, {"repo": "acme/x"},
		} {
			n++
			f.Add([]byte(header), []byte(claims(changes)), "", n, n*29)
		}
	}
	issuer, unnamed := newTokenIssuer(f), newTokenIssuer(f).keys["EdDSA"]
	fixtures := map[uint8]*modelFixture{}
	f.Fuzz(func(t *testing.T, header, payload []byte, signature string, algorithm, settings uint8) {
		if len(header)+len(payload) > 1<<14 {
			return
		}
		m := fixtures[settings%(allSettings+1)]
		if m == nil {
			m = newModelFixture(t, issuer, unnamed.(ed25519.PrivateKey), settings%(allSettings+1))
			fixtures[m.settings] = m
		}
		m.t = t
		b64 := base64.RawURLEncoding.EncodeToString
		m.compare(b64(header) + "." + b64(payload) + "." + signature)
		name := []string{"EdDSA", "ES256", "unnamed", "RS256", "PS256"}[algorithm%5] // cheap ones first
		sign := func(header, payload string) string {
			if name == "unnamed" {
				return m.unnamed.sign(t, "EdDSA", header, payload)
			}
			return m.sign(t, name, header, payload)
		}
		m.compare(sign(string(header), string(payload)))
		m.compare(sign(`{"alg":"`+strings.Replace(name, "unnamed", "EdDSA", 1)+`"}`, string(payload)))
		m.compare(sign(string(header), claims(nil)))
	})
}

// The settings of an issuer that a fuzzed input chooses.
const (
	optionalKid uint8 = 1 << iota
	optionalExp
	moreTypes
	otherSubject
	otherAudience
	moreScopes
	conditions

	allSettings = 1<<iota - 1
)

// modelFixture is a verifier with some settings, and golang-jwt with rules of
// its own that say the same.
type modelFixture struct {
	*jwtFixture
	settings uint8
	unnamed  *tokenIssuer      // signs with a key that has no id
	keys     map[string]any    // by kid; "": the one without an id
	fits     map[string]string // algorithm of each key
}

func (m *modelFixture) on(setting uint8) bool { return m.settings&setting != 0 }

func newModelFixture(t testing.TB, issuer *tokenIssuer, unnamed ed25519.PrivateKey, settings uint8) *modelFixture {
	t.Helper()
	second, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &modelFixture{settings: settings, unnamed: &tokenIssuer{}, keys: map[string]any{"second": second, "": unnamed.Public()}, fits: map[string]string{"second": "EdDSA", "": "EdDSA"}}
	m.unnamed.keys = maps.Clone(issuer.keys)
	m.unnamed.keys["EdDSA"] = unnamed
	for kid, key := range issuer.keys {
		m.keys[kid], m.fits[kid] = key.Public(), kid
	}
	m.fits["RS256"] = "RS256 PS256"
	b64 := base64.RawURLEncoding.EncodeToString
	entries := append(slices.Clone(issuer.entries),
		map[string]string{"kid": "second", "kty": "OKP", "crv": "Ed25519", "x": b64(second)},
		map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(unnamed.Public().(ed25519.PublicKey))})
	m.jwtFixture = newJWTFixtureOf(t, issuer, parseKeys(t, issuer.document(t, entries...)), func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) {
		i.Algorithms = append(slices.Clone(i.Algorithms), "PS256")
		i.OptionalKid, i.OptionalExp = m.on(optionalKid), m.on(optionalExp)
		if m.on(moreTypes) {
			i.Types = []string{"JOSE"}
		}
		if m.on(otherSubject) {
			i.SubjectClaim = "/user/id"
		}
		if m.on(otherAudience) {
			i.AudienceClaim = "client_id"
		}
		if m.on(moreScopes) {
			i.ScopeClaims = []string{"scope", "roles"}
		}
		if m.on(conditions) {
			i.Claims = []verifier.ClaimConditions{{Claim: "repo", Values: []string{"acme/*", "7"}}}
		}
	})
	return m
}

// modelKeys returns the keys that may verify a token.
func (m *modelFixture) modelKeys(token *jwt.Token) (any, error) {
	kid, named := token.Header["kid"].(string)
	var set jwt.VerificationKeySet
	for id, key := range m.keys {
		_, known := m.keys[kid]
		fits := strings.Contains(m.fits[id], token.Method.Alg())
		switch {
		case named && kid != "" && known:
			fits = fits && id == kid
		case named:
			fits = fits && id == "" && m.on(optionalKid)
		}
		if fits {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) == 0 || len(set.Keys) > 1 && !m.on(optionalKid) {
		return nil, jwks.ErrNoKey
	}
	return set, nil
}

// parse is golang-jwt alone, with all options that apply.
func (m *modelFixture) parse(token string) (jwt.MapClaims, error) {
	unverified, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return nil, err
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{unverified.Method.Alg()}), jwt.WithIssuer("https://issuer.example"), jwt.WithIssuedAt(), jwt.WithLeeway(30 * time.Second),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber(), jwt.WithTimeFunc(func() time.Time { return tokenNow }),
	}
	if !m.on(otherAudience) {
		options = append(options, jwt.WithAudience("api"))
	}
	if !m.on(optionalExp) {
		options = append(options, jwt.WithExpirationRequired())
	}
	parsed, err := jwt.NewParser(options...).Parse(token, m.modelKeys)
	if err != nil {
		return nil, err
	}
	typ, _ := parsed.Header["typ"].(string)
	types := []string{"", "jwt", "at+jwt"}
	if m.on(moreTypes) {
		types = append(types, "jose")
	}
	if !slices.Contains(types, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return nil, fmt.Errorf("typ %q", typ)
	}
	return parsed.Claims.(jwt.MapClaims), nil
}

var wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,15})$`)

// modelName is the text of a name: a text, or the digits of a number.
func modelName(v any) string {
	if number, ok := v.(json.Number); ok && wholeNumber.MatchString(string(number)) {
		return string(number)
	}
	text, _ := v.(string)
	return text
}

func (m *modelFixture) compare(token string) {
	t := m.t
	t.Helper()
	p, reason := m.verifyBearer(token)
	if reason != authz.OK {
		if reason == authz.Unavailable || reason == authz.Internal {
			t.Fatalf("%q: %s", token, reason)
		}
		return
	}
	theirs, err := m.parse(token)
	if err != nil {
		t.Fatalf("%q: settings %b: accepted, and golang-jwt says %v", token, m.settings, err)
	}
	m.compareClaims(token, p, theirs)
	if text := p.User + p.Scopes.String(); strings.ContainsAny(text, "\x00\r\n") {
		t.Fatalf("%q: %q would break a header", token, text)
	}
}

func (m *modelFixture) compareClaims(token string, p *authz.Principal, theirs jwt.MapClaims) {
	t := m.t
	t.Helper()
	subject, client := modelName(theirs["sub"]), modelName(theirs["client_id"])
	if m.on(otherSubject) {
		user, _ := theirs["user"].(map[string]any)
		subject = modelName(user["id"])
	} else if subject == client {
		subject = ""
	}
	if subject != p.User || p.User == "" && p.ClientID == "" {
		t.Fatalf("%q: settings %b: subject %q, and golang-jwt says %q", token, m.settings, p.User, subject)
	}
	if audience, _ := theirs["client_id"].(string); m.on(otherAudience) && audience != "api" && !slices.Contains(anys(theirs["client_id"]), any("api")) {
		t.Fatalf("%q: settings %b: for another audience", token, m.settings)
	}
	if repo := modelName(theirs["repo"]); m.on(conditions) && !strings.HasPrefix(repo, "acme/") && repo != "7" && len(anys(theirs["repo"])) == 0 {
		t.Fatalf("%q: settings %b: a condition does not hold", token, m.settings)
	}
	listed := fmt.Sprint(theirs["scope"])
	if m.on(moreScopes) {
		listed += fmt.Sprint(theirs["roles"])
	}
	for _, scope := range p.Scopes.Names() {
		if !strings.Contains(listed, scope) {
			t.Fatalf("%q: settings %b: scope %q is granted", token, m.settings, scope)
		}
	}
	exp, err := theirs.GetExpirationTime()
	if issued, _ := theirs.GetIssuedAt(); exp == nil && issued != nil {
		exp = jwt.NewNumericDate(issued.Add(24 * time.Hour))
	}
	switch {
	case err != nil || (exp == nil) != p.ExpiresAt.IsZero():
		t.Fatalf("%q: settings %b: expires at %s, and golang-jwt says %v, %v", token, m.settings, p.ExpiresAt, exp, err)
	case exp != nil && (exp.After(p.ExpiresAt) && exp.Sub(p.ExpiresAt) > time.Second || p.ExpiresAt.After(exp.Time)):
		t.Fatalf("%q: settings %b: expires at %s, and golang-jwt says %s", token, m.settings, p.ExpiresAt, exp)
	}
}

func anys(v any) []any {
	list, _ := v.([]any)
	return list
}
