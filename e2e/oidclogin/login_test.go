package oidclogin

import (
	"fmt"
	"testing"

	"keyward/internal/browser"
	"keyward/internal/eventually"
)

// TestLogin: a person logs in with the provider, with scripts and without, and comes to the
// page that was asked for. Neither the way there nor the way back breaks the policy of the
// pages, and the session's cookie goes along although another site has sent the browser.
func TestLogin(t *testing.T) {
	s := start(t, "")
	s.startProvider()
	b := browser.Start(t)
	for _, w := range []browser.Window{{Private: true}, {Private: true, NoScript: true, Width: 390, Dark: true}} {
		tab := b.Tab(t, w)
		if status := tab.Open(s.console + "/account"); status != 200 || tab.Text("h1") != "Sign in to the console" {
			t.Fatalf("%d %q", status, tab.Title())
		}
		tab.WantAccessible("the login")
		s.signIn(tab, "carol")
		s.consent(tab, "/account")
		if got := tab.Text("h1"); got != "Account" {
			t.Fatalf("%q at %s: %s", got, tab.URL(), tab.Source())
		}
		if got := tab.Text(".account"); got != "carol" || tab.URL() != s.console+"/account" {
			t.Errorf("%s at %s", got, tab.URL())
		}
		if w.Width != 0 { // a narrow one
			tab.ClickText("Menu")
		}
		if status := tab.FollowText("Sign out"); status != 200 || tab.Text("h1") != "Sign in to the console" {
			t.Errorf("after the logout: %d at %s", status, tab.URL())
		}
	}
}

// TestProof: a user without a password proves by the provider who they are, in another
// tab, and the form in the first one is carried out with all that was typed.
func TestProof(t *testing.T) {
	s := start(t, "")
	s.startProvider()
	b := browser.Start(t)
	asking, proving := b.Tab(t, browser.Window{}), b.Tab(t, browser.Window{NoScript: true})
	asking.Open(s.console + "/keys/new")
	s.signIn(asking, "boss")
	s.consent(asking, "/keys/new")
	ask := func(tab *browser.Tab, name string) {
		t.Helper()
		tab.Open(s.console + "/keys/new")
		tab.Fill("#name", name)
		tab.Fill("#key-user", "carol")
		tab.Choose("#expires", "90d")
		if status := tab.Follow(`form.panel button.primary`); status != 403 || tab.Text("h1") != "Confirm that it is you" {
			t.Fatalf("%d %s", status, tab.Source())
		}
	}
	ask(asking, `nightly "1"`)
	asking.WantAccessible("the question")
	if status := asking.FollowText("Continue"); status != 403 || !asking.Has(".note.danger") {
		t.Fatalf("without the proof: %d %s", status, asking.Source())
	}

	// The button opens a tab of its own, which this one stands for.
	ask(proving, "another")
	browser.Evaluate[any](proving, `document.getElementById("proof").removeAttribute("target"); null`)
	s.signIn(proving, "boss") // again: the provider is asked to
	proving.Arrive(s.console+"/login/callback", "h1")
	if got := proving.Text("h1"); got != "You have confirmed that it is you" {
		t.Fatalf("%q at %s: %s", got, proving.URL(), proving.Source())
	}
	proving.WantAccessible("the proof")
	if status := asking.FollowText("Continue"); status != 200 || !asking.Has("[data-secret]") {
		t.Fatalf("with the proof: %d %s", status, asking.Source())
	}
	asking.Open(s.console + "/keys?q=nightly")
	if !asking.Has(`a[href^="/keys/k_"]`) {
		t.Errorf("no key: %s", asking.Source())
	}
}

// TestUnreachable: a provider that does not run keeps no console from starting, and the
// page says so.
func TestUnreachable(t *testing.T) {
	s := start(t, "")
	tab := browser.Start(t).Tab(t, browser.Window{})
	tab.Open(s.console + "/login?next=/account")
	if status := tab.FollowText("Sign in with Acme"); status != 503 || !tab.Has("#password") {
		t.Fatalf("%d %s", status, tab.Source())
	}
	if got := tab.Text(".note.danger"); got != "Acme cannot be reached. Try again in a moment, or sign in with a password." {
		t.Error(got)
	}
	tab.WantAccessible("the page")
	s.startProvider()
	eventually.Succeeds(t, func() error { // Keyward does not ask again for two seconds
		if status := tab.FollowText("Sign in with Acme"); status != 200 {
			return fmt.Errorf("the button: %d", status)
		}
		return nil
	})
	s.atProvider(tab, "carol")
	s.consent(tab, "/account")
	if got := tab.Text("h1"); got != "Account" {
		t.Errorf("%q at %s: %s", got, tab.URL(), tab.Source())
	}
}
