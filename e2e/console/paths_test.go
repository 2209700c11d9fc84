package console

import (
	"strings"
	"testing"

	"keyward/internal/browser"
)

// withAndWithout runs a test in one browser with the page's scripts, and without.
func withAndWithout(t *testing.T, s *site, test func(t *testing.T, s *site, tab *tab)) {
	t.Helper()
	b := chromium(t)
	for name, noScript := range map[string]bool{"scripts": false, "no scripts": true} {
		t.Run(name, func(t *testing.T) {
			s := s.of(t)
			tab := s.tab(b, browser.Window{NoScript: noScript})
			test(t, s, tab)
			if found := tab.Problems(); len(found) > 0 {
				t.Errorf("the browser reports %q", found)
			}
		})
	}
}

// copies clicks the button that copies the secret. A browser that does not let the page
// write to the clipboard has the secret selected instead.
func (tab *tab) copies(secret string) {
	tab.site.t.Helper()
	tab.Click("[data-copy=secret]")
	said := browser.Evaluate[string](tab.Tab, `new Promise(done => { const poll = setInterval(() => {
		const said = document.getElementById("copied").textContent;
		if (said) { clearInterval(poll); done(said); } }, 20); })`)
	selected := browser.Evaluate[string](tab.Tab, `getSelection().toString()`)
	if said != "Copied" && (said != "Selected: press Ctrl+C" || strings.TrimSpace(selected) != secret) {
		tab.site.t.Errorf("copying says %q, and selects %q", said, selected)
	}
}

// TestHalo: a user generates a personal access token, uses it, sees its use, and revokes it.
func TestHalo(t *testing.T) {
	s := newSite(t, setup{style: "halo", prefix: "pat_", more: "errors: halo\nroutes: [{path: /api/v1alpha1/posts, scopes: [\"posts:read\"]}]\n", users: [][]string{{"dora", "--scope", "posts:read"}}})
	withAndWithout(t, s, func(t *testing.T, s *site, tab *tab) {
		tab.signIn("dora")
		tab.wants("User Center", "Personal Access Tokens")
		tab.FollowText("Generate New Token")
		tab.wants("Descriptive name", "Expiration", "Permissions")
		name := "Deploy hook " + t.Name()
		tab.Fill("#name", name)
		tab.Click("#expires-30d")
		tab.Click("#scope-0")
		tab.FollowText("Generate")
		tab.wants("Token generated", "Copy and save the token immediately: you will not be able to see it again.", name)
		secret, try := tab.secret()
		if !strings.HasPrefix(secret, "pat_") || !strings.Contains(try, "HALO_API_TOKEN") {
			t.Fatalf("the page shows %q, %q", secret, try)
		}
		s.wantStatus("the new token", try, "200")
		tab.FollowText("I have stored it")
		tab.open("/me/keys")
		tab.wants(name, "Last used")
		tab.FollowText("Revoke " + name)
		tab.wants("The token becomes invalid immediately.", "It was used 1 times today")
		tab.FollowText("Revoke token")
		s.wantStatus("the revoked token", try, "401")
		tab.open("/me/keys")
		tab.wants("Revoked")
	})
}

// TestHalfred: the first login makes a project and shows its key; the dashboard replaces it.
func TestHalfred(t *testing.T) {
	s := newSite(t, setup{style: "halfred", prefix: "halfred_", more: "  first_login: {project: true, key: true}\nerrors: halfred\n", users: [][]string{{"fred"}, {"freda"}}})
	withAndWithout(t, s, func(t *testing.T, s *site, tab *tab) {
		user := map[bool]string{true: "fred", false: "freda"}[strings.HasSuffix(t.Name(), "no_scripts")]
		tab.signIn(user)
		tab.wants("We created a default project for you.", "Copy and store your API key securely.")
		first, try := tab.secret()
		if !strings.HasPrefix(first, "halfred_") || !strings.Contains(try, "HALFRED_API_KEY") {
			t.Fatalf("the page shows %q, %q", first, try)
		}
		s.wantStatus("the first key", try, "200")
		tab.FollowText("I have stored it")
		tab.wants("Dashboard", "Your Key", "Recent log status", "/v1/models", first[:len("halfred_")+4])
		if strings.Contains(tab.Source(), first) {
			t.Error("the dashboard has the key")
		}
		tab.ClickText("Key menu")
		tab.wants("Revoking is immediate and irreversible.")
		tab.FollowText("Revoke Key & Get New One")
		second, again := tab.secret()
		if second == first {
			t.Fatal("the key is the same")
		}
		s.wantStatus("the replaced key", try, "401")
		s.wantStatus("the new key", again, "200")
	})
}

// TestHaplo: an administrator makes a key at the end of a user's page, for one path, and
// deletes it.
func TestHaplo(t *testing.T) {
	s := newSite(t, setup{style: "haplo", prefix: "haplo_", more: "credentials: {basic_key_usernames: [haplo]}\n", users: [][]string{{"library"}}})
	withAndWithout(t, s, func(t *testing.T, s *site, tab *tab) {
		tab.signIn("root")
		tab.wants("Users")
		tab.FollowText("library")
		tab.wants("Create API key")
		name := "catalogue sync " + t.Name()
		tab.Fill("#name", name)
		tab.Fill("#path", "=/api/catalogue")
		tab.FollowText("Create API key")
		tab.wants("It is stored as a one-way hash and cannot be found out afterwards.", name)
		_, try := tab.secret()
		if !strings.HasPrefix(try, "curl --user haplo:") {
			t.Fatalf("the page shows %q", try)
		}
		s.wantStatus("the new key", try, "200")
		s.wantStatus("another path", strings.Replace(try, "/api/catalogue", "/api/catalogue/other", 1), "403")
		tab.FollowText("I have stored it")
		tab.open("/users/library")
		tab.wants(name, "=/api/catalogue")
		tab.FollowText("Delete " + name)
		tab.FollowText("Delete API key")
		s.wantStatus("the deleted key", try, "401")
	})
}

// TestGeneric: a user generates an API key under Settings, copies it once, and revokes it.
func TestGeneric(t *testing.T) {
	s := newSite(t, setup{style: "generic", prefix: "kw_", more: "  title: Acme API\nerrors: generic\n", users: [][]string{{"alice", "--scope", "orders:read"}}})
	withAndWithout(t, s, func(t *testing.T, s *site, tab *tab) {
		tab.signIn("alice")
		tab.wants("Settings", "API Keys", "Acme API")
		tab.FollowText("Generate New API Key")
		name := "nightly-export " + t.Name()
		tab.Fill("#name", name)
		tab.Click("#scopes-user")
		tab.FollowText("Generate")
		tab.wants("Copy the key and store it securely. It is not shown again.")
		secret, try := tab.secret()
		s.wantStatus("the new key", try, "200")
		if tab.Has("[data-copy=secret]:not([hidden])") {
			tab.copies(secret)
		}
		tab.FollowText("I have stored it")
		if strings.Contains(tab.Source(), secret) {
			t.Error("the key's page has the secret")
		}
		tab.open("/me/keys")
		tab.FollowText("Revoke " + name)
		tab.FollowText("Revoke key")
		s.wantStatus("the revoked key", try, "401")
	})
}
