package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"keyward/config"
	"keyward/engine/issuer"
	"keyward/internal/eventually"
	"keyward/internal/records"
	"keyward/manage/signingkeys"
	"keyward/store"
)

const loginPassword = "correct horse battery"

// issuing is a server with an issuer, and a user alice.
type issuing struct {
	*console
	issuer *http.Client
}

func startIssuer(t *testing.T, more string) *issuing {
	t.Helper()
	l := startIssuerOn(t, newBackend(t, socketDir(t)), more)
	l.must("POST", "/users", `{"name": "alice", "scopes": ["items:read"], "password": "`+loginPassword+`"}`)
	return l
}

// startIssuerOn is startIssuer with the records in the backend, without alice.
func startIssuerOn(t *testing.T, b *backend, more string) *issuing {
	t.Helper()
	text := strings.Replace(consoleConfig, `admin: "unix`, `issuer: "unix://DIR/issuer.sock", admin: "unix`, 1) + `
projects: {file: DIR/projects.jsonl}
clients: {file: DIR/clients.jsonl}
issuer: {url: "http://127.0.0.1:9195", keys_dir: DIR/signing-keys, cookie: token}
` + more
	l := &issuing{console: startConsoleIn(t, b, text)}
	l.issuer = &http.Client{Transport: &http.Transport{DialContext: dialUnix(l.path("issuer.sock"))}}
	return l
}

// post sends JSON to the issuer.
func (l *issuing) post(path, body string, header ...string) answer {
	l.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:9195"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := l.issuer.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(bytes.TrimSpace(text))}
}

// tokens are what a login gives.
type tokens struct {
	Token   string `json:"token"`
	Refresh string `json:"refresh_token"`
	Expires string `json:"expires_at"`
}

func (l *issuing) tokensOf(a answer) (t tokens) {
	l.t.Helper()
	if a.status != 200 || json.Unmarshal([]byte(a.body), &t) != nil || t.Token == "" || t.Refresh == "" || t.Expires == "" {
		l.t.Fatalf("%d %s", a.status, a.body)
	}
	return t
}

func (l *issuing) tokensOfAlice() tokens {
	l.t.Helper()
	return l.tokensOf(l.post("/v1/auth/login", `{"username": "alice", "password": "`+loginPassword+`"}`))
}

// wants waits until the checks answer the token with the status.
func (l *issuing) wants(what, token string, status int) {
	l.t.Helper()
	eventually.Succeeds(l.t, func() error {
		if got, _ := l.ask("/items", token); got != status {
			return fmt.Errorf("%s: %d, want %d", what, got, status)
		}
		return nil
	})
}

// TestLogins: a token of a login is accepted by the checks, its refresh token gives the next
// one, and a logout ends both at once.
func TestLogins(t *testing.T) {
	l := startIssuer(t, "routes: [{path: /items, scopes: [\"items:read\"]}]\n")
	first := l.tokensOfAlice()
	l.wants("a login", first.Token, 200)
	second := l.tokensOf(l.post("/v1/auth/refresh", `{"refresh_token": "`+first.Refresh+`"}`))
	l.wants("a refresh", second.Token, 200)
	if got := l.post("/v1/auth/logout", `{"refresh_token": "`+second.Refresh+`"}`); got.status != 204 {
		t.Errorf("logout: %d %s", got.status, got.body)
	}
	for _, token := range []string{first.Token, second.Token} {
		if got, _ := l.ask("/items", token); got != 401 { // in force before the answer
			t.Errorf("after the logout: %d", got)
		}
	}
	if got := l.post("/v1/auth/refresh", `{"refresh_token": "`+second.Refresh+`"}`); got.status != 401 {
		t.Errorf("a refresh after the logout: %d %s", got.status, got.body)
	}
	third := l.tokensOfAlice()
	l.wants("another login", third.Token, 200)
	l.must("PATCH", "/users/alice", `{"disabled": true}`)
	if got, _ := l.ask("/items", third.Token); got != 401 {
		t.Errorf("disabled: %d", got)
	}
	l.must("PATCH", "/users/alice", `{"disabled": false}`)
	if got, _ := l.ask("/items", third.Token); got != 401 {
		t.Errorf("enabled again, by a token of before: %d", got)
	}
}

// TestRevokedSigningKey: after its signing key was revoked by another process, a token that the
// checks had accepted is refused, and its refresh token gives one that is accepted.
func TestRevokedSigningKey(t *testing.T) {
	aboutFiles(t) // those of a database are read once a minute
	l := startIssuer(t, "")
	first := l.tokensOfAlice()
	l.wants("a login", first.Token, 200)
	settings := config.Default().Issuer
	settings.KeysDir = l.path("signing-keys")
	cfg, err := issuer.SigningKeys(&settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signingkeys.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	l.wants("the key was revoked", first.Token, 401)
	l.wants("a refresh", l.tokensOf(l.post("/v1/auth/refresh", `{"refresh_token": "`+first.Refresh+`"}`)).Token, 200)
}

// TestLoginRefused: what is refused, in the style of the API, and with which status.
func TestLoginRefused(t *testing.T) {
	l := startIssuer(t, "errors: generic\n")
	l.must("POST", "/users", `{"name": "new", "password": "`+loginPassword+`", "must_change": true}`)
	for what, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		text       string
	}{
		"a wrong password":      {"/login", `{"username": "alice", "password": "wrong"}`, nil, 401, `"error":"invalid_credentials","message":"Username or password incorrect"`},
		"an unknown user":       {"/login", `{"username": "bob", "password": "wrong"}`, nil, 401, `"error":"invalid_credentials"`},
		"no password":           {"/login", `{"username": "alice"}`, nil, 400, "username and password are needed"},
		"a number":              {"/login", `{"username": "alice", "password": 5}`, nil, 400, "password is not a text"},
		"twice":                 {"/login", `{"username": "alice", "username": "bob", "password": "x"}`, nil, 400, "twice"},
		"no JSON":               {"/login", `username=alice`, nil, 400, "not a JSON object"},
		"a form":                {"/login", `{"username": "alice", "password": "x"}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		"a must that changes":   {"/login", `{"username": "new", "password": "` + loginPassword + `"}`, nil, 403, "must be changed first"},
		"junk to refresh":       {"/refresh", `{"refresh_token": "junk"}`, nil, 401, `"error":"invalid_token"`},
		"nothing to refresh":    {"/refresh", `{}`, nil, 400, "refresh_token is needed"},
		"a long body":           {"/login", `{"username": "` + strings.Repeat("a", 70_000) + `"}`, nil, 413, "too large"},
		"a cookie of elsewhere": {"/refresh", `{}`, []string{"Cookie", "token_refresh=kwt_x", "Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
	} {
		got := l.post("/v1/auth"+c.path, c.body, c.header...)
		if got.status != c.status || !strings.Contains(got.body, c.text) || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if log := l.log.String(); strings.Contains(log, loginPassword) {
		t.Error("the log has a password")
	}
}

// TestLoginInCookies: a browser gets its tokens in cookies that scripts cannot read.
func TestLoginInCookies(t *testing.T) {
	l := startIssuer(t, "")
	got := l.post("/v1/auth/login", `{"username": "alice", "password": "`+loginPassword+`", "cookie": true}`)
	cookies := got.header["Set-Cookie"]
	if got.status != 200 || len(cookies) != 2 || strings.Contains(got.body, "token") || !strings.Contains(got.body, "expires_at") {
		t.Fatalf("%d %q %s", got.status, cookies, got.body)
	}
	for i, want := range []string{"token=", "token_refresh="} {
		for _, part := range []string{want, "HttpOnly", "Secure", "SameSite=Strict", map[int]string{0: "Path=/;", 1: "Path=/v1/auth;"}[i]} {
			if !strings.Contains(cookies[i], part) {
				t.Errorf("%s lacks %s", cookies[i], part)
			}
		}
	}
	refresh, _, _ := strings.Cut(cookies[1], ";")
	next := l.post("/v1/auth/refresh", `{}`, "Cookie", refresh, "Sec-Fetch-Site", "same-origin")
	if next.status != 200 || len(next.header["Set-Cookie"]) != 2 {
		t.Errorf("refresh: %d %q %s", next.status, next.header["Set-Cookie"], next.body)
	}
	out := l.post("/v1/auth/logout", `{}`, "Cookie", refresh, "Sec-Fetch-Site", "same-origin")
	if out.status != 204 || len(out.header["Set-Cookie"]) != 2 || !strings.Contains(out.header["Set-Cookie"][0], "Max-Age=0") {
		t.Errorf("logout: %d %q", out.status, out.header["Set-Cookie"])
	}
}

// TestIssuerPaths: the public keys are there for everyone, and a caller sees what its own token
// grants.
func TestIssuerPaths(t *testing.T) {
	l := startIssuer(t, "")
	get := func(path, authorization string) answer {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:9195"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		response, err := l.issuer.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: response.StatusCode, header: response.Header, body: string(text)}
	}
	if got := get("/.well-known/jwks.json", ""); got.status != 200 || !strings.Contains(got.body, `"kty"`) || strings.Contains(got.body, `"d"`) {
		t.Errorf("the keys: %d %s", got.status, got.body)
	}
	token := l.tokensOfAlice().Token
	eventually.Succeeds(t, func() error {
		if got := get("/v1/auth/verify", "Bearer "+token); got.status != 200 || !strings.Contains(got.body, `"user_id":"alice","scopes":["items:read"]`) {
			return fmt.Errorf("%d %s", got.status, got.body)
		}
		return nil
	})
	if got := get("/authz/forward", ""); got.status != 404 {
		t.Errorf("a check: %d", got.status)
	}
	if _, err := l.users().Set(t.Context(), "alice", store.AnyVersion, records.UserPatch{}); err != nil {
		t.Fatal(err)
	}
}
