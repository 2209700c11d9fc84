package protocol_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyward/manage/oauth/protocol"
)

// TestOptionalParameters: what OpenID Connect Core section 3.1.2.1 lets a client ask for, and
// section 15.1 wants no error of, gets an ID token; what is not known is ignored.
func TestOptionalParameters(t *testing.T) {
	f := newIssuer(t)
	f.browser("alice").allow(f.web, "scope", "openid")
	for what, more := range map[string][]string{
		"no nonce": {"nonce", ""}, "display": {"display", "page"}, "another display": {"display", "popup"}, "an unknown parameter": {"extra", "foobar"}, "a hint": {"login_hint", "bob"},
		"languages": {"ui_locales", "se"}, "languages of claims": {"claims_locales", "se"}, "levels": {"acr_values", "1 2"}, "other scopes": {"scope", "openid email profile address phone"},
		"another order of scopes": {"scope", "email openid"}, "claims": {"claims", `{"userinfo":{"name":{"essential":true}}}`}, "offline access": {"scope", "openid offline_access"},
		"no PKCE": {"code_challenge", "", "code_challenge_method", ""},
	} {
		b := f.browser("alice")
		got := b.allow(f.web, append([]string{"scope", "openid", "nonce", "n"}, more...)...)
		if got.Get("code") == "" || got.Get("state") != "a state" {
			t.Errorf("%s: %v", what, got)
			continue
		}
		verifier := codeKey
		if what == "no PKCE" {
			verifier = ""
		}
		a := f.exchange(f.web, got.Get("code"), "code_verifier", verifier)
		access, _ := f.tokensOf(what, a)
		_, claims := f.parts(a.member("id_token"))
		if nonce, _ := claims["nonce"].(string); claims["sub"] != "alice" || (nonce == "n") != (what != "no nonce") {
			t.Errorf("%s: %v", what, claims)
		}
		hr := httptest.NewRequestWithContext(t.Context(), http.MethodGet, protocol.UserInfoPath, http.NoBody)
		hr.Header.Set("Authorization", "Bearer "+access)
		if info := f.serve(hr); info.member("sub") != claims["sub"] {
			t.Errorf("%s: userinfo: %s", what, info.text)
		}
	}
	page := f.browser("alice").get(request(f.web, "login_hint", "bob"))
	f.isPage("a hint", page, 200, `value="bob"`)
}

// TestMaxAge: a login that is older than max_age is asked for again, and the ID token says when
// the user logged in.
func TestMaxAge(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	authTime := func(more ...string) float64 {
		t.Helper()
		_, claims := f.parts(f.exchange(f.web, b.allow(f.web, append([]string{"scope", "openid"}, more...)...).Get("code")).member("id_token"))
		at, _ := claims["auth_time"].(float64)
		return at
	}
	first := authTime()
	if again := authTime("max_age", "10000"); again != first || first == 0 {
		t.Errorf("max_age=10000: auth_time %v, then %v", first, again)
	}
	before := b.cookies["__Host-keyward-issuer"]
	time.Sleep(1100 * time.Millisecond) // the pages' clock is the machine's
	if again := authTime("max_age", "1"); again <= first || b.cookies["__Host-keyward-issuer"] == before {
		t.Errorf("max_age=1: auth_time %v, then %v", first, again)
	}
}

// TestRequestByForm: an authorization request may be sent as a form.
func TestRequestByForm(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	form, err := url.ParseQuery(strings.TrimPrefix(request(f.web, "scope", "openid"), protocol.AuthorizePath+"?"))
	f.fatal(err)
	sent := b.send(protocol.AuthorizePath, form, "Sec-Fetch-Site", "cross-site", "Origin", "https://shop.example.com")
	if got := b.through(b.get(sent.Header.Get("Location")), "allow"); got.Get("code") == "" {
		t.Errorf("%v", got)
	}
}

// TestUserInfoByBody: a token in the body of a request to the userinfo endpoint is not read (RFC
// 6750 section 2.2 leaves that open).
func TestUserInfoByBody(t *testing.T) {
	f := newIssuer(t)
	access, _ := f.tokensOf("openid", f.exchange(f.web, f.code(f.web, "scope", "openid")))
	if a := f.post(protocol.UserInfoPath, url.Values{"access_token": {access}}); a.StatusCode != 401 || a.member("sub") != "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// TestRequestObjects: a request object is not read: not for a redirect URI either.
func TestRequestObjects(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	const object = "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL3Nob3AuZXhhbXBsZS5jb20vY2IifQ."
	if got := b.through(b.get(request(f.web, "request", object)), "allow"); got.Get("error") != "request_not_supported" {
		t.Errorf("%v", got)
	}
	f.isPage("a redirect URI in it", b.get(request(f.web, "request", object, "redirect_uri", "https://evil.example/cb")), 400, "not registered")
	f.isPage("by reference", b.get(request(f.web, "request_uri", "https://shop.example.com/object")), 400, "")
}

var (
	planRow   = regexp.MustCompile("(?m)^\\| `(oidcc-[a-z0-9-]+)` \\|[^|]*\\|([^|]*)\\|$")
	planTest  = regexp.MustCompile("`([a-z/]+)` (Test[A-Za-z0-9]+)")
	testNamed = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// TestPlanIsCovered: docs/oidc-basic.md names tests that exist, for each module of the plan.
func TestPlanIsCovered(t *testing.T) {
	const root = "../../../"
	text, err := os.ReadFile(root + "docs/oidc-basic.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	exists := func(dir, name string) bool {
		if !tests[dir] {
			files, _ := filepath.Glob(root + dir + "/*_test.go")
			for _, file := range files {
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, found := range testNamed.FindAllSubmatch(source, -1) {
					tests[dir+" "+string(found[1])] = true
				}
			}
			tests[dir] = true
		}
		return tests[dir+" "+name]
	}
	rows := planRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) != 38 {
		t.Errorf("%d modules, the plan has 38", len(rows))
	}
	for _, row := range rows {
		named := planTest.FindAllStringSubmatch(row[2], -1)
		if len(named) == 0 {
			t.Errorf("%s names no test", row[1])
		}
		for _, test := range named {
			if !exists(test[1], test[2]) {
				t.Errorf("%s: there is no %s in %s", row[1], test[2], test[1])
			}
		}
	}
}
