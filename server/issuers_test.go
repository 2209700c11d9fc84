package server_test

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"testing"

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
