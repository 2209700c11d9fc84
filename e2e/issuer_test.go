package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// issuerProxies have the issuer's endpoints beside the API.
var issuerProxies = []string{"envoy-issuer", "nginx-issuer"}

const (
	issuerConfig = `
users: {file: users.jsonl}
clients: {file: clients.jsonl}
projects: {file: projects.jsonl}
revocations: {file: revocations.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
issuer: {url: "https://api.example.com", audience: api, cookie: token}
credentials: {cookie: token}
routes: [{path: /items, scopes: ["items:read"]}]
errors: generic
`
	alicesPassword = "correct horse battery"
	// clientAddress is that of the client: another than that of the proxy.
	clientAddress = "127.0.0.2"
)

// issuing is a system with an issuer, and a user alice.
type issuing struct{ *system }

// startIssuing starts one with what the options have in addition.
func startIssuing(t *testing.T, o options) issuing {
	t.Helper()
	o.config, o.issuer = issuerConfig, true
	if o.proxy == "" {
		o.proxy = issuerProxies[0]
	}
	s := issuing{newSystem(t, o)}
	s.key("--name", "first")
	s.user("alice", alicesPassword, "--scope", "items:read")
	s.start()
	return s
}

func (s issuing) user(name, password string, args ...string) {
	s.t.Helper()
	if out := s.run(password, append([]string{"user", "set", name, "--file", "users.jsonl"}, args...)...); strings.Contains(string(out), "keyward:") {
		s.t.Fatalf("user set: %s", out)
	}
}

// post sends JSON from a machine that is not the proxy's.
func (s issuing) post(target, body string, headers ...string) answer {
	s.t.Helper()
	lines := append([]string{
		"POST " + target + " HTTP/1.1", "Host: api.example.com", "Connection: close", "Content-Type: application/json", fmt.Sprint("Content-Length: ", len(body)),
	}, headers...)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientAddress)}}
	conn, err := dialer.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := exchange(conn, "POST", strings.Join(lines, "\r\n")+"\r\n\r\n"+body)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// issued are the tokens of a login or a refresh.
type issued struct {
	Token   string `json:"token"`
	Refresh string `json:"refresh_token"`
	Expires string `json:"expires_at"`
}

func (s issuing) tokens(a answer) (got issued) {
	s.t.Helper()
	if json.Unmarshal([]byte(a.body), &got) != nil || a.status != 200 || got.Token == "" || got.Refresh == "" || got.Expires == "" {
		s.t.Fatalf("no tokens: %d %s", a.status, a.body)
	}
	return got
}

func (s issuing) login() issued {
	s.t.Helper()
	return s.tokens(s.post("/v1/auth/login", `{"username": "alice", "password": "`+alicesPassword+`"}`))
}

// wants waits until the API's answer has the status: the checks follow a file.
func (s issuing) wants(what string, status int, lines ...string) answer {
	s.t.Helper()
	return s.until(what, func() (answer, bool) { a := s.get("/items", lines...); return a, a.status == status })
}

// throughIssuers runs a test with each proxy that has the issuer's endpoints.
func throughIssuers(t *testing.T, test func(t *testing.T, s issuing)) {
	for _, proxy := range issuerProxies {
		t.Run(proxy, func(t *testing.T) { test(t, startIssuing(t, options{proxy: proxy})) })
	}
}

// TestIssuerThroughProxies: a user logs in, calls the API, refreshes and logs out, by the shipped
// files, and the address that a client claims does not count.
func TestIssuerThroughProxies(t *testing.T) {
	throughIssuers(t, func(t *testing.T, s issuing) {
		first := s.login()
		got := s.wants("accepted", 200, bearer(first.Token)).received(t)
		if got.Headers["x-auth-subject"][0] != "alice" || got.Headers["x-auth-method"][0] != "jwt" || findText(got, first.Token) != "" {
			t.Errorf("the API got %v", got.Headers)
		}
		second := s.tokens(s.post("/v1/auth/refresh", `{"refresh_token": "`+first.Refresh+`"}`))
		for _, token := range []string{first.Token, second.Token} { // a refresh ends no access token
			s.wants("accepted", 200, bearer(token))
		}
		if a := s.get("/v1/auth/verify", bearer(second.Token)); a.status != 200 || !strings.Contains(a.body, `"user_id":"alice","scopes":["items:read"]`) {
			t.Errorf("verify: %d %s", a.status, a.body)
		}
		if a := s.post("/v1/auth/logout", `{"refresh_token": "`+second.Refresh+`"}`); a.status != 204 {
			t.Errorf("logout: %d %s", a.status, a.body)
		}
		for _, token := range []string{first.Token, second.Token} { // in force before the answer
			if a := s.get("/items", bearer(token)); a.status != 401 || !strings.Contains(a.body, `"error":"invalid_token"`) {
				t.Errorf("after the logout: %d %s", a.status, a.body)
			}
		}
		if a := s.post("/v1/auth/refresh", `{"refresh_token": "`+second.Refresh+`"}`); a.status != 401 {
			t.Errorf("a refresh after the logout: %d %s", a.status, a.body)
		}
		wrong := s.post("/v1/auth/login", `{"username": "alice", "password": "wrong"}`, "X-Forwarded-For: 203.0.113.9")
		if wrong.status != 401 || !strings.Contains(wrong.body, `"error":"invalid_credentials","message":"Username or password incorrect","code":401`) {
			t.Errorf("a wrong password: %d %s", wrong.status, wrong.body)
		}
		if log := fullLog(s.Keyward); !strings.Contains(log, `"`+clientAddress+`"`) || strings.Contains(log, "203.0.113.9") {
			t.Errorf("the log has another address than the client's: %s", log)
		}
		if a := s.get("/.well-known/jwks.json"); a.status != 200 || !strings.Contains(a.body, `"kty"`) {
			t.Errorf("the keys: %d %s", a.status, a.body)
		}
	})
}

// TestIssuerCookiesThroughProxies: a browser's tokens are in cookies, the API is called by the
// first of them, and does not see it.
func TestIssuerCookiesThroughProxies(t *testing.T) {
	throughIssuers(t, func(t *testing.T, s issuing) {
		in := s.post("/v1/auth/login", `{"username": "alice", "password": "`+alicesPassword+`", "cookie": true}`)
		access, refresh := setCookies(t, in)
		got := s.wants("accepted", 200, "Cookie: a=b; "+access).received(t)
		if cookies := got.Headers["cookie"]; len(cookies) != 1 || cookies[0] != "a=b" {
			t.Errorf("the API got the cookies %q", cookies)
		}
		if a := s.post("/v1/auth/refresh", `{}`, "Cookie: "+refresh, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"); a.status != 403 {
			t.Errorf("a refresh by a page of another site: %d %s", a.status, a.body)
		}
		access, refresh = setCookies(t, s.post("/v1/auth/refresh", `{}`, "Cookie: "+refresh, "Sec-Fetch-Site: same-origin"))
		s.wants("accepted", 200, "Cookie: "+access)
		if a := s.post("/v1/auth/logout", `{}`, "Cookie: "+refresh, "Sec-Fetch-Site: same-origin"); a.status != 204 || len(a.header.Values("Set-Cookie")) != 2 {
			t.Errorf("logout: %d %v", a.status, a.header)
		}
		if a := s.get("/items", "Cookie: "+access); a.status != 401 {
			t.Errorf("after the logout: %d %s", a.status, a.body)
		}
	})
}

// setCookies returns the two cookies that an answer sets, as a client sends them.
func setCookies(t *testing.T, a answer) (access, refresh string) {
	t.Helper()
	set := a.header.Values("Set-Cookie")
	if a.status != 200 || len(set) != 2 || strings.Contains(a.body, "token") {
		t.Fatalf("%d %q %s", a.status, set, a.body)
	}
	for i, name := range []string{"token=", "token_refresh="} {
		if !strings.HasPrefix(set[i], name) || !strings.Contains(set[i], "; HttpOnly; Secure; SameSite=Strict") {
			t.Errorf("cookie %d is not a safe %s", i, name)
		}
	}
	access, _, _ = strings.Cut(set[0], ";")
	refresh, _, _ = strings.Cut(set[1], ";")
	return access, refresh
}

// TestIssuerPathsReachNoUpstream: no spelling of a path makes a proxy take a request for one of
// the issuer's, which it does not check, and pass it to the API.
func TestIssuerPathsReachNoUpstream(t *testing.T) {
	throughIssuers(t, func(t *testing.T, s issuing) {
		for _, target := range []string{
			"/v1/auth/../../items", "/v1/auth/..%2f..%2fitems", "/v1/auth/%2e%2e/%2e%2e/items", "/v1/auth/..;/..;/items", "/v1/auth/;/items", "/v1/auth/..\\..\\items",
			"/v1/auth//items", "/v1/auth//../../items", "//v1/auth/../../items", "/v1/auth/login/../../../items", "/v1/auth/login%2f..%2f..%2f..%2fitems",
			"/oauth/../items", "/oauth/..%2fitems", "/oauth/%2e%2e%2fitems", "/oauth//../items", "/oauth;/items", "/oauth/;/../items", "/oauth/..%252fitems", "/oauth%2f..%2fitems",
			"/.well-known/jwks.json/../../items", "/.well-known/jwks.json;/items", "/.well-known/jwks.json/items", "/.well-known/jwks%2ejson", "/.well-known/../items",
			"/items/../v1/auth/login", "/items/..%2fv1/auth/login", "/items/%2e%2e/oauth/token", "/items?/../v1/auth/login", "/items#/v1/auth/login",
			"/v1/auth", "/oauth", "/V1/AUTH/login", "/v1/authx", "/v1/auth/other", "/oauth/other", "http://api.example.com/v1/auth/../../items", "/items",
		} {
			for _, lines := range [][]string{nil, {"X-Original-URI: /v1/auth/login", "X-Rewrite-URL: /v1/auth/login", "X-Envoy-Original-Path: /v1/auth/login"}} {
				for _, method := range []string{"GET", "POST"} {
					if a := s.request(method, target, append([]string{"Content-Length: 0"}, lines...)...); s.arrived() > 0 {
						t.Fatalf("%s %s reached the API: %d %s", method, target, a.status, a.body)
					}
				}
			}
		}
	})
}

// TestIssuerFilesCheckEverythingElse: the files with the issuer's endpoints are the main ones with
// lines added, none of which leads to the API.
func TestIssuerFilesCheckEverythingElse(t *testing.T) {
	for main, with := range map[string]string{"envoy.yaml": "deploy/envoy-issuer/envoy.yaml", "deploy/nginx/nginx.conf": "deploy/nginx/nginx-issuer.conf"} {
		rest := fileLines(t, main)
		for _, line := range fileLines(t, with) {
			if len(rest) > 0 && line == rest[0] {
				rest = rest[1:]
				continue
			}
			if strings.Contains(line, "cluster: upstream") || strings.Contains(line, "http://api") {
				t.Errorf("%s: an added line leads to the API: %s", with, line)
			}
		}
		if len(rest) > 0 {
			t.Errorf("%s lacks a line of %s, in its place: %s", with, main, rest[0])
		}
	}
}

// fileLines returns the lines of a file of the repository without its head.
func fileLines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(programs.root, name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for strings.HasPrefix(lines[0], "#") {
		lines = lines[1:]
	}
	return lines
}

// TestIssuedTokensAreRefused: a token of a login says what its user may do at the API and nothing
// more, and only as it was issued.
func TestIssuedTokensAreRefused(t *testing.T) {
	s := startIssuing(t, options{})
	token := s.login().Token
	s.wants("accepted", 200, bearer(token))
	other := s.signer()
	for what, bad := range map[string]string{
		"alg none":              unsigned(t, token),
		"another aud":           other.sign(t, token, map[string]any{"aud": "other"}),
		"expired":               other.sign(t, token, map[string]any{"exp": 1700000000, "iat": 1699999000}),
		"an unknown user":       other.sign(t, token, map[string]any{"sub": "mallory"}),
		"another generation":    other.sign(t, token, map[string]any{"gen": 99}),
		"without its signature": token[:strings.LastIndexByte(token, '.')+1],
		"a refresh token":       s.login().Refresh,
	} {
		if a := s.get("/items", bearer(bad)); a.status != 401 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	// The signer of these tokens is the issuer's, so that nothing else refuses them.
	s.wants("accepted", 200, bearer(other.sign(t, token, nil)))
	if a := s.manage("GET", "/api/v1/keys", token); a.StatusCode != 401 {
		t.Errorf("the management API: %s", a.Status)
	}
	s.user("alice", "", "--disabled")
	s.wants("of a disabled user", 401, bearer(token))
	s.user("alice", "", "--enabled")
	if a := s.get("/items", bearer(token)); a.status != 401 {
		t.Errorf("of a user who was disabled: %d %s", a.status, a.body)
	}
}

// manage asks the management API.
func (s issuing) manage(method, path, token string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+stack.Address(s.Ports().Console)+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = a.Body.Close()
	return a
}
