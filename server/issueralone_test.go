package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/oauth"
)

// TestIssuerWithoutConsole: the pages, the limits and the tokens of the issuer need no console.
func TestIssuerWithoutConsole(t *testing.T) {
	text := strings.Replace(consoleConfig, `admin: "unix`, `issuer: "unix://DIR/issuer.sock", admin: "unix`, 1) + `
clients: {file: DIR/clients.jsonl}
issuer: {url: "http://127.0.0.1:9195", keys_dir: DIR/signing-keys}
routes: [{path: /items, scopes: ["items:read"]}]
`
	app := oauthClient{id: "c_8ENbdXlcXqgH", redirect: "http://127.0.0.1/cb"}
	r := start(t, text, func(r *running) {
		r.create(store.KeyParams{}) // checks wait for the first key
		password := authz.NewSecret(loginPassword)
		if _, err := r.users().Set(context.Background(), "alice", store.AnyVersion, records.UserPatch{Scopes: &[]string{"items:read"}, Password: &password}); err != nil {
			t.Fatal(err)
		}
		file := filestore.NewClientFile(filestore.ClientFileConfig{Path: r.path("clients.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
		err := file.Editor(nil).Edit(context.Background(), func(tx store.Tx[store.Client]) error {
			at := time.Now().UTC()
			tx.Put(&store.Client{ID: app.id, Name: "App", Public: true, RedirectURIs: []string{app.redirect}, Scopes: []string{"items:read"}, Grants: []oauth.Grant{oauth.AuthorizationCode}, Created: at, At: at}, &audit.Entry{})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	l := &issuing{console: &console{running: r}, issuer: &http.Client{Transport: &http.Transport{DialContext: dialUnix(r.path("issuer.sock"))}}}
	code := (&visitor{l, map[string]string{}}).allow(app).Get("code")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {app.id}, "redirect_uri": {app.redirect}, "code_verifier": {verifierText}}
	a, tokens := l.form("/oauth/token", form)
	access, _ := tokens["access_token"].(string)
	if a.status != 200 || access == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	l.wants("a token", access, 200)
	if a, _ := l.form("/oauth/token", form); a.status != 400 {
		t.Errorf("the code again: %d %s", a.status, a.body)
	}
	if got, _ := l.ask("/items", access); got != 401 {
		t.Errorf("after the code was used again: %d", got)
	}
}
