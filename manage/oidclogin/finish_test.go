package oidclogin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/internal/openidprovider"
	"keyward/manage/access"
)

// TestLogin: who logs in is the person of the ID token, by every kind of key.
func TestLogin(t *testing.T) {
	for name, sign := range map[string]func(*openidprovider.Provider){
		"ES256":                        func(*openidprovider.Provider) {},
		"RS256":                        func(p *openidprovider.Provider) { p.SignedBy(jwt.SigningMethodRS256, openidprovider.RSAKey, "rsa") },
		"PS256":                        func(p *openidprovider.Provider) { p.SignedBy(jwt.SigningMethodPS256, openidprovider.RSAKey, "rsa") },
		"a key set with one of others": func(p *openidprovider.Provider) { p.JWKS = append(p.JWKS, map[string]any{"kty": "new", "kid": "x"}) },
		"client_secret_post": func(p *openidprovider.Provider) {
			p.Metadata = with("token_endpoint_auth_methods_supported", []string{"client_secret_post"})
		},
		"an answer without iss": func(p *openidprovider.Provider) {
			p.Metadata = with("authorization_response_iss_parameter_supported", nil)
		},
		"several audiences": func(p *openidprovider.Provider) {
			p.Claims = claim("aud", []string{"project", openidprovider.ClientID}, "azp", openidprovider.ClientID)
		},
	} {
		f := newFixture(t)
		sign(f.idp)
		query, cookie := f.begin(Options{Next: "/keys?q=a"})
		if name == "an answer without iss" {
			query.Del("iss")
		}
		got, err := f.Finish(f.Context(), query, cookie)
		f.want(name, err, nil, "")
		want := Result{access.Identity{Issuer: f.idp.URL, Subject: "sub-alice", User: "sub-alice", Proved: f.now()}, Options{Next: "/keys?q=a"}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if f.idp.Asked.Get("scope") != "openid email profile" || f.idp.Asked.Has("max_age") || f.idp.Requests["/userinfo"].Load() != 0 {
			t.Errorf("%s: asked %v", name, f.idp.Asked)
		}
	}
}

// with changes a member of the provider's metadata.
func with(member string, value any) func(map[string]any) {
	return func(m map[string]any) {
		m[member] = value
		if value == nil {
			delete(m, member)
		}
	}
}

// claim changes claims of the ID token, which are given as names and values. The value
// nil takes the claim out.
func claim(pairs ...any) func(jwt.MapClaims) {
	return func(c jwt.MapClaims) {
		for i := 0; i < len(pairs); i += 2 {
			c[pairs[i].(string)] = pairs[i+1]
			if pairs[i+1] == nil {
				delete(c, pairs[i].(string))
			}
		}
	}
}

// TestIDTokens is the policy: which ID tokens are not accepted.
func TestIDTokens(t *testing.T) {
	at := func(f *fixture, d time.Duration) int64 { return f.now().Add(d).Unix() }
	const (
		otherClient = "not one for this client, or its signature is not valid"
		noTime      = "has no iat"
	)
	for name, c := range map[string]struct {
		change func(f *fixture)
		text   string
	}{
		"another nonce":    {func(f *fixture) { f.idp.Claims = claim("nonce", "other") }, "the nonce"},
		"no nonce":         {func(f *fixture) { f.idp.Claims = claim("nonce", nil) }, "the nonce"},
		"another issuer":   {func(f *fixture) { f.idp.Claims = claim("iss", "https://evil.example") }, otherClient},
		"no issuer":        {func(f *fixture) { f.idp.Claims = claim("iss", nil) }, otherClient},
		"another audience": {func(f *fixture) { f.idp.Claims = claim("aud", "other") }, otherClient},
		"other audiences": {func(f *fixture) {
			f.idp.Claims = claim("aud", []string{"other", "third"}, "azp", openidprovider.ClientID)
		}, otherClient},
		"no audience":             {func(f *fixture) { f.idp.Claims = claim("aud", nil) }, otherClient},
		"another azp":             {func(f *fixture) { f.idp.Claims = claim("azp", "other") }, "another client"},
		"an azp that is a number": {func(f *fixture) { f.idp.Claims = claim("azp", 1) }, "another client"},
		"audiences without azp":   {func(f *fixture) { f.idp.Claims = claim("aud", []string{openidprovider.ClientID, "other"}) }, "another client"},
		"expired":                 {func(f *fixture) { f.idp.Claims = claim("exp", at(f, -time.Second)) }, "has expired"},
		"no exp":                  {func(f *fixture) { f.idp.Claims = claim("exp", nil) }, "has expired"},
		"not yet valid":           {func(f *fixture) { f.idp.Claims = claim("nbf", at(f, time.Hour)) }, otherClient},
		"issued later":            {func(f *fixture) { f.idp.Claims = claim("iat", at(f, 2*time.Minute)) }, noTime},
		"no iat":                  {func(f *fixture) { f.idp.Claims = claim("iat", nil) }, noTime},
		"an iat with a fraction":  {func(f *fixture) { f.idp.Claims = claim("iat", float64(at(f, 0))+0.5) }, noTime},
		"no sub":                  {func(f *fixture) { f.idp.Claims = claim("sub", nil) }, "no sub"},
		"an empty sub":            {func(f *fixture) { f.idp.Claims = claim("sub", "") }, "no sub"},
		"a sub of two lines":      {func(f *fixture) { f.idp.Claims = claim("sub", "a\nb") }, "no sub"},
		"a long sub":              {func(f *fixture) { f.idp.Claims = claim("sub", strings.Repeat("a", 256)) }, "no sub"},
		"auth_time as text":       {func(f *fixture) { f.idp.Claims = claim("auth_time", "now") }, "auth_time"},
		"auth_time later":         {func(f *fixture) { f.idp.Claims = claim("auth_time", at(f, 2*time.Minute)) }, "auth_time"},
		"alg none":                {func(f *fixture) { f.idp.SignedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ec") }, otherClient},
		"HS256, client's secret":  {func(f *fixture) { f.idp.SignedBy(jwt.SigningMethodHS256, []byte(openidprovider.ClientSecret), "ec") }, otherClient},
		"HS256, in the key set": {func(f *fixture) {
			f.idp.JWKS = append(f.idp.JWKS, map[string]any{"kty": "oct", "kid": "oct", "k": encoding.EncodeToString([]byte("a secret of 32 bytes in the key set"))})
			f.idp.SignedBy(jwt.SigningMethodHS256, []byte("a secret of 32 bytes in the key set"), "oct")
		}, otherClient},
		"another key": {func(f *fixture) { f.idp.SignedBy(jwt.SigningMethodES256, openidprovider.OtherKey, "ec") }, otherClient},
		"a key of its own header": {func(f *fixture) {
			f.idp.SignedBy(jwt.SigningMethodES256, openidprovider.OtherKey, "other")
			f.idp.Header = func(h map[string]any) { h["jwk"] = openidprovider.ECJWK("other", openidprovider.OtherKey) }
		}, otherClient},
		"a critical header": {func(f *fixture) {
			f.idp.Header = func(h map[string]any) { h["crit"], h["new"] = []string{"new"}, true }
		}, otherClient},
		"a claim twice": {func(f *fixture) {
			f.idp.RawToken(func(c string) string { return strings.Replace(c, "{", `{"sub":"sub-root",`, 1) })
		}, "twice"},
		"a claim in upper case": {func(f *fixture) {
			f.idp.Claims = claim("exp", at(f, -time.Hour))
			f.idp.RawToken(func(c string) string { return strings.TrimSuffix(c, "}") + `,"EXP":99999999999}` })
		}, "only in case"},
		"not an object": {func(f *fixture) { f.idp.RawToken(func(string) string { return `["sub"]` }) }, otherClient},
		"too many claims": {func(f *fixture) {
			f.idp.Claims = func(c jwt.MapClaims) {
				for _, a := range "abcdefghijkl" {
					for _, b := range "abcdefghijkl" {
						c[string(a)+string(b)] = 1
					}
				}
			}
		}, "too many"},
	} {
		f := newFixture(t)
		c.change(f)
		got, err := f.login(Options{})
		f.want(name, err, ErrRefused, c.text)
		if !reflect.DeepEqual(got, Result{}) || len(f.used) != 0 {
			t.Errorf("%s: %+v, %d marks", name, got, len(f.used))
		}
	}
}

// TestIssuerWithoutScheme: the library lets a provider leave out the scheme of its issuer.
func TestIssuerWithoutScheme(t *testing.T) {
	l, now := &login{}, time.Unix(1_800_000_000, 0)
	c := claims{"iss": "https://accounts.google.com", "sub": "1", "aud": openidprovider.ClientID, "iat": json.Number("1800000000"), "nonce": l.nonce()}
	if err := c.check(l, openidprovider.ClientID, "https://accounts.google.com", now); err != nil {
		t.Error(err)
	}
	c["iss"] = "accounts.google.com"
	if err := c.check(l, openidprovider.ClientID, "https://accounts.google.com", now); !errors.Is(err, ErrRefused) {
		t.Errorf("without its scheme: %v", err)
	}
}

// TestAnswers is the policy: which answers of the provider, by which browser, count.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(f *fixture, query url.Values, cookie *authz.Secret)
		sentinel error
		text     string
	}{
		"another state": {func(_ *fixture, q url.Values, _ *authz.Secret) {
			q.Set("state", encoding.EncodeToString(make([]byte, 32)))
		}, ErrExpired, "state"},
		"no state":         {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Del("state") }, ErrExpired, "state"},
		"state twice":      {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Add("state", "other") }, ErrRefused, "state is there twice"},
		"code twice":       {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Add("code", "other") }, ErrRefused, "code is there twice"},
		"iss twice":        {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Add("iss", "https://evil.example") }, ErrRefused, "iss is there twice"},
		"another iss":      {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Set("iss", "https://evil.example") }, ErrRefused, "another issuer"},
		"an empty iss":     {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Set("iss", "") }, ErrRefused, "another issuer"},
		"no iss":           {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Del("iss") }, ErrRefused, "does not name its issuer"},
		"no code":          {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Del("code") }, ErrRefused, "no code"},
		"a long code":      {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Set("code", strings.Repeat("a", maxCode+1)) }, ErrRefused, "longer than"},
		"code and error":   {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Set("error", "access_denied") }, ErrRefused, "a code and an error"},
		"access_denied":    {failed("access_denied"), ErrNotLoggedIn, "access_denied"},
		"server_error":     {failed("server_error"), ErrUnavailable, "server_error"},
		"invalid_scope":    {failed("invalid_scope"), ErrRefused, "invalid_scope"},
		"an unknown error": {failed("<script>"), ErrRefused, "an error that is not known"},
		"an error, another": {func(f *fixture, q url.Values, s *authz.Secret) {
			failed("access_denied")(f, q, s)
			q.Set("iss", "https://evil.example")
		}, ErrRefused, "another issuer"},
		"another code": {func(_ *fixture, q url.Values, _ *authz.Secret) { q.Set("code", "guessed") }, ErrExpired, "does not accept the code"},
		"no cookie":    {func(_ *fixture, _ url.Values, s *authz.Secret) { *s = authz.Secret{} }, ErrExpired, "no cookie"},
		"a long cookie": {func(_ *fixture, _ url.Values, s *authz.Secret) {
			*s = authz.NewSecret(strings.Repeat("a", maxCookie+1))
		}, ErrExpired, "no cookie"},
		"junk as a cookie": {func(_ *fixture, _ url.Values, s *authz.Secret) { *s = authz.NewSecret("junk") }, ErrExpired, "not a cookie"},
		"a short secret":   {func(_ *fixture, _ url.Values, s *authz.Secret) { *s = changed(*s, `"r":"`, `"r":"","n":"`) }, ErrExpired, "not a cookie"},
		"another browser":  {func(f *fixture, _ url.Values, s *authz.Secret) { _, *s = f.begin(Options{}) }, ErrExpired, "state"},
		"a changed page":   {func(_ *fixture, _ url.Values, s *authz.Secret) { *s = changed(*s, "/keys", "/evil") }, ErrExpired, "state"},
		"a changed proof":  {func(_ *fixture, _ url.Values, s *authz.Secret) { *s = changed(*s, `"}`, `","p":true}`) }, ErrExpired, "state"},
		"almost too late":  {func(f *fixture, _ url.Values, _ *authz.Secret) { f.pass(CookieAge - time.Second) }, nil, ""},
		"too late":         {func(f *fixture, _ url.Values, _ *authz.Secret) { f.pass(CookieAge) }, ErrExpired, "too long"},
		"begun later":      {func(f *fixture, _ url.Values, _ *authz.Secret) { f.pass(-2 * time.Minute) }, ErrExpired, "too long"},
	} {
		f := newFixture(t)
		query, cookie := f.begin(Options{Next: "/keys"})
		c.change(f, query, &cookie)
		_, err := f.Finish(f.Context(), query, cookie)
		f.want(name, err, c.sentinel, c.text)
		if asked := f.idp.Requests["/token"].Load(); asked != 0 && err != nil && name != "another code" {
			t.Errorf("%s: the provider was asked for a token", name)
		}
	}
}

func failed(code string) func(*fixture, url.Values, *authz.Secret) {
	return func(_ *fixture, q url.Values, _ *authz.Secret) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", "<b>")
	}
}

// changed is a cookie whose text was changed.
func changed(cookie authz.Secret, from, to string) authz.Secret {
	text, err := encoding.DecodeString(cookie.Reveal())
	if err != nil || !strings.Contains(string(text), from) {
		panic("no such cookie")
	}
	return authz.NewSecret(encoding.EncodeToString([]byte(strings.Replace(string(text), from, to, 1))))
}

// TestNextIsBounded: the page that a login leads to does not make the cookie too large.
func TestNextIsBounded(t *testing.T) {
	f := newFixture(t)
	for length, want := range map[int]int{maxNext: maxNext, maxNext + 1: 0} {
		got, err := f.login(Options{Next: "/" + strings.Repeat("a", length-1), Session: "s_0123456789abcdef"})
		f.want("login", err, nil, "")
		if len(got.Next) != want || got.Session == "" {
			t.Errorf("%d bytes: %+v", length, got.Options)
		}
	}
}

// TestUsedOnce: a login is finished once, also by a provider that accepts a code twice,
// and also by another machine.
func TestUsedOnce(t *testing.T) {
	f := newFixture(t)
	query, cookie := f.begin(Options{})
	if _, err := f.another().Finish(t.Context(), query, cookie); err != nil {
		t.Fatal(err)
	}
	_, err := f.Finish(t.Context(), query, cookie)
	f.want("the code again", err, ErrExpired, "does not accept the code")

	again := func() url.Values {
		f.idp.Grants["again"] = openidprovider.Grant{Challenge: f.idp.Asked.Get("code_challenge"), Nonce: f.idp.Asked.Get("nonce"), Redirect: openidprovider.Callback}
		return url.Values{"code": {"again"}, "state": query["state"], "iss": {f.idp.URL}}
	}
	f.pass(CookieAge - time.Second)
	_, err = f.Finish(t.Context(), again(), cookie)
	f.want("another code for the login", err, ErrExpired, "it is used")

	// PKCE: the code of another login is not accepted with this cookie.
	stolen, _ := f.begin(Options{})
	own, cookie := f.begin(Options{})
	own["code"] = stolen["code"]
	_, err = f.Finish(t.Context(), own, cookie)
	f.want("the code of another login", err, ErrExpired, "does not accept the code")

	f.marks = errStore
	_, err = f.login(Options{})
	f.want("no marks", err, errStore, "")
}

var errStore = http.ErrServerClosed

// TestProof is the policy: who has to log in to the provider again, and when that has
// happened.
func TestProof(t *testing.T) {
	for name, c := range map[string]struct {
		options  Options
		age      any // of the login to the provider
		sentinel error
		text     string
	}{
		"a login":                      {Options{}, 3 * time.Hour, nil, ""},
		"a login, time not known":      {Options{}, nil, nil, ""},
		"a proof":                      {Options{Prove: true}, time.Duration(0), nil, ""},
		"a proof, clocks differ":       {Options{Prove: true}, time.Minute, nil, ""},
		"a proof that is old":          {Options{Prove: true}, time.Minute + time.Second, ErrRefused, "did not log in to the provider again"},
		"a proof, time not known":      {Options{Prove: true}, nil, ErrRefused, "no auth_time"},
		"of a session":                 {Options{Session: "s_1"}, time.Duration(0), nil, ""},
		"of a session, old":            {Options{Session: "s_1"}, time.Hour, ErrRefused, "did not log in to the provider again"},
		"of a session, time not known": {Options{Session: "s_1"}, nil, ErrRefused, "no auth_time"},
	} {
		f := newFixture(t)
		f.idp.Claims = claim("auth_time", nil)
		var want time.Time
		if age, known := c.age.(time.Duration); known {
			want = f.now().Add(-age)
			f.idp.Claims = claim("auth_time", want.Unix())
		}
		got, err := f.login(c.options)
		f.want(name, err, c.sentinel, c.text)
		if err == nil && (!got.Proved.Equal(want) || got.Options != c.options) {
			t.Errorf("%s: %+v", name, got)
		}
		if maxAge := f.idp.Asked["max_age"]; c.options == (Options{}) && maxAge != nil || c.options != (Options{}) && !reflect.DeepEqual(maxAge, []string{"0"}) {
			t.Errorf("%s: max_age %q", name, maxAge)
		}
	}
}
