package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keyward/internal/browser"
	"keyward/manage/session"
)

// TestStolenCookie: the cookie of a session that was ended by its user opens nothing.
func TestStolenCookie(t *testing.T) {
	s := genericSite(t)
	s.user("stolen")
	tab := s.tab(chromium(t), browser.Window{})
	tab.signIn("stolen")
	tab.open("/account")
	cookie := tab.Cookie(session.CookieName)
	if cookie == "" {
		t.Fatal("the browser has no cookie")
	}
	account := func() int {
		r, err := http.NewRequest(http.MethodGet, s.console+"/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", session.CookieName+"="+cookie)
		got, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		return got.StatusCode
	}
	if got := account(); got != http.StatusOK {
		t.Fatalf("before the logout: %d", got)
	}
	tab.FollowText("Sign out")
	if got := account(); got != http.StatusSeeOther {
		t.Errorf("after the logout: %d", got)
	}
	if left := tab.Cookie(session.CookieName); left != "" {
		t.Error("the browser keeps the cookie")
	}
	tab.Back()
	if strings.Contains(tab.Source(), "Change password") {
		t.Error("Back shows a page of the session")
	}
}

// TestOtherSite: a page of another site cannot send a form with the user's session, nor show
// the console in a frame. The browser counts another port of the host as the same site, so the
// cookie is sent: the origin alone is in the way.
func TestOtherSite(t *testing.T) {
	s := genericSite(t)
	s.user("other-site")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/frame" {
			fmt.Fprintf(w, `<title>other</title><iframe src="%s/login" width="600" height="600"></iframe>`, s.console)
			return
		}
		fmt.Fprintf(w, `<title>other</title><form method="post" action="%s/me/keys"><input name="name" value="forged"><input name="idempotency_key" value="forged"><button>Win a prize</button></form>`, s.console)
	}))
	defer other.Close()
	tab := s.tab(chromium(t), browser.Window{})
	tab.signIn("other-site")
	tab.Open(other.URL + "/form")
	if status := tab.FollowText("Win a prize"); status != http.StatusForbidden {
		t.Errorf("a form of another site: %d", status)
	}
	tab.open("/me/keys")
	if strings.Contains(tab.Source(), "forged") {
		t.Error("a key was made by another site")
	}
	tab.Problems()
	tab.Open(other.URL + "/frame")
	tab.waitsFor("document.readyState === 'complete'")
	refused := false
	for _, problem := range tab.Problems() {
		refused = refused || strings.Contains(problem, "frame-ancestors")
	}
	if !refused {
		t.Error("the console is shown in a frame")
	}
}

// TestRedirectAfterLogin: the login leads to pages of the console alone.
func TestRedirectAfterLogin(t *testing.T) {
	s := genericSite(t)
	s.user("redirected")
	b := chromium(t)
	for next, want := range map[string]string{
		"/account": "/account", "https://evil.example/": "/me/keys", "//evil.example/": "/me/keys", `/\evil.example`: "/me/keys", "javascript:alert(1)": "/me/keys",
	} {
		tab := s.tab(b, browser.Window{})
		tab.Open(s.console + "/login?next=" + strings.NewReplacer(":", "%3A", "/", "%2F", `\`, "%5C").Replace(next))
		tab.Fill("#username", "redirected")
		tab.Fill("#password", password)
		tab.FollowText("Sign in")
		if got := tab.URL(); got != s.console+want {
			t.Errorf("%s: %s", next, got)
		}
		if found := tab.Problems(); len(found) > 0 {
			t.Errorf("%s: the browser reports %q", next, found)
		}
	}
}
