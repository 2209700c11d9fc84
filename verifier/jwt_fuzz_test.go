package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/internal/vectors"
	"keyward/verifier"
)

// FuzzTokenAgainstGolangJWT compares the result with golang-jwt's, with the
// same keys and options: Keyward may refuse more and must never accept more. It
// tries each input as it is, and signed again, so that headers and claims with
// valid signatures are covered.
func FuzzTokenAgainstGolangJWT(f *testing.F) {
	for _, v := range vectors.Tokens(f) {
		parts := strings.Split(v.Token, ".")
		if len(parts) != 3 {
			continue
		}
		header, errH := base64.RawURLEncoding.DecodeString(parts[0])
		payload, errP := base64.RawURLEncoding.DecodeString(parts[1])
		if errH == nil && errP == nil {
			f.Add(header, payload, parts[2], uint8(0))
		}
	}
	for i, header := range []string{`{"alg":"RS256","kid":"RS256"}`, `{"alg":"ES256","kid":"ES256","typ":"JWT"}`, `{"alg":"EdDSA","kid":"EdDSA","typ":"at+jwt"}`, `{"alg":"PS256","kid":"RS256"}`} {
		for _, changes := range []map[string]any{nil, {"nbf": tokenNow.Unix()}, {"scope": []string{"a"}}, {"aud": []string{"x", "api"}}, {"exp": json.RawMessage("1767225660.5")}} {
			f.Add([]byte(header), []byte(claims(changes)), "", uint8(i))
		}
	}
	fixture := newJWTFixture(f, func(_ *verifier.JWTConfig, i *verifier.JWTIssuer) { i.Algorithms = append(i.Algorithms, "PS256") })
	oracle := newGolangJWT(fixture)
	f.Fuzz(func(t *testing.T, header, payload []byte, signature string, algorithm uint8) {
		if len(header)+len(payload) > 1<<14 {
			return
		}
		b64 := base64.RawURLEncoding.EncodeToString
		oracle.compare(t, fixture, b64(header)+"."+b64(payload)+"."+signature)
		name := []string{"EdDSA", "ES256", "RS256", "PS256"}[algorithm%4] // cheap ones first
		oracle.compare(t, fixture, fixture.sign(t, name, string(header), string(payload)))
		oracle.compare(t, fixture, fixture.sign(t, name, `{"alg":"`+name+`"}`, string(payload)))
		oracle.compare(t, fixture, fixture.sign(t, name, string(header), claims(nil)))
	})
}

// golangJWT is golang-jwt alone, with all options that apply.
type golangJWT struct{ parsers map[string]*jwt.Parser }

func newGolangJWT(f *jwtFixture) golangJWT {
	g := golangJWT{map[string]*jwt.Parser{}}
	for _, algorithm := range f.config.Issuers[0].Algorithms {
		g.parsers[algorithm] = jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithIssuer("https://issuer.example"), jwt.WithAudience("api"),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(30*time.Second), jwt.WithStrictDecoding(),
			jwt.WithTimeFunc(func() time.Time { return tokenNow }))
	}
	return g
}

func (g golangJWT) parse(f *jwtFixture, token string) (*jwt.Token, error) {
	unverified, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		return nil, err
	}
	algorithm := unverified.Method.Alg()
	parser := g.parsers[algorithm]
	if parser == nil {
		return nil, jwt.ErrTokenUnverifiable
	}
	return parser.Parse(token, func(t *jwt.Token) (any, error) {
		kid, named := t.Header["kid"].(string)
		key, err := f.keys.set.Load().Find(kid, named, algorithm)
		if err != nil {
			return nil, err
		}
		return key.VerificationKey(), nil
	})
}

func (g golangJWT) compare(t *testing.T, f *jwtFixture, token string) {
	t.Helper()
	p, reason := f.verifyBearer(token)
	if reason != authz.OK {
		if reason == authz.Unavailable || reason == authz.Internal {
			t.Fatalf("%q: %s", token, reason)
		}
		return
	}
	theirs, err := g.parse(f, token)
	if err != nil {
		t.Fatalf("%q: accepted, and golang-jwt says %v", token, err)
	}
	subject, err := theirs.Claims.GetSubject()
	if err != nil || subject != p.User {
		t.Fatalf("%q: subject %q, and golang-jwt says %q, %v", token, p.User, subject, err)
	}
	exp, err := theirs.Claims.GetExpirationTime()
	if err != nil || exp.After(p.ExpiresAt) && exp.Sub(p.ExpiresAt) > time.Second || p.ExpiresAt.After(exp.Time) {
		t.Fatalf("%q: expires at %s, and golang-jwt says %s, %v", token, p.ExpiresAt, exp, err)
	}
	if text := p.User + p.Scopes.String(); strings.ContainsAny(text, "\x00\r\n") {
		t.Fatalf("%q: %q would break a header", token, text)
	}
}
