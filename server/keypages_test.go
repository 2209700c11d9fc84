package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/eventually"
	"keyward/store"
)

var (
	secretPattern = regexp.MustCompile(`data-secret[^>]*>([^<]+)<`)
	hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
	keyIDPattern  = regexp.MustCompile(`k_[0-9A-Za-z]{12}`)
)

// secret is the secret that a page shows; "" is none.
func (a answer) secret() string {
	if found := secretPattern.FindStringSubmatch(a.body); found != nil {
		return found[1]
	}
	return ""
}

// main is the content of a page, without its navigation, for a message.
func (a answer) main() string {
	_, text, _ := strings.Cut(a.body, `<main id="main">`)
	return strings.Join(strings.Fields(text[:min(len(text), 1500)]), " ")
}

// hidden are the hidden fields of a page, with more fields.
func (a answer) hidden(more ...string) url.Values {
	form := url.Values{}
	for _, found := range hiddenPattern.FindAllStringSubmatch(a.body, -1) {
		form.Set(found[1], found[2])
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// ok fails the test unless the answer has the status and the texts.
func (c *console) ok(what string, got answer, status int, texts ...string) {
	c.t.Helper()
	if got.status != status {
		c.t.Fatalf("%s: %d to %q, want %d: %s", what, got.status, got.location, status, got.main())
	}
	for _, text := range texts {
		if !strings.Contains(got.body, text) {
			c.t.Errorf("%s lacks %q: %s", what, text, got.main())
		}
	}
}

// accepted fails the test unless a check of the key has the status.
func (c *console) accepted(what, key string, status int) {
	c.t.Helper()
	if got, reason := c.ask("/", key); got != status {
		c.t.Errorf("%s: %d %s, want %d", what, got, reason, status)
	}
}

// newKey makes a key by the form, and returns its id and its secret.
func (c *console) newKey(cookie authz.Secret, path, name string, more ...string) (id, secret string) {
	c.t.Helper()
	form := c.page(cookie, "GET", path+"/new", nil)
	c.ok("the form", form, 200)
	made := c.page(cookie, "POST", path, form.hidden(append([]string{"name", name, "expires", "90d", "scopes", "user"}, more...)...))
	c.ok("a new key", made, 200, "I have stored it", name)
	return keyIDPattern.FindString(made.body), made.secret()
}

// TestKeyPages follows a key by clicks, from its form to its end: each step is in force
// when its page is there.
func TestKeyPages(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	root := c.login("root")
	c.ok("without keys", c.page(root, "GET", "/keys?state=paused", nil), 200, "No key matches")
	form := c.page(root, "GET", "/keys/new", nil)
	c.ok("the form", form, 200, `name="idempotency_key"`, "keyward:keys")
	c.ok("an empty form", c.page(root, "POST", "/keys", form.hidden("expires", "", "user", "alcie", "cidrs", "10.0.0.0/33", "rate", "often")), 422, "Error: ", `href="#name"`, `href="#expires"`, `href="#key-user"`, `value="alcie"`, `href="#cidrs"`, `href="#rate"`)
	c.ok("a path that cannot be", c.page(root, "POST", "/keys", form.hidden("name", "x", "expires", "90d", "paths", "/a\nb")), 422, `href="#paths"`, "/a\nb")
	sent := form.hidden("name", "nightly", "user", "alice", "expires", "90d", "scopes", "user", "paths", "/\n=/b")
	made := c.page(root, "POST", "/keys", sent)
	secret, id := made.secret(), keyIDPattern.FindString(made.body)
	c.ok("a key", made, 200, "Copy the key and store it securely", `href="/keys/`+id+`"`, "API_KEY="+secret)
	if secret == "" || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the secret %q, %v", secret, made.header)
	}
	c.accepted("a new key", secret, 200)
	again := c.page(root, "POST", "/keys", sent)
	c.ok("the form again", again, 200, "was already shown", "/keys/"+id)
	if again.secret() != "" || strings.Contains(again.body, secret) {
		t.Error("the secret is shown twice")
	}
	sent.Set("name", "another")
	c.ok("the form with another name", c.page(root, "POST", "/keys", sent), 422, "was sent before")
	list := c.page(root, "GET", "/keys?user=alice", nil)
	if c.ok("the list", list, 200, "nightly", id); strings.Count(list.body, `name="id"`) != 1 {
		t.Errorf("one key was made twice: %s", list.body)
	}
	for what, q := range map[string]string{"its id": id, "a part of its name": "ight", "what is shown of its secret": secret[:7] + "…"} {
		c.ok("the list by "+what, c.page(root, "GET", "/keys?q="+url.QueryEscape(q), nil), 200, "nightly")
	}
	c.ok("the list by another id", c.page(root, "GET", "/keys?q=k_000000000000", nil), 200, "No key matches")
	shown := c.page(root, "GET", "/keys/"+id, nil)
	if c.ok("the page", shown, 200, "nightly", "Rotate", "=/b", "alice", "key.create"); strings.Contains(shown.body, secret) {
		t.Error("the page has the secret")
	}

	c.ok("pausing", c.page(root, "POST", "/keys/"+id+"/pause", c.page(root, "GET", "/keys/"+id+"/pause", nil).hidden("note", "a test")), 303)
	c.accepted("a paused key", secret, 401)
	paused := c.page(root, "GET", "/keys/"+id+"?done=paused", nil)
	c.ok("a paused key", paused, 200, "a test", "Paused", "refused until it is resumed")
	c.ok("resuming", c.page(root, "POST", "/keys/"+id+"/resume", paused.hidden()), 303)
	c.accepted("a resumed key", secret, 200)

	rotate := c.page(root, "GET", "/keys/"+id, nil).hidden("grace", "24h")
	rotated := c.page(root, "POST", "/keys/"+id+"/rotate", rotate)
	next := rotated.secret()
	c.ok("rotating", rotated, 200, "accepted for 24 hours")
	c.ok("rotating again", c.page(root, "POST", "/keys/"+id+"/rotate", rotate), 200, "was already shown")
	c.accepted("the new secret", next, 200)
	c.accepted("the old secret", secret, 200)
	c.ok("a rotating key", c.page(root, "GET", "/keys/"+id, nil), 200, "Rotating", "Refuse the old secret now")
	c.ok("ending the grace", c.page(root, "POST", "/keys/"+id+"/end-grace", c.page(root, "GET", "/keys/"+id+"/end-grace", nil).hidden()), 303)
	c.accepted("the old secret", secret, 401)

	ask := c.page(root, "GET", "/keys/"+id+"/revoke?why=leaked", nil)
	c.ok("asking", ask, 200, "Revoke nightly?", "Keep the key", `value="leaked" checked`)
	c.accepted("a key that was kept", next, 200)
	c.ok("revoking", c.page(root, "POST", "/keys/"+id+"/revoke", ask.hidden("why", "leaked")), 303)
	c.accepted("a revoked key", next, 401)
	ended := c.page(root, "GET", "/keys/"+id, nil)
	if c.ok("a revoked key", ended, 200, "Revoked", "leaked", "by root"); strings.Contains(ended.body, "/rotate") || strings.Contains(ended.body, "/revoke") {
		t.Error("a revoked key can be revoked or rotated")
	}
	c.ok("changing a revoked key", c.page(root, "GET", "/keys/"+id+"/edit", nil), 409, "ended")
	c.ok("the revoked keys", c.page(root, "GET", "/keys?state=revoked", nil), 200, "nightly", "leaked")

	other, _ := c.newKey(root, "/keys", "other")
	c.ok("deleting", c.page(root, "POST", "/keys/"+other+"/delete", c.page(root, "GET", "/keys/"+other+"/delete", nil).hidden()), 303)
	c.ok("a deleted key", c.page(root, "GET", "/keys/"+other, nil), 404, "Find a key")
}

// TestKeyIsReplaced: a key that is revoked with another in its place has ended, and the
// other has what it had.
func TestKeyIsReplaced(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	id, secret := c.newKey(root, "/keys", "leaky", "paths", "/a\n/", "other", "x y")
	ask := c.page(root, "GET", "/keys/"+id+"/revoke", nil)
	form := ask.hidden("why", "other", "note", "because", "replace", "yes")
	got := c.page(root, "POST", "/keys/"+id+"/revoke", form)
	c.ok("replacing", got, 200, "The old key was revoked", "leaky", "<li>/a</li>")
	c.accepted("the old key", secret, 401)
	c.accepted("the new key", got.secret(), 200)
	c.ok("the form again", c.page(root, "POST", "/keys/"+id+"/revoke", form), 200, "was already shown")
	c.ok("the old key", c.page(root, "GET", "/keys/"+id, nil), 200, "because")
}

// TestTwoEdit: of two administrators who edit one key, the second learns what the first
// has changed, and loses nothing that was typed.
func TestTwoEdit(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	id, _ := c.newKey(root, "/keys", "shared", "scopes", "list", "other", "read", "paths", "/")
	path := "/keys/" + id + "/edit"
	form := c.page(root, "GET", path, nil)
	c.ok("the form", form, 200, `value="shared"`, `value="read"`)
	first := form.hidden("name", "first", "expires", "keep", "paths", "/a", "scopes", "list", "other", "read")
	second := form.hidden("name", "second", "expires", "keep", "paths", "/b", "scopes", "user", "rate", "5/s")
	c.ok("the first", c.page(root, "POST", path, first), 303)
	late := c.page(root, "POST", path, second)
	c.ok("the second", late, 412, "has changed since you opened it", "Nothing was saved", `value="second"`, "/b</textarea>", `value="5/s"`, "<dd>first</dd>", "<dd>/a</dd>", "<dd>read</dd>")
	c.ok("what the first has made", c.page(root, "GET", "/keys/"+id, nil), 200, "first", "/a")
	second.Set("etag", late.hidden().Get("etag"))
	c.ok("the second again", c.page(root, "POST", path, second), 303)
	c.ok("what the second has made", c.page(root, "GET", "/keys/"+id, nil), 200, "second", "/b", "5/s", "everything that its user may do")
	for _, action := range []string{"revoke", "delete", "pause", "rotate"} {
		stale := url.Values{"etag": {first.Get("etag")}, "idempotency_key": {"stale"}, "grace": {"0"}}
		c.ok(action+" of an earlier state", c.page(root, "POST", "/keys/"+id+"/"+action, stale), 412, "Nothing was done")
	}
}

// TestOwnKeyPages: a user makes, uses and revokes keys of its own, and sees none of
// another.
func TestOwnKeyPages(t *testing.T) {
	c := startConsoleWith(t, "console: {style: halo, scopes: [{name: read, description: Read posts}, {name: write}]}\n")
	c.must("POST", "/users", `{"name": "alice", "scopes": ["read"]}`)
	c.must("POST", "/users", `{"name": "bob"}`)
	alice, bob := c.login("alice"), c.login("bob")
	c.ok("the first page", c.page(alice, "GET", "/", nil), 303)
	c.ok("no tokens", c.page(alice, "GET", "/me/keys", nil), 200, "Personal Access Tokens", "Generate New Token", "You have no tokens yet")
	form := c.page(alice, "GET", "/me/keys/new", nil)
	if c.ok("the form", form, 200, "Descriptive name", "Expiration", "Permissions", "Read posts", ">Generate<"); strings.Contains(form.body, `value="write"`) {
		t.Error("the form offers what the user does not have")
	}
	made := c.page(alice, "POST", "/me/keys", form.hidden("name", "Deploy hook", "expires", "none", "scopes", "list", "scope", "read"))
	c.ok("a token", made, 200, "Token generated", "Copy and save the token immediately: you will not be able to see it again.", "HALO_API_TOKEN")
	id, secret := keyIDPattern.FindString(made.body), made.secret()
	c.accepted("the token", secret, 200)
	c.ok("more than the user has", c.page(alice, "POST", "/me/keys", c.page(alice, "GET", "/me/keys/new", nil).hidden("name", "x", "expires", "90d", "scopes", "list", "scope", "write")), 403, "could do more than the caller")
	c.ok("the list", c.page(alice, "GET", "/me/keys", nil), 200, "Deploy hook", "never", "/me/keys/"+id+"/revoke")
	for method, path := range map[string]string{"GET": "/me/keys/" + id, "POST": "/me/keys/" + id + "/revoke"} {
		c.ok("another's token", c.page(bob, method, path, url.Values{}), 404, "Page not found")
	}
	c.ok("another's token as an administrator's", c.page(bob, "GET", "/keys/"+id, nil), 403, "keyward:keys")
	c.accepted("the token", secret, 200)
	c.ok("revoking", c.page(alice, "POST", "/me/keys/"+id+"/revoke", c.page(alice, "GET", "/me/keys/"+id+"/revoke", nil).hidden()), 303)
	c.accepted("the revoked token", secret, 401)
	c.ok("the list", c.page(alice, "GET", "/me/keys", nil), 200, "Revoked")
}

// TestRevokeSelected: several keys are revoked in one step, after a page that lists them.
func TestRevokeSelected(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	one, first := c.newKey(root, "/keys", "one")
	two, second := c.newKey(root, "/keys", "two")
	_, third := c.newKey(root, "/keys", "three")
	none := c.page(root, "GET", "/keys/revoke", nil)
	if none.status != http.StatusSeeOther || none.location != "/keys?select=none" {
		t.Errorf("none: %d %s", none.status, none.location)
	}
	c.ok("none", c.page(root, "GET", none.location, nil), 200, "No key is selected")
	c.ok("asking", c.page(root, "GET", "/keys/revoke?id="+one+"&id="+two+"&id=k_000000000000", nil), 200, "Revoke 2 keys?", "one", "two", "gone already")
	c.ok("revoking", c.page(root, "POST", "/keys/revoke", url.Values{"id": {one, two}}), 303)
	c.accepted("the first", first, 401)
	c.accepted("the second", second, 401)
	c.accepted("the third", third, 200)
}

// TestProofIsAskedFor: a login that is long ago makes no secret for others before the
// password is given again; what was typed is kept, and carried out then.
func TestProofIsAskedFor(t *testing.T) {
	c := startConsole(t)
	c.user("boss", `, "scopes": ["keyward:admin"]`)
	c.must("POST", "/users", `{"name": "alice"}`)
	old := c.oldLogin("boss", 16*time.Minute)
	form := c.page(old, "GET", "/keys/new", nil).hidden("name", `nightly "1"`, "user", "alice", "expires", "90d", "scopes", "user")
	asked := c.page(old, "POST", "/keys", form)
	c.ok("the form", asked, 403, "Confirm that it is you", `action="/keys"`, `value="nightly &#34;1&#34;"`, `name="reauthenticate_password"`)
	proof := form
	proof.Set("reauthenticate_password", "wrong horse battery")
	wrong := c.page(old, "POST", "/keys", proof)
	if c.ok("a wrong password", wrong, 403, "incorrect"); strings.Contains(wrong.body, "wrong horse") {
		t.Error("the page has the password")
	}
	proof.Set("reauthenticate_password", testPassword)
	made := c.page(old, "POST", "/keys", proof)
	c.ok("the right password", made, 200, "I have stored it")
	c.accepted("the key", made.secret(), 200)
	if got := c.page(old, "GET", "/keys", nil); got.status != 303 {
		t.Errorf("the earlier cookie: %d", got.status)
	}
	c.ok("the new cookie", c.page(made.cookie(), "GET", "/keys", nil), 200, "nightly")
}

// TestHostileTexts: nothing that a record has is markup on a page (CWE-79).
func TestHostileTexts(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	hostile := `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
	project := `, "project": "` + strings.ReplaceAll(hostile, `"`, `\"`) + `"`
	if inPostgres {
		project = "" // it would have to be on record
	}
	c.must("POST", "/keys", `{"name": "`+strings.ReplaceAll(hostile, `"`, `\"`)+`", "description": "`+strings.ReplaceAll(hostile, `"`, `\"`)+`", "owner": "{{.}}</p><b>"`+project+`}`)
	list := c.page(root, "GET", "/keys?q="+url.QueryEscape("<script>")+"&user="+url.QueryEscape(`"><script>alert(3)</script>`), nil)
	all := c.page(root, "GET", "/keys", nil)
	id := keyIDPattern.FindString(all.body)
	for what, got := range map[string]answer{
		"list": all, "filter": list, "key": c.page(root, "GET", "/keys/"+id, nil), "edit": c.page(root, "GET", "/keys/"+id+"/edit", nil), "revoke": c.page(root, "GET", "/keys/"+id+"/revoke", nil),
		"note": c.page(root, "GET", "/keys?done="+url.QueryEscape("<script>alert(4)</script>"), nil), "bulk": c.page(root, "GET", "/keys/revoke?id="+id, nil),
	} {
		if got.status != 200 || strings.Contains(got.body, "<script>alert") || strings.Contains(got.body, "<img") || strings.Contains(got.body, "</p><b>") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
}

// TestSessionsPage: a user ends one session of its own, or all but the one that asks.
func TestSessionsPage(t *testing.T) {
	c := startConsole(t)
	c.must("POST", "/users", `{"name": "alice"}`)
	this, second, third, fourth := c.login("alice"), c.login("alice"), c.login("alice"), c.login("alice")
	shown := c.page(this, "GET", "/account", nil)
	c.ok("the page", shown, 200, "this session", "End all others")
	if got := strings.Count(shown.body, `name="session" value="s_`); got != 3 {
		t.Fatalf("%d sessions can be ended", got)
	}
	id := c.with(second, "GET", "/me", "").body["session"].(string)
	c.ok("ending one", c.page(this, "POST", "/account/sessions/end", url.Values{"session": {id}}), 303)
	for what, test := range map[string]struct {
		cookie authz.Secret
		status int
	}{"this": {this, 200}, "the ended": {second, 303}, "the third": {third, 200}} {
		if got := c.page(test.cookie, "GET", "/account", nil); got.status != test.status {
			t.Errorf("%s: %d", what, got.status)
		}
	}
	c.ok("ending the others", c.page(this, "POST", "/account/sessions/end", url.Values{"session": {"others"}}), 303)
	for what, test := range map[string]struct {
		cookie authz.Secret
		status int
	}{"this": {this, 200}, "the third": {third, 303}, "the fourth": {fourth, 303}} {
		if got := c.page(test.cookie, "GET", "/account", nil); got.status != test.status {
			t.Errorf("after ending the others, %s: %d", what, got.status)
		}
	}
}

// TestKeyIsTooOld: a key that is older than any may be has ended by its age, before the day on
// which it would expire.
func TestKeyIsTooOld(t *testing.T) {
	const limited = "keys: {max_age: 90d, "
	c := startConsoleOn(t, strings.Replace(consoleConfig, "keys: {", limited, 1))
	now := time.Now()
	then := func() time.Time { return now.AddDate(0, 0, -110) }
	old, _, err := c.keys(then).Create(t.Context(), store.KeyParams{Name: "quarterly", User: "root", Expires: now.AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	root := c.login("root")
	wrong := "Expired " + old.Expires.UTC().Format("2006-01-02")
	for path, want := range map[string]string{
		"/keys": "older than a key may be", "/me/keys": "One key is older than 90 days: quarterly", "/keys/" + old.ID: "Older than a key may be",
	} {
		eventually.Succeeds(t, func() error { // the change of another process is read
			if got := c.page(root, "GET", path, nil); got.status != 200 || !strings.Contains(got.body, want) || strings.Contains(got.body, wrong) {
				return fmt.Errorf("%s: %d lacks %q: %s", path, got.status, want, got.main())
			}
			return nil
		})
	}
}
