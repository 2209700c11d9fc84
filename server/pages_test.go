package server_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	pages "keyward/manage/console"
	"keyward/manage/console/page"
	"keyward/manage/session"
	"keyward/manage/state"
)

const (
	formType     = "application/x-www-form-urlencoded"
	testPassword = "correct horse battery"
)

// answer is a page.
type answer struct {
	status   int
	header   http.Header
	body     string
	location string // of a redirect
}

// page sends a request of a browser: with the session's cookie, unless it is empty, and,
// for a form, from a page of the console. A header that is given replaces those.
func (c *console) page(cookie authz.Secret, method, path string, form url.Values, header ...string) answer {
	c.t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if method != http.MethodGet {
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if !cookie.Empty() {
		r.Header.Set("Cookie", session.CookieName+"="+cookie.Reveal())
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	got, err := c.client.Transport.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text), got.Header.Get("Location")}
}

// cookieOf is the cookie that an answer gives.
func (a answer) cookie() authz.Secret {
	r := http.Response{Header: a.header}
	for _, c := range r.Cookies() {
		if c.Name == session.CookieName {
			return authz.NewSecret(c.Value)
		}
	}
	return authz.Secret{}
}

// user makes a user with a password.
func (c *console) user(name string, more string) {
	c.t.Helper()
	c.must("POST", "/users", `{"name": "`+name+`", "password": "`+testPassword+`"`+more+`}`)
}

// signIn logs the user in by the page.
func (c *console) signIn(name string) authz.Secret {
	c.t.Helper()
	got := c.page(authz.Secret{}, "POST", "/login", url.Values{"username": {name}, "password": {testPassword}})
	if got.status != 303 || got.cookie().Empty() {
		c.t.Fatalf("login of %s: %d %s", name, got.status, got.body)
	}
	return got.cookie()
}

// TestLoginPage: who comes in by the page, and where it leads.
func TestLoginPage(t *testing.T) {
	c := startConsole(t)
	c.user("alice", "")
	c.user("off", `, "disabled": true`)
	none := authz.Secret{}
	for _, test := range []struct {
		what, user, password string
		status               int
	}{
		{"the right password", "alice", testPassword, 303},
		{"a wrong password", "alice", "wrong horse battery", 422},
		{"no password", "alice", "", 422},
		{"another user", "bob", testPassword, 422},
		{"no user", "", testPassword, 422},
		{"a disabled user", "off", testPassword, 422},
		{"a user without a password", "root", testPassword, 422},
		{"a hostile name", `"><script>alert(1)</script>`, testPassword, 422},
	} {
		got := c.page(none, "POST", "/login", url.Values{"username": {test.user}, "password": {test.password}, "next": {"/account"}})
		if got.status != test.status || got.cookie().Empty() == (test.status == 303) {
			t.Errorf("%s: %d, cookie %t", test.what, got.status, !got.cookie().Empty())
		}
		if test.status == 303 {
			if got.location != "/account" {
				t.Errorf("%s: to %s", test.what, got.location)
			}
			continue
		}
		if !strings.Contains(got.body, "Username or password incorrect.") || test.user == "alice" && !strings.Contains(got.body, `value="alice"`) {
			t.Errorf("%s: %s", test.what, got.body)
		}
		if strings.Contains(got.body, "<script>alert") || test.password != "" && strings.Contains(got.body, test.password) {
			t.Errorf("%s: the page repeats what it must not: %s", test.what, got.body)
		}
	}
}

// TestNextIsLocal: no text leads from the login to another site (CWE-601).
func TestNextIsLocal(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/keys": "/keys", "/keys?state=active&q=a%26b": "/keys?state=active&q=a%26b", "/keys/k_1#rotate": "/keys/k_1#rotate",
		"https://evil.example": "/", "//evil.example": "/", "///evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/", "/%5cevil.example": "/", "/%2fevil.example": "/",
		"javascript:alert(1)": "/", "evil.example": "/", "/\tevil": "/", "/ /evil": "/", "/\r\nLocation: x": "/", "http:/keys": "/", "//": "/", "/%09/evil.example": "/%09/evil.example",
	} {
		if got := page.LocalPath(next, "/"); got != want {
			t.Errorf("%q: %q, want %q", next, got, want)
		}
	}
}

// TestSessionOfLogin: a login gives another cookie than the browser came with, whose
// session ends, and a logout ends the session for good.
func TestSessionOfLogin(t *testing.T) {
	c := startConsole(t)
	c.user("alice", "")
	first := c.signIn("alice")
	got := c.page(first, "POST", "/login", url.Values{"username": {"alice"}, "password": {testPassword}})
	second := got.cookie()
	if second.Empty() || second == first {
		t.Fatal("the cookie stays")
	}
	attributes := got.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(attributes, want) {
			t.Errorf("the cookie lacks %s: %s", want, attributes)
		}
	}
	if got := c.page(first, "GET", "/account", nil); got.status != 303 || got.location != "/login?next=%2Faccount" {
		t.Errorf("the cookie from before the login: %d %s", got.status, got.location)
	}
	if got := c.page(second, "GET", "/account", nil); got.status != 200 || !strings.Contains(got.body, "alice") {
		t.Errorf("the session: %d", got.status)
	}
	if got := c.page(second, "POST", "/logout", url.Values{}); got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %v", got.status, got.header)
	}
	if got := c.page(second, "GET", "/account", nil); got.status != 303 {
		t.Errorf("a cookie after the logout: %d", got.status)
	}
}

// TestPasswordMustChange: a user whose password an administrator chose comes no further
// than to the page that replaces it.
func TestPasswordMustChange(t *testing.T) {
	c := startConsole(t)
	c.user("new", `, "must_change": true, "scopes": ["keyward:admin"]`)
	cookie := c.signIn("new")
	for _, route := range pages.New(page.Config{}).Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if route.Public || route.Always {
			continue
		}
		got := c.page(cookie, method, strings.NewReplacer("{id}", "k_000000000000", "{$}", "").Replace(path), url.Values{})
		if got.status != 303 || got.location != "/account/password" {
			t.Errorf("%s: %d %s", route.Pattern, got.status, got.location)
		}
	}
	if got := c.page(cookie, "GET", "/account/password", nil); got.status != 200 || !strings.Contains(got.body, "Choose a new password") {
		t.Fatalf("the page: %d %s", got.status, got.body)
	}
	if got := c.page(cookie, "POST", "/account/password", url.Values{"current": {"another password"}, "new": {"staple battery horse"}}); got.status != 422 || !strings.Contains(got.body, "Error: Choose") {
		t.Errorf("with another password: %d", got.status)
	}
	changed := c.page(cookie, "POST", "/account/password", url.Values{"current": {testPassword}, "new": {"staple battery horse"}})
	if changed.status != 303 || changed.cookie().Empty() {
		t.Fatalf("the change: %d %s", changed.status, changed.body)
	}
	if got := c.page(changed.cookie(), "GET", "/account?done=password", nil); got.status != 200 || !strings.Contains(got.body, "Your password was changed") {
		t.Errorf("after the change: %d", got.status)
	}
	if got := c.page(cookie, "GET", "/account", nil); got.status != 303 {
		t.Errorf("the session before the change: %d", got.status)
	}
}

// TestLinkPages: a link is a page in a browser, and works once.
func TestLinkPages(t *testing.T) {
	c := startConsoleWith(t, "console: {public_url: "+publicURL+"}\n")
	c.must("POST", "/users", `{"name": "alice"}`)
	link := c.must("POST", "/users/alice/password", `{"link": true}`).body["link"].(string)
	path := strings.TrimPrefix(link, publicURL)
	none := authz.Secret{}
	if got := c.page(none, "GET", path, nil); got.status != 200 || !strings.Contains(got.body, "<b>alice</b>") {
		t.Fatalf("the page: %d %s", got.status, got.body)
	}
	if got := c.page(none, "POST", path, url.Values{"password": {"short"}}); got.status != 422 || !strings.Contains(got.body, `href="#password"`) {
		t.Errorf("a short password: %d %s", got.status, got.body)
	}
	if got := c.page(none, "POST", path, url.Values{"password": {testPassword}}, "Sec-Fetch-Site", "cross-site"); got.status != 403 {
		t.Errorf("from another site: %d", got.status)
	}
	if got := c.page(none, "POST", path, url.Values{"password": {testPassword}}); got.status != 303 || got.location != "/login?done=set" {
		t.Fatalf("the password: %d %s", got.status, got.location)
	}
	if got := c.page(none, "GET", path, nil); got.status != 404 || strings.Contains(got.body, path) {
		t.Errorf("the link again: %d", got.status)
	}
	c.signIn("alice")
}

// TestSetupPage: a link makes the first administrator, who is signed in by it.
func TestSetupPage(t *testing.T) {
	c := &console{}
	c.open(t, consoleConfig+"console: {public_url: "+publicURL+"}\n", func(*running) {})
	token, _, err := c.state().Codes.Issue(t.Context(), 0, state.PurposeSetup, "", "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	path := "/setup/" + token.Reveal()
	none := authz.Secret{}
	if got := c.page(none, "GET", path, nil); got.status != 200 || !strings.Contains(got.body, "Set up the first administrator") {
		t.Fatalf("the page: %d %s", got.status, got.body)
	}
	if got := c.page(none, "POST", path, url.Values{"username": {"k_123456789012"}, "password": {"short"}}); got.status != 422 || !strings.Contains(got.body, `href="#username"`) || !strings.Contains(got.body, `href="#password"`) {
		t.Errorf("a name and a password that cannot be: %d %s", got.status, got.body)
	}
	got := c.page(none, "POST", path, url.Values{"username": {"root"}, "password": {testPassword}})
	if got.status != 303 || got.cookie().Empty() {
		t.Fatalf("the administrator: %d %s", got.status, got.body)
	}
	if got := c.page(got.cookie(), "GET", "/account", nil); got.status != 200 || !strings.Contains(got.body, "keyward:admin") {
		t.Errorf("the administrator's account: %d", got.status)
	}
	if got := c.page(none, "GET", path, nil); got.status != 404 {
		t.Errorf("the link again: %d", got.status)
	}
}
