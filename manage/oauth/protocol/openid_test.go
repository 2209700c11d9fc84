package protocol_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/manage/oauth/protocol"
)

// parts are the header and the claims of a JWT.
func (f *issuer) parts(token string) (header, claims map[string]any) {
	f.Helper()
	texts := strings.Split(token, ".")
	if len(texts) != 3 {
		f.Fatalf("not a JWT: %s", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(texts[i])
		f.fatal(err)
		f.fatal(json.Unmarshal(text, into))
	}
	return header, claims
}

// TestTokens: what is in the tokens of a code (RFC 9068 section 2, OpenID Connect Core section
// 2).
func TestTokens(t *testing.T) {
	f := newIssuer(t)
	before := time.Now().Unix()
	a := f.exchange(f.web, f.code(f.web, "scope", "openid read write", "nonce", "a nonce"))
	header, claims := f.parts(a.member("access_token"))
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == nil {
		t.Errorf("the header of an access token: %v", header)
	}
	for name, want := range map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": "api", "client_id": f.web.ID, "scope": "openid read write", "sub_kind": "user", "gen": 0.0, "client_gen": 0.0,
	} {
		if claims[name] != want {
			t.Errorf("%s of an access token: %v, want %v", name, claims[name], want)
		}
	}
	sid := claims["sid"]
	header, claims = f.parts(a.member("id_token"))
	if header["typ"] != "JWT" || header["alg"] != "ES256" || claims["iss"] != testIssuer || claims["sub"] != "alice" || claims["aud"] != f.web.ID || claims["nonce"] != "a nonce" ||
		claims["sid"] != sid || claims["scope"] != nil || claims["gen"] != nil {
		t.Errorf("an ID token: %v %v", header, claims)
	}
	if at, _ := claims["auth_time"].(float64); int64(at) < before || int64(at) > time.Now().Unix() {
		t.Errorf("auth_time: %v", claims["auth_time"])
	}
	if f.accepted(a.member("id_token")) {
		t.Error("the checks accept an ID token")
	}
	next := f.refresh(f.web, a.member("refresh_token"))
	if _, again := f.parts(next.member("id_token")); again["sub"] != "alice" || again["auth_time"] != claims["auth_time"] || again["nonce"] != nil {
		t.Errorf("an ID token of a refresh: %v", again)
	}
	if plain := f.exchange(f.web, f.code(f.web)); plain.member("id_token") != "" {
		t.Error("an ID token that was not asked for")
	}
	named := f.exchange(f.web, f.code(f.web, "resource", "api"))
	if _, claims := f.parts(named.member("access_token")); claims["aud"] != "api" {
		t.Errorf("aud of a resource: %v", claims["aud"])
	}
	_, claims = f.parts(f.token(f.machine, "grant_type", "client_credentials").member("access_token"))
	if claims["sub"] != f.machine.ID || claims["client_id"] != f.machine.ID || claims["sub_kind"] != "client" || claims["client_gen"] != nil {
		t.Errorf("a client's token: %v", claims)
	}
}

// TestNoScopes: a grant of no scope is one of none, and not of all that the user has.
func TestNoScopes(t *testing.T) {
	f := newIssuer(t)
	a := f.exchange(f.web, f.code(f.web, "scope", "openid"))
	if _, claims := f.parts(a.member("access_token")); claims["scope"] != "openid" {
		t.Errorf("%v", claims)
	}
	f.wantError("a refresh for a scope", f.refresh(f.web, a.member("refresh_token"), "scope", "read"), 400, "invalid_scope")
	bare := f.create(machineInput("Bare", nil))
	a = f.token(bare, "grant_type", "client_credentials")
	if _, claims := f.parts(a.member("access_token")); claims["scope"] != "" {
		t.Errorf("of a client without scopes: %v", claims)
	}
}

// TestUserInfo: a client that asked for openid learns whose token it has.
func TestUserInfo(t *testing.T) {
	f := newIssuer(t)
	ask := func(method, authorization string) answer {
		t.Helper()
		hr := httptest.NewRequestWithContext(t.Context(), method, protocol.UserInfoPath, http.NoBody)
		if authorization != "" {
			hr.Header.Set("Authorization", authorization)
		}
		return f.serve(hr)
	}
	access, _ := f.tokensOf("openid", f.exchange(f.web, f.code(f.web, "scope", "openid")))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if a := ask(method, "Bearer "+access); a.StatusCode != 200 || a.member("sub") != "alice" || a.member("preferred_username") != "alice" {
			t.Errorf("%s: %d %s", method, a.StatusCode, a.text)
		}
	}
	plain, _ := f.tokensOf("no openid", f.exchange(f.web, f.code(f.web)))
	own, _ := f.tokensOf("a client's", f.token(f.machine, "grant_type", "client_credentials"))
	for what, c := range map[string]struct {
		authorization string
		status        int
		challenge     string
	}{
		"no openid":   {"Bearer " + plain, 403, `error="insufficient_scope"`},
		"a client's":  {"Bearer " + own, 403, `error="insufficient_scope"`},
		"an ID token": {"Bearer " + f.idToken("alice"), 401, `error="invalid_token"`},
		"junk":        {"Bearer junk", 401, `error="invalid_token"`},
		"nothing":     {"", 401, "Bearer"},
		"Basic":       {"Basic " + access, 401, "Bearer"},
	} {
		if a := ask(http.MethodGet, c.authorization); a.StatusCode != c.status || !strings.Contains(a.Header.Get("WWW-Authenticate"), c.challenge) || a.member("sub") != "" {
			t.Errorf("%s: %d %s %s", what, a.StatusCode, a.Header.Get("WWW-Authenticate"), a.text)
		}
	}
	f.post(protocol.RevokePath, f.web.form("token", access))
	if a := ask(http.MethodGet, "Bearer "+access); a.StatusCode != 401 {
		t.Errorf("revoked: %d", a.StatusCode)
	}
}

// TestIntrospection: a token is active as long as the checks accept it.
func TestIntrospection(t *testing.T) {
	f := newIssuer(t)
	a := f.exchange(f.web, f.code(f.web, "scope", "openid read"))
	access, refresh := f.tokensOf("a code", a)
	for what, c := range map[string]struct {
		by     client
		token  string
		active bool
	}{
		"an access token": {f.web, access, true}, "by another resource server": {f.machine, access, true}, "a refresh token": {f.web, refresh, true},
		"a refresh token, by another client": {f.machine, refresh, false}, "an ID token": {f.web, a.member("id_token"), false}, "junk": {f.web, "junk", false},
		"another signature": {f.web, access[:len(access)-4] + "AAAA", false}, "no signature": {f.web, access[:strings.LastIndex(access, ".")+1], false},
	} {
		got := f.post(protocol.IntrospectPath, c.by.form("token", c.token))
		if got.StatusCode != 200 || got.members["active"] != c.active || !c.active && len(got.members) > 1 {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.text)
		}
		if c.active && (got.member("sub") != "alice" || got.member("client_id") != f.web.ID || got.member("iss") != testIssuer) {
			t.Errorf("%s: %s", what, got.text)
		}
	}
	f.wantError("no token", f.post(protocol.IntrospectPath, f.web.form()), 400, "invalid_request")
	if got := f.post(protocol.RevokePath, f.other.form("token", access)); got.StatusCode != 200 || !f.accepted(access) {
		t.Errorf("another client revokes the token: %d %s", got.StatusCode, got.text)
	}
	if got := f.post(protocol.RevokePath, f.web.form("token", access)); got.StatusCode != 200 || f.accepted(access) {
		t.Errorf("its client revokes the token: %d %s", got.StatusCode, got.text)
	}
	f.wantError("the refresh token of a revoked one", f.refresh(f.web, refresh), 400, "invalid_grant")
	f.wantError("no token to revoke", f.post(protocol.RevokePath, f.web.form()), 400, "invalid_request")
}

// TestMetadata: the documents say what there is, and what is not.
func TestMetadata(t *testing.T) {
	f := newIssuer(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		a := f.serve(httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		for name, want := range map[string]string{
			"issuer": testIssuer, "authorization_endpoint": testIssuer + "/oauth/authorize", "token_endpoint": testIssuer + "/oauth/token", "jwks_uri": testIssuer + "/.well-known/jwks.json",
			"revocation_endpoint": testIssuer + "/oauth/revoke", "introspection_endpoint": testIssuer + "/oauth/introspect", "userinfo_endpoint": testIssuer + "/oauth/userinfo",
			"registration_endpoint": "", "end_session_endpoint": "",
		} {
			if a.member(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, a.member(name), want)
			}
		}
		for name, want := range map[string][]string{
			"response_types_supported": {"code"}, "response_modes_supported": {"query"}, "grant_types_supported": {"authorization_code", "refresh_token", "client_credentials"},
			"code_challenge_methods_supported": {"S256"}, "token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "none"}, "subject_types_supported": {"public"},
			"introspection_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"},
		} {
			var got []string
			list, _ := a.members[name].([]any)
			for _, v := range list {
				got = append(got, v.(string))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if a.members["authorization_response_iss_parameter_supported"] != true || a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("%s: %s %s", path, a.Header, a.text)
		}
	}
}

// TestOrigins: scripts of public clients may ask for tokens, and no others.
func TestOrigins(t *testing.T) {
	f := newIssuer(t)
	spa := f.create(publicInput("https://app.example.com/cb"))
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "http://[::1]:8080": true, "https://shop.example.com": false, "https://evil.example": false, "null": false, "http://app.example.com": false,
		"https://app.example.com.evil.example": false, "https://app.example.com:443": false,
	} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			hr := httptest.NewRequestWithContext(t.Context(), method, protocol.TokenPath, strings.NewReader(url.Values{"client_id": {spa.ID}, "grant_type": {"refresh_token"}, "refresh_token": {"x"}}.Encode()))
			hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			hr.Header.Set("Origin", origin)
			hr.Header.Set("Access-Control-Request-Method", "POST")
			a := f.serve(hr)
			if got := a.Header.Get("Access-Control-Allow-Origin"); (got == origin) != allowed || got != "" && !allowed || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: %q", method, origin, got)
			}
			if !slices.Contains(a.Header.Values("Vary"), "Origin") || method == http.MethodOptions && a.StatusCode != 204 {
				t.Errorf("%s %s: %d %s", method, origin, a.StatusCode, a.Header)
			}
		}
	}
}

// TestStoreDown: while nothing can be decided, no client learns that its tokens are not valid.
func TestStoreDown(t *testing.T) {
	f := newIssuer(t)
	code := f.code(f.web)
	_, refresh := f.tokensOf("before", f.exchange(f.web, f.code(f.web)))
	b := f.browser("alice")
	b.allow(f.web)
	f.fatal(f.db.Close())
	for what, a := range map[string]answer{
		"a refresh": f.refresh(f.web, refresh), "a code": f.exchange(f.web, code), "introspection": f.post(protocol.IntrospectPath, f.web.form("token", refresh)),
		"revocation": f.post(protocol.RevokePath, f.web.form("token", refresh)),
	} {
		if a.StatusCode != 503 || a.code() != "temporarily_unavailable" || a.Header.Get("Retry-After") == "" || strings.Contains(a.text, "sql") {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.text)
		}
	}
	a := b.get(request(f.web))
	f.isPage("a page", a, 503, "cannot be answered at the moment")
	if a.Header.Get("Retry-After") == "" || strings.Contains(a.text, "sql") {
		t.Errorf("%s %s", a.Header, a.text)
	}
}
