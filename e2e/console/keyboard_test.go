package console

import (
	"fmt"
	"testing"

	"keyward/internal/browser"
	"keyward/internal/eventually"

	"github.com/chromedp/chromedp/kb"
)

// TestKeyboard: a user logs in, makes a key, and revokes it without a mouse, and sees at each
// step where the focus is.
func TestKeyboard(t *testing.T) {
	s := genericSite(t)
	s.user("tabbing")
	tab := s.tab(chromium(t), browser.Window{})
	to := func(text string) {
		t.Helper()
		tab.TabTo(text, 60)
		if visible := browser.Evaluate[bool](tab.Tab, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none"; })()`); !visible {
			t.Errorf("the focus on %q is not visible", text)
		}
	}
	tab.open("/login")
	to("username")
	tab.Press("tabbing")
	to("password")
	tab.Press(password)
	tab.PressToFollow(kb.Enter)
	to("Skip to content")
	to("Generate New API Key")
	tab.PressToFollow(kb.Enter)
	to("name")
	tab.Press("by keyboard")
	to("Generate")
	tab.PressToFollow(kb.Enter)
	tab.wants("Key created", "by keyboard")
	_, try := tab.secret()
	to("Copy key")
	to("I have stored it")
	s.wantStatus("the new key", try, "200")
	tab.PressToFollow(kb.Enter)
	to("Revoke…")
	tab.PressToFollow(kb.Enter)
	to("Revoke key")
	tab.PressToFollow(kb.Enter)
	tab.wants("It was revoked.")
	s.wantStatus("the revoked key", try, "401")
}

// TestSearchWhileTyping: the form of a key finds a user among many while the name is typed.
func TestSearchWhileTyping(t *testing.T) {
	s := genericSite(t)
	admin := s.run("", "key", "create", "--name", "of the search", "--user", "root", "--scope", "keyward:admin")
	s.call(admin, "POST", "/users", map[string]any{"name": "an-old-hand"})
	for i := range 20 {
		s.call(admin, "POST", "/users", map[string]any{"name": fmt.Sprint("newer-", i)})
	}
	tab := s.tab(chromium(t), browser.Window{})
	tab.signIn("root")
	tab.open("/keys/new")
	const oldHand = `#users option[value="an-old-hand"]`
	if offered := browser.Evaluate[int](tab.Tab, `document.querySelectorAll("#users option").length`); offered != 20 || tab.Has(oldHand) {
		t.Fatalf("%d users are offered: %s", offered, tab.Source())
	}
	tab.TabTo("user", 60)
	tab.Press("old-h")
	eventually.Succeeds(t, func() error {
		if !tab.Has(oldHand) {
			return fmt.Errorf("offered: %s", browser.Evaluate[string](tab.Tab, `[...document.querySelectorAll("#users option")].map(o => o.value).join()`))
		}
		return nil
	})
	if found := tab.Problems(); len(found) > 0 {
		t.Errorf("the browser reports %q", found)
	}
}
