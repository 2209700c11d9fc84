package loginapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/session"
	"keyward/manage/state"
)

// fixture is a Handler that verifies nothing, behind HTTP.
type fixture struct {
	*testing.T
	settings Settings
	service  *oauth.Service
	gate     *gate.Gate
	denied   []authz.Reason
	checked  int
	server   *httptest.Server
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, gate: gate.New(), settings: Settings{Cookie: "token", Origin: session.Origin{Public: "https://api.example.com"}}}
	f.server = httptest.NewServer(New(Config{
		Service: func() *oauth.Service { return f.service }, Settings: func() Settings { return f.settings }, Gate: f.gate,
		CallOf: func(*http.Request) access.Call { return access.Call{} },
		Check: func(*http.Request, string, authz.Secret, authz.Verifier) func(http.ResponseWriter) {
			f.checked++
			return func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }
		},
		Deny: func(w http.ResponseWriter, _ *http.Request, reason authz.Reason) {
			f.denied = append(f.denied, reason)
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	}))
	t.Cleanup(f.server.Close)
	return f
}

// want posts the body, and fails the test unless the answer has the status and the text.
func (f *fixture) want(what, path, body string, status int, text string, cookies ...string) {
	f.Helper()
	r, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, cookie := range cookies {
		r.Header.Add("Cookie", cookie)
	}
	response, err := f.server.Client().Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || !strings.Contains(string(got), text) {
		f.Errorf("%s: %d %s %v, want %d and %q", what, response.StatusCode, got, err, status, text)
	}
}

// TestRefusedBeforeACheck: requests that are refused without a look at what they present.
func TestRefusedBeforeACheck(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{RefreshPath, LogoutPath} {
		f.want(path+" with several cookies", path, `{}`, 400, "several cookies", "token_refresh=kwt_a; token_refresh=kwt_b")
		f.want(path+" with several fields", path, `{}`, 400, "several cookies", "token_refresh=kwt_a", "token_refresh=kwt_b")
	}
	f.settings.Cookie = ""
	f.want("a cookie where there are none", RefreshPath, `{}`, 400, "refresh_token is needed", "_refresh=kwt_a")
	f.want("a login for cookies where there are none", LoginPath, `{"username": "alice", "password": "x", "cookie": true}`, 400, "issuer.cookie")
	if f.checked > 0 {
		t.Errorf("%d were checked", f.checked)
	}
	f.want("a token", RefreshPath, `{"refresh_token": "kwt_a"}`, 401, "")
	entered := 0
	for f.gate.Enter() {
		entered++
	}
	f.want("one too many", RefreshPath, `{"refresh_token": "kwt_a"}`, 503, "")
	if len(f.denied) != 1 || f.denied[0] != authz.Overloaded || f.checked != 1 || entered == 0 {
		t.Errorf("denied %v, %d were checked", f.denied, f.checked)
	}
}

// TestLogoutFails: a logout that did not end its grant is not answered as done.
func TestLogoutFails(t *testing.T) {
	db, err := state.Open(t.Context(), state.Config{Path: filepath.Join(t.TempDir(), "keyward.db")})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := db.Grants.Create(t.Context(), 0, state.Grant{User: "alice", Client: "login"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.service = oauth.New(oauth.Config{Grants: db.Grants})
	f.want("logout", LogoutPath, `{"refresh_token": "`+token.Reveal()+`"}`, 503, "")
	if len(f.denied) != 1 || f.denied[0] != authz.Unavailable {
		t.Errorf("denied %v", f.denied)
	}
}

// TestVerify: what a failed login or refresh is for the checks; only a password that must be
// changed first is not a failure.
func TestVerify(t *testing.T) {
	for code, want := range map[fault.Code]authz.Reason{fault.RateLimited: authz.RateLimited, fault.Overloaded: authz.Overloaded} {
		v := verify(func(context.Context) error { return fault.Refuse(code, "x") })
		var credential *authz.CredentialError
		if p, err := v.Verify(t.Context(), nil, time.Time{}); p != nil || !errors.As(err, &credential) || credential.Reason != want {
			t.Errorf("%s: %v, %v", code, p, err)
		}
	}
	for code, accepted := range map[fault.Code]bool{fault.Forbidden: true, fault.StoreUnavailable: false, fault.NotFound: false} {
		v := verify(func(context.Context) error { return fault.Refuse(code, "x") })
		if p, err := v.Verify(t.Context(), nil, time.Time{}); (err == nil) != accepted || (p != nil) != accepted {
			t.Errorf("%s: %v, %v", code, p, err)
		}
	}
}
