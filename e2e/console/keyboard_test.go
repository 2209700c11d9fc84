package console

import (
	"testing"

	"keyward/internal/browser"

	"github.com/chromedp/chromedp/kb"
)

// TestKeyboard: a user logs in, makes a key, and revokes it without a mouse, and sees at each
// step where the focus is.
func TestKeyboard(t *testing.T) {
	s := newSite(t, "generic", "kw_", "", []string{"alice"})
	tab := s.tab(browser.Start(t), browser.Window{})
	to := func(text string) {
		t.Helper()
		tab.TabTo(text, 60)
		if visible := browser.Evaluate[bool](tab.Tab, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none"; })()`); !visible {
			t.Errorf("the focus on %q is not visible", text)
		}
	}
	tab.open("/login")
	to("username")
	tab.Press("alice")
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
