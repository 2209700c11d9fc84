package client

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/importer"
	"keyward/store/oauth"
)

const oneKey = `{"id": "k_0123456789aB", "name": "ci", "state": "active", "key": "kw_secret", "secret": "kwcs_secret", "etag": "\"x\"", "paused": null}`

// TestRequests: what each method asks for. once is of those that are carried out once
// if they are sent again.
func TestRequests(t *testing.T) {
	day := time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)
	text := func(s string) *string { return &s }
	scopes, none := []string{"read"}, (*[]string)(nil)
	network := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	password := authz.NewSecret("correct-horse")
	disabled := true
	for name, test := range map[string]struct {
		call func(*fakeServer) error
		want []string // once: METHOD TARGET BODY
	}{
		"create": {func(f *fakeServer) error {
			_, _, err := f.CreateKey(t.Context(), NewKey{store.KeyParams{Name: "ci", User: "alice", Format: "keyward", Prefix: "a_", Expires: day, NotBefore: day, Scopes: &scopes, Paths: []string{"/x"}, CIDRs: network, Rate: "1/h"}, false})
			return err
		}, []string{`once: POST /api/v1/keys {"cidrs":["192.0.2.0/24"],"expires":"2030-01-31T00:00:00Z","format":"keyward","name":"ci","not_before":"2030-01-31T00:00:00Z","paths":["/x"],"prefix":"a_","rate":"1/h","scopes":["read"],"user":"alice"}`}},
		"create with the server's prefix": {func(f *fakeServer) error {
			_, _, err := f.CreateKey(t.Context(), NewKey{store.KeyParams{Name: "ci", Scopes: &[]string{}}, true})
			return err
		}, []string{`once: POST /api/v1/keys {"name":"ci","scopes":[]}`}},
		"show":   {func(f *fakeServer) error { _, err := f.Key(t.Context(), someID); return err }, []string{"GET /api/v1/keys/" + someID}},
		"usage":  {func(f *fakeServer) error { _, err := f.KeyUsage(t.Context(), someID); return err }, []string{"GET /api/v1/keys/" + someID + "/usage"}},
		"verify": {func(f *fakeServer) error { _, err := f.FindKey(t.Context(), authz.NewSecret("s")); return err }, []string{`POST /api/v1/keys/verify {"key":"s"}`}},
		"list": {func(f *fakeServer) error {
			_, err := f.ListKeys(t.Context(), store.KeyFilter{User: "a&b", State: store.KeyPaused, Text: "x", UnusedFor: 90 * 24 * time.Hour})
			return err
		}, []string{"GET /api/v1/keys?limit=1000&q=x&state=paused&unused_for=2160h0m0s&user=a%26b"}},
		"update": {func(f *fakeServer) error {
			_, err := f.UpdateKey(t.Context(), someID, manage.KeyPatch{Name: text("n"), Rate: text(""), Owner: text("o"), Scopes: &none, Paths: &[]string{}, Expires: &time.Time{}, NotBefore: &day, CIDRs: &network})
			return err
		}, []string{`PATCH /api/v1/keys/` + someID + ` {"cidrs":["192.0.2.0/24"],"expires":null,"name":"n","not_before":"2030-01-31T00:00:00Z","owner":"o","paths":null,"rate":null,"scopes":null}`}},
		"rotate": {func(f *fakeServer) error { _, _, err := f.RotateKey(t.Context(), someID, 24*time.Hour); return err }, []string{`once: POST /api/v1/keys/` + someID + `/rotate {"grace":"24h0m0s"}`}},
		"revoke": {func(f *fakeServer) error { _, err := f.ChangeKey(t.Context(), someID, Revoke, "leaked"); return err }, []string{`once: POST /api/v1/keys/` + someID + `/revoke {"reason":"leaked"}`}},
		"resume": {func(f *fakeServer) error { _, err := f.ChangeKey(t.Context(), someID, Resume, ""); return err }, []string{`once: POST /api/v1/keys/` + someID + `/resume {}`}},
		"delete": {func(f *fakeServer) error { _, err := f.ChangeKey(t.Context(), someID, Delete, ""); return err }, []string{"GET /api/v1/keys/" + someID, "DELETE /api/v1/keys/" + someID}},
		"import": {func(f *fakeServer) error {
			_, err := f.ImportKeys(t.Context(), []importer.GivenKey{{Line: 2, Text: authz.NewSecret("k"), Params: &store.KeyParams{Name: "old", Project: "p"}}}, false)
			return err
		}, []string{"once: POST /api/v1/keys/import \n{\"key\":\"k\",\"name\":\"old\",\"project\":\"p\"}\n"}},
		"set a user": {func(f *fakeServer) error {
			_, _, err := f.SetUser(t.Context(), "a/b", manage.UserPatch{Scopes: &scopes}, &password)
			return err
		}, []string{"GET /api/v1/users/a%2Fb", `POST /api/v1/users/ci/password {"password":"correct-horse"}`, `PATCH /api/v1/users/ci {"scopes":["read"]}`}},
		"disable a user": {func(f *fakeServer) error {
			_, _, err := f.SetUser(t.Context(), "ci", manage.UserPatch{Disabled: &disabled}, &password)
			return err
		}, []string{"GET /api/v1/users/ci", `PATCH /api/v1/users/ci {"disabled":true}`, `POST /api/v1/users/ci/password {"password":"correct-horse"}`}},
		"delete a user": {func(f *fakeServer) error { return f.DeleteUser(t.Context(), "ci") }, []string{"DELETE /api/v1/users/ci"}},
		"create a project": {func(f *fakeServer) error {
			_, err := f.CreateProject(t.Context(), registry.ProjectInput{Name: "shop", Members: []string{"alice"}})
			return err
		}, []string{`once: POST /api/v1/projects {"members":["alice"],"name":"shop"}`}},
		"list projects": {func(f *fakeServer) error {
			_, err := f.ListProjects(t.Context(), store.ProjectFilter{Member: "alice"})
			return err
		}, []string{"GET /api/v1/projects?limit=1000&member=alice"}},
		"delete a project": {func(f *fakeServer) error { return f.DeleteProject(t.Context(), "a b") }, []string{"DELETE /api/v1/projects/a%20b"}},
		"create an OAuth client": {func(f *fakeServer) error {
			_, _, err := f.CreateOAuthClient(t.Context(), registry.ClientInput{Name: "Shop", RedirectURIs: []string{"https://shop.example.com/cb"}, Scopes: scopes, Grants: []oauth.Grant{oauth.AuthorizationCode}})
			return err
		}, []string{`once: POST /api/v1/clients {"grants":["authorization_code"],"name":"Shop","redirect_uris":["https://shop.example.com/cb"],"scopes":["read"]}`}},
		"create a public OAuth client": {func(f *fakeServer) error {
			_, _, err := f.CreateOAuthClient(t.Context(), registry.ClientInput{Name: "App", Grants: []oauth.Grant{oauth.AuthorizationCode}, Public: true})
			return err
		}, []string{`once: POST /api/v1/clients {"grants":["authorization_code"],"name":"App","public":true}`}},
		"show an OAuth client": {func(f *fakeServer) error { _, err := f.OAuthClient(t.Context(), someClient); return err }, []string{"GET /api/v1/clients/" + someClient}},
		"list OAuth clients": {func(f *fakeServer) error {
			_, err := f.ListOAuthClients(t.Context(), store.ClientFilter{Grant: oauth.RefreshToken, Text: "x"})
			return err
		}, []string{"GET /api/v1/clients?grant=refresh_token&limit=1000&q=x"}},
		"rotate an OAuth client": {func(f *fakeServer) error {
			_, _, err := f.RotateOAuthClient(t.Context(), someClient, time.Hour)
			return err
		}, []string{`once: POST /api/v1/clients/` + someClient + `/rotate {"grace":"1h0m0s"}`}},
		"enable an OAuth client": {func(f *fakeServer) error { _, err := f.DisableOAuthClient(t.Context(), someClient, false); return err }, []string{`PATCH /api/v1/clients/` + someClient + ` {"disabled":false}`}},
		"delete an OAuth client": {func(f *fakeServer) error { return f.DeleteOAuthClient(t.Context(), someClient) }, []string{"DELETE /api/v1/clients/" + someClient}},
		"revoke tokens": {func(f *fakeServer) error {
			_, err := f.RevokeToken(t.Context(), store.Revocation{Subject: "s", IssuedBefore: day})
			return err
		}, []string{`once: POST /api/v1/revocations {"issued_before":"2030-01-31T00:00:00Z","subject":"s"}`}},
		"audit": {func(f *fakeServer) error {
			_, err := f.AuditLog(t.Context(), store.AuditFilter{Actor: "a", Since: day})
			return err
		}, []string{"GET /api/v1/audit?actor=a&limit=1000&since=2030-01-31T00%3A00%3A00Z"}},
		"reset a limit": {func(f *fakeServer) error { return f.ResetKeyLimit(t.Context(), someID) }, []string{"DELETE /api/v1/limits/" + someID}},
	} {
		f := newFakeServer(t, func(w http.ResponseWriter, r *http.Request) {
			text := oneKey
			if strings.Contains(r.URL.Path, "/clients") {
				text = strings.Replace(oneKey, someID, someClient, 1)
			}
			answers(200, text)(w, r)
		})
		if err := test.call(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, r := range f.requests() {
			line := strings.TrimRight(r.method+" "+r.target+" "+r.body, " ")
			if r.once != "" {
				line = "once: " + line
			}
			got = append(got, line)
			if r.authorization != "Bearer "+token.Reveal() {
				t.Errorf("%s: Authorization %q", name, r.authorization)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%q, want\n%q", name, got, test.want)
		}
	}
}

// TestNewUser: a user who is not there is made in one request.
func TestNewUser(t *testing.T) {
	f := newFakeServer(t, refuses(404, "not_found"), answers(201, `{"name": "bob"}`))
	password := authz.NewSecret("correct-horse")
	user, made, err := f.SetUser(t.Context(), "bob", manage.UserPatch{Paths: &[]string{}}, &password)
	if err != nil || !made || user.Name != "bob" || len(f.requests()) != 2 || f.requests()[1].body != `{"name":"bob","password":"correct-horse"}` {
		t.Errorf("%v %v %+v", err, made, f.requests())
	}
}

// TestHalfSetUser: the error says which of the two changes is done.
func TestHalfSetUser(t *testing.T) {
	password, disabled := authz.NewSecret("correct-horse"), true
	f := newFakeServer(t, answers(200, `{"name": "bob"}`), answers(204, ""), refuses(403, "beyond_caller"))
	if _, _, err := f.SetUser(t.Context(), "bob", manage.UserPatch{Scopes: &[]string{"x"}}, &password); !errors.Is(err, errPasswordSet) {
		t.Errorf("%v", err)
	}
	f = newFakeServer(t, answers(200, `{"name": "bob"}`), answers(200, `{"name": "bob"}`), refuses(422, "invalid"))
	if _, _, err := f.SetUser(t.Context(), "bob", manage.UserPatch{Disabled: &disabled}, &password); !errors.Is(err, errSettingsSet) || !errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// TestSentAgain: a request that may have been carried out is sent again only if that
// does it once, and then as the same request.
func TestSentAgain(t *testing.T) {
	for name, test := range map[string]struct {
		call  func(*fakeServer) error
		first http.HandlerFunc
		want  int // requests
	}{
		"create, no answer":  {create(t), drops, 2},
		"create, overloaded": {create(t), refuses(503, "overloaded"), 2},
		"create, running":    {create(t), refuses(409, "idempotency_running"), 2},
		"create, a proxy":    {create(t), answers(502, "<html>"), 2},
		"create, refused":    {create(t), refuses(409, "conflict"), 1},
		"create, too often":  {create(t), refuses(429, "rate_limited"), 1},
		"create, a fault":    {create(t), refuses(500, "internal"), 1},
		"show, no answer":    {func(f *fakeServer) error { _, err := f.Key(t.Context(), someID); return err }, drops, 2},
		"update, no answer":  {func(f *fakeServer) error { _, err := f.UpdateKey(t.Context(), someID, manage.KeyPatch{}); return err }, drops, 1},
		"delete, no answer":  {func(f *fakeServer) error { return f.DeleteUser(t.Context(), "bob") }, drops, 1},
		"verify, no answer":  {func(f *fakeServer) error { _, err := f.FindKey(t.Context(), authz.NewSecret("x")); return err }, drops, 1},
		"reset, overloaded":  {func(f *fakeServer) error { return f.ResetKeyLimit(t.Context(), someID) }, refuses(503, "overloaded"), 1},
	} {
		f := newFakeServer(t, test.first, answers(200, oneKey))
		err := test.call(f)
		if (err == nil) != (test.want == 2) || len(f.requests()) != test.want || len(f.paused) != test.want-1 {
			t.Errorf("%s: %v after %d requests and %d pauses", name, err, len(f.requests()), len(f.paused))
		}
		if len(f.requests()) == 2 && (f.requests()[0] != f.requests()[1] || f.requests()[0].method == "POST" && f.requests()[0].once == "") {
			t.Errorf("%s: %+v", name, f.requests())
		}
	}
	f := newFakeServer(t, refuses(503, "store_unavailable"))
	if err := create(t)(f); fault.CodeOf(err) != fault.StoreUnavailable || len(f.requests()) != 1+len(pauses) {
		t.Errorf("%v after %d requests", err, len(f.requests()))
	}
	_, _ = create(t)(f), create(t)(f)
	if f.requests()[0].once == f.requests()[len(f.requests())-1].once {
		t.Error("two requests have one Idempotency-Key")
	}
}

func create(t *testing.T) func(*fakeServer) error {
	return func(f *fakeServer) error {
		_, _, err := f.CreateKey(t.Context(), NewKey{KeyParams: store.KeyParams{Name: "ci"}})
		return err
	}
}

// TestSecretLost: the first answer had the secret, and did not arrive.
func TestSecretLost(t *testing.T) {
	f := newFakeServer(t, drops, answers(201, `{"id": "k_0123456789aB", "secret_shown": false}`))
	view, secret, err := f.CreateKey(t.Context(), NewKey{})
	if !errors.Is(err, ErrSecretLost) || view.ID != someID || !secret.Empty() {
		t.Errorf("%+v, %v", view, err)
	}
	view, secret, err = newFakeServer(t, answers(200, oneKey)).RotateKey(t.Context(), someID, 0)
	if err != nil || secret.Reveal() != "kw_secret" || view.Key != "" {
		t.Errorf("%+v, %v", view, err)
	}
}

// TestClientSecretLost: as of a key; a public client has none to lose.
func TestClientSecretLost(t *testing.T) {
	f := newFakeServer(t, drops, answers(201, `{"id": "c_0123456789aB", "secret_shown": false}`))
	view, secret, err := f.CreateOAuthClient(t.Context(), registry.ClientInput{Name: "Shop"})
	if !errors.Is(err, ErrSecretLost) || view.ID != someClient || !secret.Empty() {
		t.Errorf("%+v, %v", view, err)
	}
	view, secret, err = newFakeServer(t, answers(201, `{"id": "c_0123456789aB", "public": true}`)).CreateOAuthClient(t.Context(), registry.ClientInput{Name: "App", Public: true})
	if err != nil || view.ID != someClient || !secret.Empty() {
		t.Errorf("public: %+v, %v", view, err)
	}
	if _, _, err := newFakeServer(t, answers(200, `{"id": "c_0123456789aB"}`)).RotateOAuthClient(t.Context(), someClient, 0); !errors.Is(err, ErrSecretLost) {
		t.Errorf("rotated: %v", err)
	}
	view, secret, err = newFakeServer(t, answers(200, `{"id": "c_0123456789aB", "secret": "kwcs_secret"}`)).RotateOAuthClient(t.Context(), someClient, 0)
	if err != nil || secret.Reveal() != "kwcs_secret" || view.Secret != "" {
		t.Errorf("%+v, %v", view, err)
	}
}

// TestNotDone: what does not answer as the API does has done nothing, and no command says
// that a key was revoked by it.
func TestNotDone(t *testing.T) {
	for _, answer := range []string{"null", "{}", `{"id": "k_000000000000"}`, `{"id": "c_000000000000"}`, `{"ok": true}`} {
		f := newFakeServer(t, answers(200, answer))
		_, revoke := f.ChangeKey(t.Context(), someID, Revoke, "")
		_, remove := f.ChangeKey(t.Context(), someID, Delete, "")
		_, update := f.UpdateKey(t.Context(), someID, manage.KeyPatch{})
		_, _, rotate := f.RotateKey(t.Context(), someID, 0)
		_, disable := f.DisableOAuthClient(t.Context(), someClient, true)
		for i, err := range []error{revoke, remove, update, rotate, disable} {
			if err == nil || !strings.Contains(err.Error(), "unexpected response") {
				t.Errorf("%s: %d: %v", answer, i, err)
			}
		}
	}
	f := newFakeServer(t, answers(200, "{}"))
	_, _, key := f.CreateKey(t.Context(), NewKey{})
	_, _, client := f.CreateOAuthClient(t.Context(), registry.ClientInput{Name: "Shop"})
	for _, err := range []error{key, client} {
		if err == nil || errors.Is(err, ErrSecretLost) {
			t.Errorf("created: %v", err)
		}
	}
}

// TestSecretControlsNoTerminal: a secret is printed as it is, and so must be one.
func TestSecretControlsNoTerminal(t *testing.T) {
	for _, secret := range []string{`kw_\u001b[2J`, `kw_a\nb`, `kw_ a`, `kw_\u202e`} {
		_, shown, err := newFakeServer(t, answers(200, `{"id": "k_0123456789aB", "key": "`+secret+`"}`)).RotateKey(t.Context(), someID, 0)
		if !shown.Empty() || !errors.Is(err, ErrSecretLost) {
			t.Errorf("%q: %v", secret, err)
		}
		_, shown, err = newFakeServer(t, answers(200, `{"id": "c_0123456789aB", "secret": "`+secret+`"}`)).RotateOAuthClient(t.Context(), someClient, 0)
		if !shown.Empty() || !errors.Is(err, ErrSecretLost) {
			t.Errorf("%q of a client: %v", secret, err)
		}
	}
}

// TestNotAClientID: what may be a secret is not sent.
func TestNotAClientID(t *testing.T) {
	f := newFakeServer(t, answers(200, oneKey))
	for _, id := range []string{"kwcs_" + token.Reveal()[3:], "", "c_", someClient + "x", someID, "../users", "c_0123/56789a"} {
		_, show := f.OAuthClient(t.Context(), id)
		_, _, rotate := f.RotateOAuthClient(t.Context(), id, 0)
		_, disable := f.DisableOAuthClient(t.Context(), id, true)
		for _, err := range []error{show, rotate, disable, f.DeleteOAuthClient(t.Context(), id)} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if len(f.requests()) != 0 {
		t.Errorf("%d requests: %+v", len(f.requests()), f.requests())
	}
}

// TestNotAnID: what may be a key is not sent.
func TestNotAnID(t *testing.T) {
	f := newFakeServer(t, answers(200, oneKey))
	for _, id := range []string{token.Reveal(), "", "k_", someID + "x", "../users", "k_0123/56789a"} {
		_, show := f.Key(t.Context(), id)
		_, change := f.ChangeKey(t.Context(), id, Delete, "")
		_, limit := f.KeyLimit(t.Context(), id)
		for _, err := range []error{show, change, limit, f.ResetKeyLimit(t.Context(), id)} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if len(f.requests()) != 0 {
		t.Errorf("%d requests: %+v", len(f.requests()), f.requests())
	}
}

// TestPages: all pages of a list, in the order of creation.
func TestPages(t *testing.T) {
	f := newFakeServer(t, answers(200, `{"items": [{"name": "c"}, {"name": "b"}], "next_cursor": "x"}`), answers(200, `{"items": [{"name": "a"}], "next_cursor": null}`))
	users, err := f.ListUsers(t.Context())
	if err != nil || len(users) != 3 || users[0].Name != "a" || users[2].Name != "c" {
		t.Errorf("%v %v", users, err)
	}
	if f.requests()[1].target != "/api/v1/users?cursor=x&limit=1000" {
		t.Errorf("%+v", f.requests())
	}
}
