package server_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var clientIDPattern = regexp.MustCompile(`c_[0-9A-Za-z]{12}`)

const callback = "https://shop.example.com/callback"

// TestClientPages follows an OAuth client by clicks, from its form to its end: its secret
// is shown once, and nothing of a hostile name is markup.
func TestClientPages(t *testing.T) {
	c := startConsoleWith(t, "clients: {file: DIR/clients.jsonl}\n")
	c.must("POST", "/users", `{"name": "reader", "scopes": ["keyward:read"]}`)
	root, reader := c.login("root"), c.login("reader")
	c.ok("no clients", c.page(root, "GET", "/clients", nil), 200, "No clients yet", "/clients/new")
	form := c.page(root, "GET", "/clients/new", nil)
	c.ok("the form", form, 200, `name="idempotency_key"`, "client_credentials")
	c.ok("an empty form", c.page(root, "POST", "/clients", form.hidden("redirect_uris", "ftp://x", "other", "keyward:admin")), 422,
		"Error: ", `href="#name"`, `href="#grants"`, `href="#redirect_uris"`, `href="#other"`, "ftp://x")
	sent := form.hidden("name", hostile, "type", "confidential", "redirect_uris", callback, "grant", "authorization_code", "other", "read")
	made := c.page(root, "POST", "/clients", sent)
	secret, id := made.secret(), clientIDPattern.FindString(made.body)
	c.ok("a client", made, 200, "It is not shown again", "/clients/"+id)
	c.clean("a client", made)
	if !strings.HasPrefix(secret, "kwcs_") || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the secret %q, %v", secret, made.header)
	}
	again := c.page(root, "POST", "/clients", sent)
	c.ok("the form again", again, 200, "already shown")
	list := c.page(reader, "GET", "/clients", nil)
	c.ok("the list", list, 200, id, "Active", "confidential")
	c.clean("the list", list)
	if strings.Contains(again.body+list.body, secret) || strings.Count(list.body, `<th scope="row">`) != 1 || strings.Contains(list.body, "/clients/new") {
		t.Errorf("the secret is shown again, there are two clients, or a reader may make one: %s", list.main())
	}
	c.ok("no match", c.page(root, "GET", "/clients?grant=client_credentials", nil), 200, "No client matches")

	path := "/clients/" + id
	edit := c.page(root, "GET", path+"/edit", nil)
	c.ok("the form", edit, 200, callback)
	values := func(name string, more ...string) url.Values {
		return edit.hidden(append([]string{"name", name, "redirect_uris", callback, "grant", "authorization_code"}, more...)...)
	}
	c.ok("a change", c.page(root, "POST", path+"/edit", values("Shop", "scope", "write")), 303)
	stale := c.page(root, "POST", path+"/edit", values("Shop 2", "other", "typed:scope"))
	c.ok("a stale form", stale, 412, "Another actor left the client", `value="Shop 2"`, "typed:scope", "write")
	c.ok("the stale form again", c.page(root, "POST", path+"/edit", stale.hidden("name", "Shop 2", "redirect_uris", callback, "grant", "authorization_code")), 303)
	shown := c.page(root, "GET", path, nil)
	c.ok("the client", shown, 200, "Shop 2", "client.update", "Disable", "/audit?target="+id)
	if strings.Contains(shown.body, secret) {
		t.Error("the page has the secret")
	}
	c.endClient(shown, path, secret)
}

// endClient rotates the secret of a client, disables and enables it, and deletes it.
func (c *console) endClient(shown answer, path, secret string) {
	root := c.login("root")
	rotate := shown.hidden("grace", "24h")
	rotated := c.page(root, "POST", path+"/rotate", rotate)
	c.ok("rotating", rotated, 200, "accepted for 24 hours", "Secret rotated")
	if rotated.secret() == "" || rotated.secret() == secret {
		c.t.Error("the secret stays")
	}
	c.ok("rotating again", c.page(root, "POST", path+"/rotate", rotate), 200, "already shown")
	c.ok("the grace", c.page(root, "GET", path, nil), 200, "Old secret", "accepted until")
	ask := c.page(root, "GET", path+"/disable", nil)
	c.ok("asking", ask, 200, "Its tokens are refused from their next request")
	c.ok("disabling", c.page(root, "POST", path+"/disable", ask.hidden()), 303)
	off := c.page(root, "GET", path+"?done=client-disabled", nil)
	c.ok("a disabled client", off, 200, "Disabled", "gets no new ones", `action="`+path+`/enable"`)
	c.ok("disabling, stale", c.page(root, "POST", path+"/delete", ask.hidden()), 412)
	c.ok("enabling", c.page(root, "POST", path+"/enable", url.Values{"etag": {off.hidden().Get("etag")}}), 303)
	c.ok("an enabled client", c.page(root, "GET", path, nil), 200, "Active")
	c.ok("deleting", c.page(root, "POST", path+"/delete", c.page(root, "GET", path+"/delete", nil).hidden()), 303)
	c.ok("a deleted client", c.page(root, "GET", path, nil), 404)
}

// TestPublicClientPage: a public client has no secret.
func TestPublicClientPage(t *testing.T) {
	c := startConsoleWith(t, "clients: {file: DIR/clients.jsonl}\n")
	root := c.login("root")
	sent := c.page(root, "GET", "/clients/new", nil).hidden("name", "App", "type", "public", "redirect_uris", callback, "grant", "authorization_code")
	made := c.page(root, "POST", "/clients", sent)
	c.ok("a public client", made, 303)
	if shown := c.page(root, "GET", made.location, nil); shown.status != 200 || strings.Contains(shown.body, "/rotate") || shown.secret() != "" {
		t.Errorf("a public client: %d %s", shown.status, shown.main())
	}
	if again := c.page(root, "POST", "/clients", sent); again.location != made.location {
		t.Errorf("the form again: to %q", again.location)
	}
}

// TestRevocationPages: each kind of revocation is asked for in words before it is made,
// and made once.
func TestRevocationPages(t *testing.T) {
	c := startConsole(t)
	root := c.login("root")
	c.ok("none", c.page(root, "GET", "/revocations", nil), 200, "No tokens are revoked", "/revocations/new")
	c.ok("the form", c.page(root, "GET", "/revocations/new", nil), 200, "Which tokens")
	for _, bad := range []struct {
		form  url.Values
		field string
	}{
		{url.Values{}, "which"},
		{url.Values{"which": {"jti"}}, "jti"},
		{url.Values{"which": {"sid"}}, "sid"},
		{url.Values{"which": {"subject"}, "issued_before": {"2026-01-02T03:04"}}, "subject"},
		{url.Values{"which": {"subject"}, "subject": {"alice"}}, "issued_before"},
		{url.Values{"which": {"all"}, "jti": {"x"}}, "issued_before"},
		{url.Values{"which": {"all"}, "issued_before": {"yesterday"}}, "issued_before"},
		{url.Values{"which": {"jti"}, "jti": {"x"}, "until": {"2020-01-01T00:00"}}, "until"},
	} {
		for _, path := range []string{"/revocations/new", "/revocations"} {
			form := url.Values{"idempotency_key": {"0123456789abcdef" + bad.field}}
			for name, value := range bad.form {
				form[name] = value
			}
			c.ok(form.Encode(), c.page(root, "POST", path, form), 422, "Error: ", `href="#`+bad.field+`"`)
		}
	}
	c.ok("none", c.page(root, "GET", "/revocations", nil), 200, "No tokens are revoked")
	for _, good := range []struct {
		form url.Values
		says string
	}{
		{url.Values{"which": {"jti"}, "jti": {hostile}, "subject": {"not-chosen"}, "reason": {hostile}}, "is refused from its next request"},
		{url.Values{"which": {"sid"}, "sid": {"s-1"}}, "All tokens of the session"},
		{url.Values{"which": {"subject"}, "subject": {"alice"}, "issued_before": {"2026-01-02T03:04"}}, "2026-01-02 03:04:00"},
		{url.Values{"which": {"all"}, "issued_before": {"2026-01-02T03:04"}}, "All tokens of all users"},
	} {
		ask := c.page(root, "POST", "/revocations/new", good.form)
		c.ok(good.says, ask, 200, good.says, "This cannot be undone")
		c.clean(good.says, ask)
		sent := ask.hidden()
		for name := range sent {
			if text := good.form.Get(name); text != "" {
				sent.Set(name, text)
			}
		}
		c.ok(good.says, c.page(root, "POST", "/revocations", sent), 303)
		c.ok("the form again", c.page(root, "POST", "/revocations", sent), 303)
	}
	list := c.page(root, "GET", "/revocations", nil)
	c.ok("the list", list, 200, "s-1", "alice", "All tokens", "root", "&lt;script&gt;")
	c.clean("the list", list)
	if got := strings.Count(list.body, `<th scope="row">`); got != 4 || strings.Contains(list.body, "not-chosen") {
		t.Errorf("%d revocations: %s", got, list.main())
	}
	c.ok("no match", c.page(root, "GET", "/revocations?subject=bob", nil), 200, "No revocation matches")
}
