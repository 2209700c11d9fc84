package console

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/internal/browser"
)

// TestSecretIsShownOnce: neither Reload nor Back nor Forward shows the secret of a new key
// again, or makes another key, and the browser keeps it nowhere.
func TestSecretIsShownOnce(t *testing.T) {
	s := genericSite(t)
	s.user("once")
	b := browser.Start(t)
	tab := &tab{b.Tab(t, browser.Window{}), s} // with the profile that is searched
	tab.signIn("once")
	tab.open("/me/keys/new")
	tab.Fill("#name", "once")
	tab.FollowText("Generate")
	secret, _ := tab.secret()
	absent := func(when string) {
		t.Helper()
		if strings.Contains(tab.Source(), secret) {
			t.Errorf("%s: the page has the secret", when)
		}
		for _, entry := range tab.History() {
			if strings.Contains(entry, secret) {
				t.Errorf("%s: the history has the secret: %s", when, entry)
			}
		}
	}
	tab.Reload()
	absent("after Reload")
	tab.wants("already shown")
	tab.Back()
	absent("after Back")
	tab.Forward()
	absent("after Forward")
	tab.open("/me/keys")
	absent("in the list")
	if keys := browser.Evaluate[int](tab.Tab, `document.querySelectorAll("tbody tr").length`); keys != 1 {
		t.Errorf("%d keys were made", keys)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	searched := 0
	err := filepath.WalkDir(b.Profile(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if searched++; bytes.Contains(text, []byte(secret)) {
			t.Errorf("the browser keeps the secret in %s", path)
		}
		return err
	})
	if err != nil || searched == 0 {
		t.Errorf("%d files of the profile, %v", searched, err)
	}
}

// waitsFor waits until an expression is true in the page.
func (tab *tab) waitsFor(expression string) {
	tab.site.t.Helper()
	browser.Evaluate[bool](tab.Tab, `new Promise(done => { const poll = setInterval(() => { if (`+expression+`) { clearInterval(poll); done(true); } }, 20); })`)
}

// TestTwoEditors: of two administrators who edit one key, the second sees that it was changed,
// and what it typed is kept.
func TestTwoEditors(t *testing.T) {
	s := genericSite(t)
	id := s.run("", "key", "create", "--name", "edited", "--user", "root", "--json")
	id = id[strings.Index(id, "k_"):][:14]
	b := chromium(t)
	first, second := s.tab(b, browser.Window{}), s.tab(b, browser.Window{})
	for _, tab := range []*tab{first, second} {
		tab.signIn("root")
		tab.open("/keys/" + id + "/edit")
	}
	first.Fill("#name", "by the first")
	first.Follow(".submit .primary")
	first.wants("by the first", "The changes were saved.")
	second.Fill("#owner", "typed by the second")
	second.Follow(".submit .primary")
	second.wants("This key has changed since you opened it", "Nothing was saved.", "by the first")
	if got := second.Value("#owner"); got != "typed by the second" {
		t.Errorf("what was typed is %q", got)
	}
	first.Reload()
	if strings.Contains(first.Source(), "typed by the second") {
		t.Error("the second change was made")
	}
	second.Follow(".submit .primary")
	second.wants("typed by the second", "The changes were saved.")
}
