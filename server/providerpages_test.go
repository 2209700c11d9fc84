package server_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/internal/openidprovider"
	"keyward/internal/records"
	"keyward/manage/session"
	"keyward/store"
)

// loginConsole is a console with an OpenID provider.
type loginConsole struct {
	*console
	idp *openidprovider.Provider
}

// startLogins starts one. oidc and console are more of these sections, and more is more of
// the configuration.
func startLogins(t *testing.T, oidc, console, more string) *loginConsole {
	t.Helper()
	c := newLogins(t)
	c.start(c.idp.URL, oidc, console, more)
	return c
}

func newLogins(t *testing.T) *loginConsole {
	c := &loginConsole{&console{}, openidprovider.New(t, time.Now)}
	c.as("alice")
	return c
}

func (c *loginConsole) start(issuer, oidc, console, more string) {
	c.idp.Helper()
	if !strings.Contains(oidc, "user_claim") {
		oidc += ", user_claim: preferred_username"
	}
	text := consoleConfig + more + `console: {public_url: "` + publicURL + `"` + console + `, oidc: {issuer: "` + issuer + `", name: <Acme>, client_id: ` + openidprovider.ClientID +
		`, client_secret_file: DIR/idp-secret` + oidc + "}}\n"
	c.open(c.idp.T, text, func(r *running) {
		r.write("idp-secret", openidprovider.ClientSecret+"\n")
		if _, err := r.users().Set(context.Background(), "root", store.AnyVersion, records.UserPatch{Scopes: &[]string{"keyward:admin"}}); err != nil {
			r.t.Fatal(err)
		}
		c.admin = r.create(store.KeyParams{User: "root", Scopes: &[]string{"keyward:admin"}})
	})
}

// as has the provider log in the person of that name, with more claims.
func (c *loginConsole) as(name string, claims ...any) {
	c.idp.Claims = func(all jwt.MapClaims) {
		all["sub"], all["preferred_username"] = "sub-"+name, name
		for i := 0; i < len(claims); i += 2 {
			all[claims[i].(string)] = claims[i+1]
		}
	}
}

var onwardPattern = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]+)">`)

// onward is where a page leads by itself; "" is nowhere. Its link leads there, too.
func (a answer) onward() string {
	found := onwardPattern.FindStringSubmatch(a.body)
	if found == nil || !strings.Contains(a.body, `href="`+found[1]+`"`) {
		return ""
	}
	return html.UnescapeString(found[1])
}

// cookieNamed is a cookie that an answer sets; nil is none.
func (a answer) cookieNamed(name string) *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// attempt is a login that has begun: the answer of the provider, and the browser's cookie.
type attempt struct {
	query  url.Values
	cookie string
}

// begin begins a login and has the person log in to the provider.
func (c *loginConsole) begin(next string) attempt {
	c.t.Helper()
	return c.atProvider(c.page(authz.Secret{}, "POST", "/login/provider", url.Values{"next": {next}}))
}

func (c *loginConsole) atProvider(sent answer) attempt {
	c.t.Helper()
	cookie := sent.cookieNamed(session.LoginCookieName)
	if sent.status != 200 || cookie == nil || sent.onward() == "" {
		c.t.Fatalf("a login begins: %d %s", sent.status, sent.main())
	}
	return attempt{c.idp.Authorize(sent.onward()), cookie.Value}
}

// finish has the browser come back, as browsers do from another site: without the cookie
// of a session.
func (c *loginConsole) finish(a attempt, header ...string) answer {
	c.t.Helper()
	all := []string{"Sec-Fetch-Site", "cross-site"}
	if a.cookie != "" {
		all = append(all, "Cookie", session.LoginCookieName+"="+a.cookie)
	}
	return c.page(authz.Secret{}, "GET", "/login/callback?"+a.query.Encode(), nil, append(all, header...)...)
}

// signedIn is the cookie of a login with the provider.
func (c *loginConsole) signedIn() authz.Secret {
	c.t.Helper()
	got := c.finish(c.begin("/"))
	if got.status != 200 || got.cookie().Empty() {
		c.t.Fatalf("a login: %d %s", got.status, got.main())
	}
	return got.cookie()
}

// TestLoginWithProvider: from the button to the session, which begins with a cookie of its
// own.
func TestLoginWithProvider(t *testing.T) {
	c := startLogins(t, `, create_users: true, roles_claim: groups, roles: {staff: ["keyward:read"]}`, "", "")
	login := c.page(authz.Secret{}, "GET", "/login?next=/account", nil)
	c.ok("the page", login, 200, `<form method="post" action="/login/provider" id="provider">`, `<button class="btn" form="provider">Sign in with &lt;Acme&gt;</button>`)
	begun := c.page(authz.Secret{}, "POST", "/login/provider", url.Values{"next": {"/account"}})
	c.ok("the way there", begun, 200, "Continue to &lt;Acme&gt;")
	if policy := begun.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self';") {
		t.Errorf("policy %s", policy)
	}
	if set := begun.header.Values("Set-Cookie"); len(set) != 1 || !strings.HasSuffix(set[0], "; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax") || !strings.HasPrefix(set[0], "__Host-keyward-login=") {
		t.Errorf("cookies %q", set)
	}
	asked, _ := url.Parse(begun.onward())
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(asked.Query().Get(name)) != 43 {
			t.Errorf("%s is %q", name, asked.Query().Get(name))
		}
	}
	if asked.Query().Has("max_age") {
		t.Error("each login asks for a proof")
	}

	a := c.atProvider(begun)
	got := c.finish(a)
	c.ok("the way back", got, 200, "You are signed in")
	if got.onward() != "/account" || !strings.Contains(got.header.Get("Content-Security-Policy"), "form-action 'self';") || got.location != "" {
		t.Errorf("it leads to %q", got.onward())
	}
	given, cleared := got.cookieNamed(session.CookieName), got.cookieNamed(session.LoginCookieName)
	if given == nil || given.SameSite != http.SameSiteStrictMode || cleared == nil || cleared.MaxAge >= 0 {
		t.Errorf("cookies %q", got.header.Values("Set-Cookie"))
	}
	account := c.page(got.cookie(), "GET", "/account", nil)
	c.ok("the session", account, 200, "alice", "<code>keyward:read</code>")
	if user := c.must("GET", "/users/alice", "").body; user["scopes"] != nil && len(user["scopes"].([]any)) != 0 {
		t.Errorf("the role is in the record: %v", user)
	}
	if again := c.finish(a); again.status != 403 || !again.cookie().Empty() {
		t.Errorf("the same answer again: %d", again.status)
	}
	// What a browser presents is not the session that begins, nor its user's.
	other := c.login("root")
	got = c.finish(c.begin("/"), "Cookie", session.LoginCookieName+"="+c.begin("/").cookie+"; "+session.CookieName+"="+other.Reveal())
	if got.status != 403 || !got.cookie().Empty() {
		t.Errorf("with the cookie of another login: %d", got.status)
	}
}

// TestProviderNext: no text leads from the login to another site (CWE-601).
func TestProviderNext(t *testing.T) {
	c := startLogins(t, ", create_users: true", "", "")
	for next, want := range map[string]string{
		"/keys?q=a%26b": "/keys?q=a%26b", "": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "/;url=https://evil.example": "/;url=https://evil.example",
		"/" + strings.Repeat("a", 2000): "/",
	} {
		if got := c.finish(c.begin(next)); got.onward() != want {
			t.Errorf("%q leads to %q", next, got.onward())
		}
	}
}

// TestProviderDenials is the policy: who does not come in. None of the pages gives a
// cookie, or shows what the provider or the browser sent.
func TestProviderDenials(t *testing.T) {
	c := startLogins(t, ", create_users: true", "", "")
	c.user("secretive", "")
	c.must("POST", "/users", `{"name": "off", "disabled": true}`)
	c.must("POST", "/users", `{"name": "robot", "service": true}`)
	const (
		begun   = "was begun in another browser"
		refused = "cannot be accepted"
		notUser = "No user here may sign in with this account of &lt;Acme&gt;."
	)
	evil := `<script>alert(1)</script>`
	for _, test := range []struct {
		what   string
		claims []any // of alice, or of the name that is the first
		change func(*attempt)
		text   string
	}{
		{"no cookie", nil, func(a *attempt) { a.cookie = "" }, begun},
		{"another browser's cookie", nil, func(a *attempt) { a.cookie = c.begin("/").cookie }, begun},
		{"an answer to another's login", nil, func(a *attempt) { a.query = c.begin("/").query }, begun},
		{"two cookies", nil, func(a *attempt) { a.cookie += "; " + session.LoginCookieName + "=x" }, begun},
		{"a hostile state", nil, func(a *attempt) { a.query.Set("state", evil) }, begun},
		{"another's code", nil, func(a *attempt) { a.query.Set("code", c.begin("/").query.Get("code")) }, begun},
		{"another issuer", nil, func(a *attempt) { a.query.Set("iss", "https://"+evil) }, refused},
		{"no issuer", nil, func(a *attempt) { a.query.Del("iss") }, refused},
		{"an error", nil, func(a *attempt) {
			a.query = url.Values{"state": a.query["state"], "iss": a.query["iss"], "error": {evil}, "error_description": {evil}}
		}, refused},
		{"the person gave up", nil, func(a *attempt) {
			a.query = url.Values{"state": a.query["state"], "iss": a.query["iss"], "error": {"access_denied"}, "error_description": {evil}}
		}, "&lt;Acme&gt; did not sign you in."},
		{"another nonce", []any{"alice", "nonce", evil}, nil, refused},
		{"another audience", []any{"alice", "aud", "other"}, nil, refused},
		{"an ID token of another issuer", []any{"alice", "iss", "https://evil.example"}, nil, refused},
		{"an ID token that has expired", []any{"alice", "exp", 1}, nil, refused},
		{"no signature", nil, func(*attempt) { c.idp.SignedBy(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ec") }, refused},
		{"the secret as a key", nil, func(*attempt) { c.idp.SignedBy(jwt.SigningMethodHS256, []byte(openidprovider.ClientSecret), "ec") }, refused},
		{"another key", nil, func(*attempt) { c.idp.SignedBy(jwt.SigningMethodES256, openidprovider.OtherKey, "ec") }, refused},
		{"a user with a password", []any{"secretive"}, nil, notUser},
		{"a disabled user", []any{"off"}, nil, notUser},
		{"a program", []any{"robot"}, nil, notUser},
		{"a name of keys", []any{"k_0123456789ab"}, nil, notUser},
		{"a hostile name", []any{evil}, nil, notUser},
	} {
		c.idp.SignedBy(jwt.SigningMethodES256, openidprovider.ECKey, "ec")
		if c.as("alice"); test.claims != nil {
			c.as(test.claims[0].(string), test.claims[1:]...)
		}
		a := c.begin("/")
		if test.change != nil {
			test.change(&a)
		}
		got := c.finish(a)
		if got.status != 403 || !got.cookie().Empty() || !strings.Contains(got.body, test.text) || !strings.Contains(got.body, `name="password"`) {
			t.Errorf("%s: %d, cookie %t: %s", test.what, got.status, !got.cookie().Empty(), got.main())
		}
		if got.onward() != "" || strings.Contains(got.body, evil) || strings.Contains(got.body, a.query.Get("state")) || strings.Contains(got.body, "error_description") {
			t.Errorf("%s: the page repeats what it must not: %s", test.what, got.main())
		}
	}
	for _, name := range []string{"k_0123456789ab", "alice"} {
		if got := c.call(c.admin, "GET", "/users/"+name, ""); got.status != 404 {
			t.Errorf("%s was made: %v", name, got.body)
		}
	}
	if log := c.log.String(); strings.Contains(log, openidprovider.ClientSecret) || strings.Contains(log, "eyJ") || strings.Contains(log, "code0") {
		t.Error("the log has a secret")
	}
}

// TestProviderLinks is the policy: whose user a person is, by the pages.
func TestProviderLinks(t *testing.T) {
	c := startLogins(t, "", "", "")
	if got := c.finish(c.begin("/")); got.status != 403 || !got.cookie().Empty() {
		t.Errorf("create_users is off: %d", got.status)
	}
	c.must("POST", "/users", `{"name": "alice"}`)
	c.signedIn()
	c.as("alice", "sub", "sub-mallory")
	if got := c.finish(c.begin("/")); got.status != 403 || !got.cookie().Empty() {
		t.Errorf("another person of the name: %d", got.status)
	}
	c.as("alice", "preferred_username", "alice.smith")
	cookie := c.signedIn()
	c.ok("the name has changed", c.page(cookie, "GET", "/account", nil), 200, "<p>alice")
	c.must("PATCH", "/users/alice", `{"disabled": true}`)
	wantPage(t, "the session of a disabled user", c.page(cookie, "GET", "/account", nil), 303, "/login?next=%2Faccount")
	if got := c.finish(c.begin("/")); got.status != 403 || !got.cookie().Empty() {
		t.Errorf("a disabled user: %d", got.status)
	}

	verified := startLogins(t, ", create_users: true, user_claim: email", "", "")
	for _, value := range []any{false, "true", true} { // the last one links the person
		verified.as("alice", "email", "alice@example.com", "email_verified", value)
		want := 403
		if value == true {
			want = 200
		}
		if got := verified.finish(verified.begin("/")); got.status != want {
			t.Errorf("email_verified %v: %d %s", value, got.status, got.main())
		}
	}
}

// TestLinkUser is the policy: an administrator says whose user a person is, where the first
// login does not.
func TestLinkUser(t *testing.T) {
	c := startLogins(t, "", "", "")
	c.user("bob", "")
	c.must("POST", "/users", `{"name": "robot", "service": true}`)
	helper := c.must("POST", "/users", `{"name": "helper", "scopes": ["keyward:users"]}`).body["name"].(string)
	c.as("alice")
	if got := c.finish(c.begin("/")); got.status != 403 {
		t.Fatalf("before: %d", got.status)
	}
	for _, test := range []struct {
		body   string
		status int
	}{
		{`{"oidc_subject": "sub-alice", "disabled": true}`, 422}, {`{"oidc_issuer": "https://idp.example.com"}`, 422}, {`{"oidc_issuer": null}`, 422},
		{`{"oidc_subject": ""}`, 422}, {`{"oidc_subject": "a\nb"}`, 422}, {`{"oidc_subject": "sub-alice"}`, 200}, {`{"oidc_subject": "sub-alice", "oidc_issuer": "https://idp.example.com"}`, 200},
		{`{"oidc_subject": "sub-alice"}`, 200},
	} {
		got := c.call(c.admin, "PATCH", "/users/bob", test.body)
		if got.status != test.status || got.status == 200 && got.body["oidc_subject"] != "sub-alice" {
			t.Errorf("%s: %d %v", test.body, got.status, got.body)
		}
	}
	if got := c.call(c.admin, "PATCH", "/users/root", `{"oidc_subject": "sub-alice"}`); got.status != 409 {
		t.Errorf("two users of one person: %d", got.status)
	}
	if got := c.call(c.admin, "PATCH", "/users/robot", `{"oidc_subject": "sub-robot"}`); got.status != 422 {
		t.Errorf("a program: %d", got.status)
	}
	if got := c.with(c.login(helper), "PATCH", "/users/bob", `{"oidc_subject": "sub-helper"}`, sameOrigin...); got.status != 403 {
		t.Errorf("by an actor who is not an administrator: %d", got.status)
	}
	// The link ended the user's sessions, and a provider says to the second when a person has
	// logged in.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	c.ok("the person's session", c.page(c.signedIn(), "GET", "/account", nil), 200, "<p>bob")
	c.must("PATCH", "/users/bob", `{"oidc_subject": null}`)
	if got := c.finish(c.begin("/")); got.status != 403 {
		t.Errorf("after: %d", got.status)
	}
}
