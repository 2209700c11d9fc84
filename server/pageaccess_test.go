package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/manage/access"
	pages "keyward/manage/console"
	"keyward/manage/console/page"
)

// pathOf is a path that matches the pattern of a route, about records that are not there.
func pathOf(route *page.Route) (method, path string) {
	method, path, _ = strings.Cut(route.Pattern, " ")
	return method, strings.NewReplacer("{id}", "k_000000000000", "{name}", "absent", "{code}", "kwt_x", "{$}", "").Replace(path)
}

// TestEveryPageForEveryRole asks for every page as every kind of caller (CWE-425): those
// without a session come to the login, and a user without one of the roles that a page
// needs is refused.
func TestEveryPageForEveryRole(t *testing.T) {
	c := startConsole(t)
	sessions := map[string]authz.Secret{"": {}}
	for name, scopes := range map[string]string{
		"plain": "", "reader": `"keyward:read"`, "keeper": `"keyward:keys"`, "hr": `"keyward:users"`, "admin": `"keyward:admin"`,
	} {
		c.must("POST", "/users", `{"name": "`+name+`", "scopes": [`+scopes+`]}`)
		sessions[name] = c.login(name)
	}
	roles := map[string][]string{"plain": {"keyward:self"}, "reader": {"keyward:read"}, "keeper": {"keyward:keys"}, "hr": {"keyward:users"}, "admin": {"keyward:read", "keyward:keys", "keyward:users", "keyward:self"}}
	asked := 0
	for _, route := range pages.New(page.Config{}).Routes() {
		method, path := pathOf(&route)
		for name, cookie := range sessions {
			if method == http.MethodPost && (path == "/logout" || strings.HasPrefix(path, "/account")) {
				continue // ends the session
			}
			asked++
			got := c.page(cookie, method, path, url.Values{})
			needed := neededScopes(route.Needs)
			allowed := name != "" && (len(needed) == 0 || intersects(needed, roles[name]) || name == "admin")
			switch {
			case route.Public:
				if got.status == 500 {
					t.Errorf("%s as %q: %d", route.Pattern, name, got.status)
				}
			case name == "":
				if got.status != 303 || !strings.HasPrefix(got.location, "/login") {
					t.Errorf("%s without a session: %d %s", route.Pattern, got.status, got.location)
				}
			case !allowed && (got.status != 403 || !strings.Contains(got.body, "You do not have access to this page")):
				t.Errorf("%s as %s: %d", route.Pattern, name, got.status)
			case allowed && (got.status == 403 || got.status >= 500 || strings.HasPrefix(got.location, "/login")):
				t.Errorf("%s as %s: %d %s", route.Pattern, name, got.status, got.body)
			}
		}
	}
	if asked < 40 {
		t.Errorf("asked only %d times", asked)
	}
}

func intersects(a, b []string) bool {
	for _, one := range a {
		for _, other := range b {
			if one == other {
				return true
			}
		}
	}
	return false
}

// TestEveryFormNeedsOrigin: no form is accepted that does not come from the console's own
// pages (CWE-352), as the browser says it.
func TestEveryFormNeedsOrigin(t *testing.T) {
	c := startConsoleWith(t, "console: {public_url: "+publicURL+"}\n")
	root := c.login("root")
	forms := 0
	for _, route := range pages.New(page.Config{}).Routes() {
		method, path := pathOf(&route)
		if method == http.MethodGet {
			continue
		}
		forms++
		for what, header := range map[string][]string{
			"nothing": {"Sec-Fetch-Site", "", "Origin", ""}, "another site": {"Sec-Fetch-Site", "cross-site"}, "the same site": {"Sec-Fetch-Site", "same-site"},
			"the address bar": {"Sec-Fetch-Site", "none"}, "another origin": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		} {
			got := c.page(root, method, path, url.Values{}, header...)
			if got.status != 403 || !strings.Contains(got.body, "did not come from this console") {
				t.Errorf("%s from %s: %d", route.Pattern, what, got.status)
			}
		}
	}
	if forms < 4 {
		t.Errorf("only %d forms", forms)
	}
	if got := c.page(root, "GET", "/account", nil); got.status != 200 {
		t.Errorf("the session ended: %d", got.status)
	}
}

// TestHeadersOfPages: every answer forbids frames, inline scripts and keeping it; the two
// static files are kept for good.
func TestHeadersOfPages(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"Referrer-Policy":         "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	}
	var page string
	for _, path := range []string{"/login", "/account", "/", "/no/such/page", "/setup/x"} {
		for _, cookie := range []authz.Secret{{}, root} {
			got := c.page(cookie, "GET", path, nil)
			for name, value := range want {
				if got.header.Get(name) != value {
					t.Errorf("%s %d: %s is %q", path, got.status, name, got.header.Get(name))
				}
			}
			if got.status == 200 {
				page = got.body
			}
		}
	}
	for _, mark := range []string{`<link rel="stylesheet" href="`, `<script src="`} {
		_, rest, _ := strings.Cut(page, mark)
		path, _, _ := strings.Cut(rest, `"`)
		got := c.page(authz.Secret{}, "GET", path, nil)
		if got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || got.header.Get("ETag") == "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if again := c.page(authz.Secret{}, "GET", path, nil, "If-None-Match", got.header.Get("ETag")); again.status != 304 {
			t.Errorf("%s again: %d", path, again.status)
		}
		if other := c.page(authz.Secret{}, "GET", strings.Replace(path, ".", ".0", 1), nil); other.status == 200 {
			t.Errorf("%s with another hash: %d", path, other.status)
		}
	}
	if strings.Contains(page, " style=") || strings.Contains(page, " onclick=") || strings.Contains(page, "<style") {
		t.Error("a page has something inline")
	}
}

// TestPagesRefuse: what is not answered by a page, and how.
func TestPagesRefuse(t *testing.T) {
	c := startConsole(t)
	c.user("alice", "")
	alice := c.signIn("alice")
	key := c.must("POST", "/keys", `{"name": "x", "user": "alice"}`).body["key"].(string)
	for _, test := range []struct {
		what, method, path string
		cookie             authz.Secret
		form               url.Values
		header             []string
		status             int
		text               string
	}{
		{"another host", "GET", "/account", alice, nil, []string{"Host", "evil.example"}, 421, "not the address of the console"},
		{"a file by another host", "GET", "/static/x", alice, nil, []string{"Host", "evil.example"}, 421, ""},
		{"no page", "GET", "/no/such/page", alice, nil, nil, 404, "Page not found"},
		{"no page, without a session", "GET", "/no/such/page", authz.Secret{}, nil, nil, 404, "Page not found"},
		{"another method", "PUT", "/account", alice, nil, nil, 405, "where a form is sent to"},
		{"where a form is sent to", "GET", "/logout", alice, nil, nil, 405, "where a form is sent to"},
		{"a query that cannot be read", "GET", "/account?a=%zz", alice, nil, nil, 400, "cannot be read"},
		{"beside a key", "GET", "/account", alice, nil, []string{"Authorization", "Bearer " + key}, 401, "not signed in"},
		{"a key alone", "GET", "/account", authz.Secret{}, nil, []string{"Authorization", "Bearer " + key}, 403, "Pages need a session"},
		{"JSON", "POST", "/account/password", alice, nil, []string{"Content-Type", "application/json"}, 415, "cannot be read"},
		{"a file", "POST", "/account/password", alice, nil, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "cannot be read"},
		{"a form that is too large", "POST", "/account/password", alice, url.Values{"new": {strings.Repeat("x", 65<<10)}}, nil, 413, "too large"},
		{"a session of no user", "POST", "/account/sessions/end", alice, url.Values{"session": {"s_0"}}, nil, 404, "Page not found"},
	} {
		got := c.page(test.cookie, test.method, test.path, test.form, test.header...)
		if got.status != test.status || !strings.Contains(got.body, test.text) || strings.Count(got.body, "</html>") != 1 {
			t.Errorf("%s: %d, want %d %q: %s", test.what, got.status, test.status, test.text, got.body)
		}
		if test.status != 421 && !strings.Contains(got.body, "request <code>") {
			t.Errorf("%s: no id of the request: %s", test.what, got.body)
		}
	}
}

// neededScopes are those of which a route needs one.
func neededScopes(needs access.Roles) []string {
	if needs == 0 {
		return nil
	}
	return access.Scopes(needs)
}
