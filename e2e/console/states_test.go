package console

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/browser"
	"keyward/manage/session"
	"keyward/manage/state"
)

// TestNothingYet looks at the pages of a Keyward that has just been installed: the one that
// makes the first administrator, and the lists, which say what to do.
func TestNothingYet(t *testing.T) {
	s := newEmptySite(t)
	path := strings.TrimPrefix(s.run("", "admin", "bootstrap"), s.console)
	first := s.tab(chromium(t), browser.Window{})
	first.lookAt(shown{name: "/setup/CODE", path: path})
	first.lookAt(shown{name: "setup with errors", path: path, reach: func(tab *tab) {
		tab.Fill("#username", "k_123456789012")
		tab.Fill("#password", "short")
		tab.FollowText("Create administrator")
		tab.wants("2 fields need attention")
	}})
	first.Fill("#username", "root")
	first.Fill("#password", password)
	first.FollowText("Create administrator")
	for _, path := range []string{"/overview", "/keys", "/service-users", "/projects", "/clients", "/revocations", "/me/keys", "/audit?target=none"} {
		first.lookAt(shown{name: "empty " + path, path: path})
	}
}

// fails sends a form that is not accepted: fields are selectors, each with what is typed.
func (tab *tab) fails(button, want string, fields ...string) {
	tab.site.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		tab.Fill(fields[i], fields[i+1])
	}
	if status := tab.FollowText(button); status != 422 {
		tab.site.t.Fatalf("%s: %d, want 422: %s", tab.URL(), status, tab.Text("main"))
	}
	tab.wants(want)
}

// TestRefusedForms looks at forms that were not accepted.
func TestRefusedForms(t *testing.T) {
	s := genericSite(t)
	s.user("refused")
	root := s.tab(chromium(t), browser.Window{})
	root.signIn("root")
	for path, reach := range map[string]func(*tab){
		"/keys/new": func(tab *tab) {
			tab.fails("Create key", "need attention", "#key-user", "alcie", "#paths", "orders", "#cidrs", "10.0.0.0/33", "#rate", "often")
		},
		"/users/new": func(tab *tab) {
			tab.fails("Create user", "need attention", "#name", "k_123456789012", "#password", "short", "#paths", "orders")
		},
		"/users/refused":       func(tab *tab) { tab.fails("Create API key", "need", "#path", "catalogue") },
		"/users/root/password": func(tab *tab) { tab.fails("Set password", "need", "#password", "short") },
		"/projects/new":        func(tab *tab) { tab.fails("Create project", "need", "#name", "a b", "#members", "unknown") },
		"/clients/new":         func(tab *tab) { tab.fails("Create client", "need", "#redirect_uris", "ftp://shop.example.com") },
		"/revocations/new":     func(tab *tab) { tab.Click("#which-subject"); tab.fails("Revoke…", "need") },
		"/account": func(tab *tab) {
			tab.fails("Change password", "need", "#current", "wrong horse battery", "#new", "short")
		},
	} {
		root.lookAt(shown{name: "refused " + path, path: path, reach: reach})
	}
}

// TestOtherSessions looks at pages of users who are not administrators with a fresh login.
func TestOtherSessions(t *testing.T) {
	s := newSite(t, setup{style: "halfred", prefix: "kw_", more: "  first_login: {project: true, key: true}\n", users: [][]string{{"alice", "--scope", "keyward:read"}}})
	admin := s.run("", "key", "create", "--name", "admin", "--user", "root", "--scope", "keyward:admin")
	s.call(admin, "POST", "/users", map[string]any{"name": "new", "password": password, "must_change": true})
	open := func() *tab { return s.tab(chromium(t), browser.Window{}) }
	reader := open()
	reader.signIn("alice")
	reader.lookAt(shown{name: "forbidden", path: "/users/new", status: map[int64]string{403: ""}})

	late := open()
	late.SetCookie(s.console, session.CookieName, s.oldLogin("root", 16*time.Minute).Reveal())
	ask := func(tab *tab) {
		tab.Fill("#name", "nightly")
		tab.Click("#expires-90d")
		tab.FollowText("Create key")
		tab.wants("Confirm that it is you")
	}
	late.lookAt(shown{name: "confirm", path: "/keys/new", reach: ask})
	late.lookAt(shown{name: "confirm again", path: "/keys/new", reach: func(tab *tab) {
		ask(tab)
		tab.Fill("#reauthenticate_password", "wrong "+password)
		tab.FollowText("Confirm")
		tab.wants("incorrect")
	}})

	changing := open()
	changing.signIn("new")
	changing.lookAt(shown{name: "password must change", path: "/account/password"})
	changing.lookAt(shown{name: "/welcome", path: "/account/password", reach: func(tab *tab) {
		tab.Fill("#current", password)
		tab.Fill("#new", password+" staple")
		tab.FollowText("Change password")
		tab.open("/welcome")
		tab.wants("Welcome to Halfred API")
	}})
	changing.lookAt(shown{name: "first key", path: "/welcome", reach: func(tab *tab) {
		tab.Follow("main form .btn.primary")
		tab.wants("Copy and store your API key securely.")
	}})
}

// oldLogin returns the cookie of a login of the user that long ago.
func (s *site) oldLogin(user string, age time.Duration) authz.Secret {
	s.t.Helper()
	then := time.Now().Add(-age)
	db, err := state.Open(context.Background(), state.Config{
		Path: filepath.Join(s.dir, "keyward.db"), SessionIdle: 30 * time.Minute, SessionMax: 12 * time.Hour, Now: func() time.Time { return then },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, cookie, err := db.Sessions.Create(context.Background(), state.Login{User: user, Method: state.LoginPassword})
	if err != nil {
		s.t.Fatal(err)
	}
	return cookie
}
