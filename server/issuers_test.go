package server_test

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/otlpreceiver"
	"keyward/internal/rawcheck"
	"keyward/store/postgres/database"
)

// issuerBackend is a database of several issuers, with files of one of them.
func issuerBackend(t *testing.T, cfg database.Config) *backend {
	t.Helper()
	b := &backend{dir: socketDir(t)}
	b.useDatabase(t, cfg)
	if err := os.WriteFile(filepath.Join(b.dir, signingSecret), bytes.Repeat([]byte("s"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestIssuerSecrets: no password, secret, code or token is in a log, a file, a metric, a trace or
// a place to which a browser is sent, but the code on its way to the client.
func TestIssuerSecrets(t *testing.T) {
	aboutFiles(t)
	receiver := otlpreceiver.Start(t)
	l := startIssuer(t, fmt.Sprintf("tracing: {endpoint: \"http://%s\"}\n", receiver.Address))
	c := l.oauthClient(`{"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["items:read"], "grants": ["authorization_code", "refresh_token", "client_credentials"]}`)
	secrets := map[string]string{"the password": loginPassword, "the client's secret": c.secret, "the code_verifier": verifierText, "a wrong password": "wrong horse battery", "a wrong secret": "kwcs_thisIsNoSecret"}
	v := &visitor{l, map[string]string{}}
	code := v.allow(c, "scope", "openid items:read").Get("code")
	secrets["the code"], secrets["the cookie"] = code, v.cookies["__Host-keyward-issuer"]
	form := url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.redirect}, "code_verifier": {verifierText}}
	keep := func(what string, form url.Values) {
		t.Helper()
		a, tokens := l.form("/oauth/token", form)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", what, a.status, a.body)
		}
		for _, name := range []string{"access_token", "refresh_token", "id_token"} {
			if token, is := tokens[name].(string); is {
				secrets[what+", "+name] = token
			}
		}
	}
	keep("a code", form)
	keep("a refresh", url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"refresh_token"}, "refresh_token": {secrets["a code, refresh_token"]}})
	keep("a client", url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"client_credentials"}})
	login := l.tokensOfAlice()
	secrets["a login's token"], secrets["a login's refresh token"] = login.Token, login.Refresh
	l.wants("a login", login.Token, 200)

	// What is refused, and ends: the code again, junk, wrong secrets.
	l.form("/oauth/token", form)
	l.form("/oauth/token", url.Values{"client_id": {c.id}, "client_secret": {secrets["a wrong secret"]}, "grant_type": {"client_credentials"}})
	l.form("/oauth/introspect", url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "token": {login.Token}})
	l.form("/oauth/revoke", url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "token": {secrets["a client, access_token"]}})
	l.post("/v1/auth/login", `{"username": "alice", "password": "`+secrets["a wrong password"]+`"}`)
	l.post("/v1/auth/logout", `{"refresh_token": "`+login.Refresh+`"}`)
	v.do("POST", "/oauth/login", url.Values{"request": {"client_id=" + c.id}, "username": {"alice"}, "password": {secrets["a wrong password"]}})

	for _, token := range []string{login.Token, secrets["a code, access_token"], secrets["a refresh, id_token"]} {
		l.traced(envoys, rawcheck.Request{Method: "GET", Target: "/items", Headers: [][2]string{{"authorization", "Bearer " + token}}})
	}
	receiver.Wait(t, "keyward", 3)
	texts := map[string]string{"the log": l.log.String(), "the traces": string(receiver.Bytes(t))}
	_, texts["the metrics"] = l.get("/metrics")
	err := filepath.WalkDir(l.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range texts {
		for what, secret := range secrets {
			if secret == "" || strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	if len(texts) < 9 {
		t.Errorf("only %d places were looked at", len(texts))
	}
}

// TestTwoIssuers: what one of two Keywards on a database has issued, the other one accepts,
// refreshes, exchanges and ends.
func TestTwoIssuers(t *testing.T) {
	aboutFiles(t) // it has a database of its own
	cfg := postgresServer.Database(t)
	first := startIssuerOn(t, issuerBackend(t, cfg), "")
	first.must("POST", "/users", `{"name": "alice", "scopes": ["items:read"], "password": "`+loginPassword+`"}`)
	second := startIssuerOn(t, issuerBackend(t, cfg), "")

	login := first.tokensOfAlice()
	second.wants("a login at the other one", login.Token, 200)
	refreshed := second.tokensOf(second.post("/v1/auth/refresh", `{"refresh_token": "`+login.Refresh+`"}`))
	first.wants("a refresh at the other one", refreshed.Token, 200)
	if got := second.post("/v1/auth/logout", `{"refresh_token": "`+refreshed.Refresh+`"}`); got.status != 204 {
		t.Errorf("logout: %d", got.status)
	}
	for what, token := range map[string]string{"the login": login.Token, "the refresh": refreshed.Token} {
		first.wants(what+" after the logout at the other one", token, 401)
	}

	c := first.oauthClient(`{"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["items:read"], "grants": ["authorization_code", "refresh_token"]}`)
	code := (&visitor{first, map[string]string{}}).allow(c, "scope", "items:read").Get("code")
	form := url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.redirect}, "code_verifier": {verifierText}}
	a, tokens := second.form("/oauth/token", form)
	if a.status != 200 {
		t.Fatalf("a code of the other one: %d %s", a.status, a.body)
	}
	for _, l := range []*issuing{first, second} {
		l.wants("a token of a code", tokens["access_token"].(string), 200)
	}
	if a, _ := first.form("/oauth/token", form); a.status != 400 {
		t.Errorf("the code again: %d %s", a.status, a.body)
	}
	for _, l := range []*issuing{first, second} {
		l.wants("after the code was used again", tokens["access_token"].(string), 401)
	}
}
