package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/session"
)

// TestProviderUnavailable: a provider that cannot be reached keeps no console from starting
// and no password from working.
func TestProviderUnavailable(t *testing.T) {
	c := newLogins(t)
	c.start("http://127.0.0.1:1", ", create_users: true", "", "")
	c.user("bob", "")
	got := c.page(authz.Secret{}, "POST", "/login/provider", url.Values{"next": {"/account"}})
	if c.ok("the button", got, 503, "&lt;Acme&gt; cannot be reached.", `name="password"`, `name="next" value="/account"`); got.cookieNamed(session.LoginCookieName) != nil || got.header.Get("Retry-After") == "" {
		t.Errorf("%v", got.header)
	}
	c.signIn("bob")
	if log := c.log.String(); !strings.Contains(log, "a login with the OpenID provider failed") {
		t.Error("the log does not say so")
	}

	c = startLogins(t, ", create_users: true", "", "")
	a := c.begin("/")
	c.idp.Replaced["/token"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	if got := c.finish(a); got.status != 503 || !strings.Contains(got.body, "cannot be reached") || !got.cookie().Empty() {
		t.Errorf("down on the way back: %d %s", got.status, got.main())
	}
}

// TestNoProvider: without one there is no button, and no way.
func TestNoProvider(t *testing.T) {
	c := startConsole(t)
	if got := c.page(authz.Secret{}, "GET", "/login", nil); strings.Contains(got.body, "Sign in with") {
		t.Error("there is a button")
	}
	for _, got := range []answer{
		c.page(authz.Secret{}, "POST", "/login/provider", url.Values{}), c.page(authz.Secret{}, "GET", "/login/callback?code=a&state=b", nil), c.page(c.login("root"), "POST", "/login/provider/proof", url.Values{}),
	} {
		if got.status != 404 || got.cookieNamed(session.LoginCookieName) != nil && got.cookieNamed(session.LoginCookieName).MaxAge >= 0 {
			t.Errorf("%d %v", got.status, got.header)
		}
	}
}

// TestProviderAttempts: failed logins with the provider count for their client, except
// those that another site can have a browser make.
func TestProviderAttempts(t *testing.T) {
	c := startLogins(t, ", create_users: true", "", "client_address: {trusted_hops: 1}\nrate_limits: {failed: 3/h}\n")
	from := func(address string, a attempt) int { return c.finish(a, "X-Forwarded-For", address).status }
	for range 10 {
		if got := from("192.0.2.1", attempt{query: url.Values{"code": {"guessed"}, "state": {"guessed"}}}); got != 403 {
			t.Fatalf("what another site sends: %d", got)
		}
	}
	guess := func(address string) int {
		a := c.begin("/")
		a.query.Set("code", "guessed")
		return from(address, a)
	}
	for i, want := range []int{403, 403, 403, 429, 429} {
		if got := guess("192.0.2.1"); got != want {
			t.Errorf("guess %d: %d, want %d", i, got, want)
		}
	}
	before := c.idp.Requests["/token"].Load()
	if got := from("192.0.2.1", c.begin("/")); got != 429 || c.idp.Requests["/token"].Load() != before {
		t.Errorf("the right code from there: %d", got)
	}
	if got := from("192.0.2.2", c.begin("/")); got != 200 {
		t.Errorf("from elsewhere: %d", got)
	}
}

// TestProofByProvider: a user who logged in with the provider proves again by it who they
// are, and loses nothing that was typed.
func TestProofByProvider(t *testing.T) {
	c := startLogins(t, `, create_users: true, roles_claim: groups, roles: {admins: ["keyward:admin"]}`, "", "")
	c.must("POST", "/users", `{"name": "bob"}`)
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	c.as("alice", "auth_time", ago(time.Hour))
	old := c.signedIn()
	form := c.page(old, "GET", "/keys/new", nil).hidden("name", `nightly "1"`, "user", "bob", "expires", "90d", "scopes", "user")
	asked := c.page(old, "POST", "/keys", form)
	c.ok("the form", asked, 403, "Confirm that it is you", `value="nightly &#34;1&#34;"`, "First sign in to &lt;Acme&gt; again", `action="/login/provider/proof" id="proof" target="_blank"`)
	if strings.Contains(asked.body, "reauthenticate_password") {
		t.Error("the page asks for a password")
	}
	again := asked.hidden()
	c.ok("the form before the proof", c.page(old, "POST", "/keys", again), 403, "You have not signed in to &lt;Acme&gt; again since.")

	prove := func() attempt { return c.atProvider(c.page(old, "POST", "/login/provider/proof", url.Values{})) }
	stale := prove()
	if c.idp.Asked.Get("max_age") != "0" {
		t.Errorf("asked with %v", c.idp.Asked)
	}
	if got := c.finish(stale); got.status != 403 || !got.cookie().Empty() {
		t.Errorf("the provider did not ask again: %d %s", got.status, got.main())
	}
	c.as("bob", "auth_time", ago(0))
	if got := c.finish(prove()); got.status != 403 || !got.cookie().Empty() || !strings.Contains(got.body, "as another person") {
		t.Errorf("another person: %d %s", got.status, got.main())
	}
	c.as("alice", "auth_time", ago(0))
	proved := c.finish(prove())
	if c.ok("the proof", proved, 200, "You have confirmed that it is you"); proved.onward() != "" {
		t.Errorf("it leads to %s", proved.onward())
	}
	made := c.page(proved.cookie(), "POST", "/keys", again)
	c.ok("the form after it", made, 200, "I have stored it")
	c.accepted("the key", made.secret(), 200)
	wantPage(t, "the earlier cookie", c.page(old, "GET", "/keys", nil), 303, "/login?next=%2Fkeys")
	wantPage(t, "a proof without a session", c.page(authz.Secret{}, "POST", "/login/provider/proof", url.Values{}), 303, "/login")
	c.user("carol", "")
	c.as("carol", "auth_time", ago(0))
	password := c.signIn("carol")
	mixed := c.atProvider(c.page(password, "POST", "/login/provider/proof", url.Values{}))
	if got := c.finish(mixed); got.status != 403 || !got.cookie().Empty() {
		t.Errorf("a session that began by a password: %d", got.status)
	}
}

// TestEndedSessions: a login that the provider remembers does not count after the user's
// sessions were ended.
func TestEndedSessions(t *testing.T) {
	c := startLogins(t, ", create_users: true", "", "")
	c.as("alice", "auth_time", time.Now().Add(-time.Hour).Unix())
	c.signedIn()
	c.must("POST", "/keys/revoke", `{"user": "alice"}`)
	got := c.finish(c.begin("/account"))
	c.ok("the provider's session", got, 403, "Your sessions were ended after you signed in", `name="prove" value="1"`)
	c.as("alice", "auth_time", time.Now().Add(time.Second).Unix())
	a := c.atProvider(c.page(authz.Secret{}, "POST", "/login/provider", got.hidden()))
	if c.idp.Asked.Get("max_age") != "0" {
		t.Errorf("asked with %v", c.idp.Asked)
	}
	if back := c.finish(a); back.status != 200 {
		t.Errorf("a new login to it: %d %s", back.status, back.main())
	}
}

// TestFirstLoginWithProvider: the page after it offers what the first login gives, and a
// click makes it. The way back from the provider makes nothing.
func TestFirstLoginWithProvider(t *testing.T) {
	c := startLogins(t, ", create_users: true", ", style: halfred, first_login: {project: true, key: true}", withProjects)
	got := c.finish(c.begin("/account"))
	if got.onward() != "/welcome" {
		t.Fatalf("it leads to %q", got.onward())
	}
	if keys := c.must("GET", "/keys?user=alice", "").body["items"].([]any); len(keys) != 0 {
		t.Errorf("the way back made %v", keys)
	}
	c.ok("the question", c.page(got.cookie(), "GET", "/welcome", nil), 200, "Create my key")
	made := c.page(got.cookie(), "POST", "/welcome", url.Values{})
	c.ok("the key", made, 200, "We created a default project for you.")
	c.accepted("the key", made.secret(), 200)
	if next := c.finish(c.begin("/account")); next.onward() != "/account" {
		t.Errorf("the next login leads to %q", next.onward())
	}
}

// TestProviderForms: a login begins from the console's own pages alone: another site could
// else have a browser log in as a person of its choice.
func TestProviderForms(t *testing.T) {
	c := startLogins(t, ", create_users: true", "", "")
	for _, path := range []string{"/login/provider", "/login/provider/proof"} {
		for _, site := range []string{"cross-site", "same-site", "none"} {
			got := c.page(c.login("root"), "POST", path, url.Values{}, "Sec-Fetch-Site", site)
			if got.status != 403 || got.cookieNamed(session.LoginCookieName) != nil {
				t.Errorf("%s from %s: %d", path, site, got.status)
			}
		}
		if got := c.page(authz.Secret{}, "GET", path, nil); got.status != 405 {
			t.Errorf("GET %s: %d", path, got.status)
		}
	}
	if n := c.idp.Requests["/.well-known/openid-configuration"].Load(); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}
