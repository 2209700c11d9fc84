package protocol_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/oauth/protocol"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
)

// isPage fails the test unless the answer is a page that leads nowhere by itself, and that no
// other site can show in a frame.
func (f *issuer) isPage(what string, a answer, status int, text string) {
	f.Helper()
	policy := a.Header.Get("Content-Security-Policy")
	if a.StatusCode != status || a.Header.Get("Location") != "" || !strings.Contains(a.text, text) || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") ||
		!strings.Contains(policy, "frame-ancestors 'none'") || a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("Cache-Control") != "no-store" {
		_, main, _ := strings.Cut(a.text, "<main")
		f.Errorf("%s: %d %s %.600s, want %d and %q", what, a.StatusCode, a.Header, main, status, text)
	}
}

// TestRedirectURI: what is not the registered URI to the letter gets no answer, whatever a
// reader of URIs may take it for; on the user's own machine any port will do.
func TestRedirectURI(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web) // so that only the URI is wrong
	for what, uri := range map[string]string{
		"a slash": webRedirect + "/", "a longer path": webRedirect + "2", "an encoded character": "https://shop.example.com/c%62", "an encoded slash": "https://shop.example.com%2Fcb",
		"upper-case scheme": "HTTPS://shop.example.com/cb", "upper-case host": "https://Shop.example.com/cb", "http": "http://shop.example.com/cb",
		"an empty fragment": webRedirect + "#", "a fragment": webRedirect + "#x", "an empty query": webRedirect + "?", "a query": webRedirect + "?x=1",
		"a user name": "https://shop.example.com@evil.example/cb", "a user name before": "https://evil.example@shop.example.com/cb", "a password": "https://a:b@shop.example.com/cb",
		"a port": "https://shop.example.com:8443/cb", "the port of https": "https://shop.example.com:443/cb", "an empty port": "https://shop.example.com:/cb",
		"dots": "https://shop.example.com/x/../cb", "a dot": "https://shop.example.com/./cb", "two slashes": "https://shop.example.com//cb", "a backslash": `https://shop.example.com\cb`,
		"a backslash before the host": `https:\\shop.example.com/cb`, "another host behind": "https://shop.example.com.evil.example/cb", "another before": "https://evil-shop.example.com/cb",
		"a dot behind the host": "https://shop.example.com./cb", "a space behind": webRedirect + " ", "a tab": webRedirect + "\t", "a line": webRedirect + "\n", "a NUL": webRedirect + "\x00",
		"a space before": " " + webRedirect, "encoded twice": "https%3A%2F%2Fshop.example.com%2Fcb", "a wildcard": "https://*.example.com/cb", "no scheme": "//shop.example.com/cb", "no host": "/cb",
		"javascript": "javascript:alert(1)", "data": "data:text/html,x", "localhost": "http://localhost/cb", "loopback": "http://127.0.0.1/cb", "nothing": "",
		"full-width dots": "https://shop。example。com/cb", "another letter": "https://ѕhop.example.com/cb", "long": webRedirect + strings.Repeat("a", 5000),
	} {
		link := protocol.AuthorizePath + "?" + url.Values{"response_type": {"code"}, "client_id": {f.web.ID}, "redirect_uri": {uri}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}}.Encode()
		f.isPage(what, b.get(link), 400, "is not registered for it")
	}
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:49152/cb": true, "http://127.0.0.1:1/cb": true, "http://[::1]:9/cb": true, "http://[::1]/cb": true,
		"http://127.0.0.1:0/cb": false, "http://127.0.0.1:65536/cb": false, "http://127.0.0.1:x/cb": false, "http://127.0.0.1:/cb": true, "http://127.0.0.1:80@evil.example/cb": false,
		"http://127.0.0.1.evil.example/cb": false, "http://127.0.0.1:8080": false, "http://127.0.0.1:8080/cb/": false, "https://127.0.0.1:8080/cb": false, "http://localhost:8080/cb": false,
		"http://127.0.0.2:8080/cb": false, "http://127.1:8080/cb": false, "http://[0:0:0:0:0:0:0:1]:8080/cb": false, "http://0x7f000001/cb": false, "http://127.0.0.1:-1/cb": false, "http://127.0.0.1:08080/cb": false,
	} {
		a := b.get(request(f.app, "redirect_uri", uri))
		if !ok {
			f.isPage(uri, a, 400, "is not registered for it")
			continue
		}
		if a.StatusCode != 200 || !strings.Contains(a.text, `action="/oauth/consent"`) {
			t.Errorf("%s: %d %s", uri, a.StatusCode, a.text)
		}
	}
}

// TestRedirectURIOfOne: a client with one redirect URI need not send it, and then not at the
// exchange either; of several it must name one.
func TestRedirectURIOfOne(t *testing.T) {
	f := newIssuer(t)
	code := f.code(f.web, "redirect_uri", "")
	f.wantError("one that was not sent before", f.exchange(f.web, code), 400, "invalid_grant")
	f.tokensOf("none", f.exchange(f.web, code, "redirect_uri", ""))
	f.isPage("several", f.browser("alice").get(request(f.app, "redirect_uri", "")), 400, "is not registered for it")
}

// TestAuthorizationRefused: requests whose refusal the client receives at its redirect URI: by
// which error, with its state and the issuer (RFC 9207).
func TestAuthorizationRefused(t *testing.T) {
	f := newIssuer(t)
	signedIn := f.browser("alice")
	signedIn.allow(f.web)
	for what, c := range map[string]struct {
		client client
		more   []string
		code   string
	}{
		"no PKCE of a public client":  {f.app, []string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain":                       {f.app, []string{"code_challenge", codeKey, "code_challenge_method", "plain"}, "invalid_request"},
		"no method, which is plain":   {f.app, []string{"code_challenge_method", ""}, "invalid_request"},
		"plain of a confidential one": {f.web, []string{"code_challenge", codeKey, "code_challenge_method", "plain"}, "invalid_request"},
		"another method":              {f.web, []string{"code_challenge_method", "S512"}, "invalid_request"},
		"a method alone":              {f.app, []string{"code_challenge", ""}, "invalid_request"},
		"token":                       {f.web, []string{"response_type", "token"}, "unsupported_response_type"},
		"id_token":                    {f.web, []string{"response_type", "id_token", "scope", "openid", "nonce", "n"}, "unsupported_response_type"},
		"code and token":              {f.web, []string{"response_type", "code token"}, "unsupported_response_type"},
		"no response_type":            {f.web, []string{"response_type", ""}, "invalid_request"},
		"a fragment":                  {f.web, []string{"response_mode", "fragment"}, "invalid_request"},
		"a form":                      {f.web, []string{"response_mode", "form_post"}, "invalid_request"},
		"an unknown scope":            {f.web, []string{"scope", "unknown"}, "invalid_scope"},
		"a scope of Keyward":          {f.web, []string{"scope", "keyward:self"}, "invalid_scope"},
		"a scope that the user lacks": {f.web, []string{"scope", "admin"}, "invalid_scope"},
		"another resource":            {f.web, []string{"resource", "https://other.example.com"}, "invalid_target"},
		"a request object":            {f.web, []string{"request", "e30.e30."}, "request_not_supported"},
		"none and another prompt":     {f.web, []string{"prompt", "none login"}, "invalid_request"},
		"an unknown prompt":           {f.web, []string{"prompt", "create"}, "invalid_request"},
		"none without consent":        {f.other, []string{"prompt", "none"}, "consent_required"},
		"none with more than consent": {f.web, []string{"prompt", "none", "scope", "read write"}, "consent_required"},
		"none, of a public client":    {f.app, []string{"prompt", "none"}, "consent_required"},
		"none, and too long ago":      {f.web, []string{"prompt", "none", "max_age", "0"}, "login_required"},
	} {
		if what == "none, and too long ago" {
			time.Sleep(10 * time.Millisecond)
		}
		a := signedIn.get(request(c.client, c.more...))
		u, err := url.Parse(a.Header.Get("Location"))
		f.fatal(err)
		if q := u.Query(); a.StatusCode != 303 || !strings.HasPrefix(a.Header.Get("Location"), c.client.RedirectURIs[0]+"?") || q.Get("error") != c.code || q.Get("state") != "a state" ||
			q.Get("iss") != testIssuer || q.Has("code") {
			t.Errorf("%s: %d %s, want %s", what, a.StatusCode, a.Header.Get("Location"), c.code)
		}
	}
	if q := f.browser("bob").get(request(f.web, "prompt", "none")).Header.Get("Location"); !strings.Contains(q, "error=login_required") {
		t.Errorf("none without a session: %s", q)
	}
}

// TestNoRedirect: requests whose client is not known, or that two readers could read in two
// ways, lead nowhere.
func TestNoRedirect(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	link := request(f.web)
	for what, path := range map[string]string{
		"an unknown client":    request(f.web, "client_id", "c_8ENbdXlcXqgX"),
		"no client":            request(f.web, "client_id", ""),
		"the client of logins": request(f.web, "client_id", "login"),
		"a client twice":       link + "&client_id=" + f.web.ID,
		"another client too":   link + "&client_id=" + f.other.ID,
		"two redirect URIs":    link + "&redirect_uri=https%3A%2F%2Fevil.example%2F",
		"two states":           link + "&state=b",
		"a client of no user":  protocol.AuthorizePath + "?response_type=code&client_id=" + f.machine.ID,
	} {
		a := b.get(path)
		f.isPage(what, a, 400, "led here")
	}
	f.isPage("a bad escape", b.get(protocol.AuthorizePath+"?client_id=%zz"), 400, "cannot be read")
	f.isPage("a request by reference", b.get(request(f.web, "request_uri", "https://evil.example/x")), 400, "")
	for _, path := range []string{"/oauth/authorize/x", "/oauth/register", "/register", "/oauth/authorize/a/b", "/oauth/device"} {
		if a := b.get(path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

// TestLogin: a wrong password gets the page again; a right one a session of its own, in place of
// the one that the browser had.
func TestLogin(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	page := b.get(request(f.web))
	f.isPage("the login", page, 200, "Sign in to continue to Shop")
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://shop.example.com;") {
		t.Errorf("the policy: %s", policy)
	}
	wrong := b.send(protocol.LoginPath, formOf(page, "username", "alice", "password", "wrong"))
	f.isPage("a wrong password", wrong, 422, "Username or password incorrect")
	if len(b.cookies) > 0 || strings.Contains(wrong.text, `value="wrong"`) {
		t.Errorf("after a wrong password: %v", b.cookies)
	}
	b.cookies["__Host-keyward-issuer"] = "kwt_" + strings.Repeat("A", 43) // that an attacker has set
	right := b.send(protocol.LoginPath, formOf(wrong, "username", "alice", "password", testPassword))
	cookie := right.Header.Get("Set-Cookie")
	for _, part := range []string{"__Host-keyward-issuer=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %s lacks %s", cookie, part)
		}
	}
	if right.StatusCode != 303 || !strings.HasPrefix(right.Header.Get("Location"), protocol.AuthorizePath+"?") {
		t.Fatalf("%d %s", right.StatusCode, right.Header.Get("Location"))
	}
	before := b.cookies["__Host-keyward-issuer"]
	b.send(protocol.LoginPath, formOf(page, "username", "bob", "password", testPassword))
	again := f.browser("alice")
	again.cookies["__Host-keyward-issuer"] = before
	f.isPage("the session of before another login", again.get(request(f.web)), 200, "Sign in to continue")
}

// TestLoginAgain: what asks for a login gets one, and one that was done is not asked for again.
func TestLoginAgain(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	for _, more := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"prompt", "login consent"}, {"max_age", "0"}} {
		f.isPage(strings.Join(more, " "), b.get(request(f.web, more...)), 200, `action="/oauth/login"`)
		if got := b.allow(f.web, more...); got.Get("code") == "" {
			t.Errorf("%v: %v", more, got)
		}
	}
	f.isPage("the hint of another user", b.get(request(f.web, "id_token_hint", f.idToken("bob"))), 200, `action="/oauth/login"`)
	if a := b.get(request(f.web, "id_token_hint", f.idToken("alice"), "prompt", "none")); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("the hint of this user: %s", a.Header.Get("Location"))
	}
	f.isPage("consent", b.get(request(f.web, "prompt", "consent")), 200, `action="/oauth/consent"`)
	f.pass(2 * time.Hour)
	f.isPage("after the session", b.get(request(f.web)), 200, `action="/oauth/login"`)
}

// idToken is one of a user for the client web.
func (f *issuer) idToken(user string) string {
	f.Helper()
	code := f.browser(user).allow(f.web, "scope", "openid read").Get("code")
	return f.exchange(f.web, code).member("id_token")
}

// TestTemporaryPassword: a password that has to be changed first logs in to no application.
func TestTemporaryPassword(t *testing.T) {
	f := newIssuer(t)
	f.fatal(f.service.Records.SetPassword(t.Context(), f.admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), true))
	b := f.browser("alice")
	page := b.send(protocol.LoginPath, formOf(b.get(request(f.web)), "username", "alice", "password", testPassword))
	f.isPage("a temporary password", page, 422, "must be changed first")
	f.isPage("the next request", b.get(request(f.web)), 200, `action="/oauth/login"`)
}

// TestConsent: a user is asked once for each confidential client and set of scopes, and each
// time for a public one.
func TestConsent(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	page := b.send(protocol.LoginPath, formOf(b.get(request(f.web)), "username", "alice", "password", testPassword))
	page = b.get(page.Header.Get("Location"))
	f.isPage("the consent", page, 200, "Allow Shop to use")
	for _, text := range []string{"<code>read</code>", "alice", "https://shop.example.com", "never", "It asks to stay signed in"} {
		if !strings.Contains(page.text, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if got := b.through(b.send(protocol.ConsentPath, formOf(page, "consent", "deny")), ""); got.Get("error") != "access_denied" || got.Get("state") != "a state" || got.Get("iss") != testIssuer {
		t.Errorf("deny: %v", got)
	}
	f.isPage("after a denial", b.get(request(f.web)), 200, `action="/oauth/consent"`)
	if got := b.through(page, "allow"); got.Get("code") == "" {
		t.Errorf("allow: %v", got)
	}
	if a := b.get(request(f.web)); !strings.Contains(a.Header.Get("Location"), "code=") {
		t.Errorf("asked again: %s", a.text)
	}
	f.isPage("more scopes", b.get(request(f.web, "scope", "read write")), 200, "<code>write</code>")
	f.isPage("another client", b.get(request(f.other)), 200, "Allow Other to use")
	b.allow(f.app)
	f.isPage("a public client again", b.get(request(f.app)), 200, "Allow App to use")
	f.isPage("another user", f.browser("bob").get(request(f.web)), 200, `action="/oauth/login"`)

	actor, err := f.service.Accounts.Actor(t.Context(), authz.NewSecret(b.cookies["__Host-keyward-issuer"]), access.Call{Via: audit.ViaIssuer})
	f.fatal(err)
	token, refresh := f.tokensOf("before it is withdrawn", f.exchange(f.web, b.allow(f.web).Get("code")))
	f.fatal(f.service.Withdraw(t.Context(), actor, f.web.ID))
	if f.accepted(token) {
		t.Error("the consent is withdrawn, and the token accepted")
	}
	f.wantError("its refresh token", f.refresh(f.web, refresh), 400, "invalid_grant")
	f.isPage("withdrawn", b.get(request(f.web)), 200, `action="/oauth/consent"`)
}

// TestForgedForms: a form of another site does nothing, nor one for another user or for other
// scopes than were shown.
func TestForgedForms(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	login := b.get(request(f.web))
	elsewhere := []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}
	f.isPage("a login from elsewhere", b.send(protocol.LoginPath, formOf(login, "username", "alice", "password", testPassword), elsewhere...), 403, "sent from another page")
	if len(b.cookies) > 0 {
		t.Error("logged in")
	}
	page := b.get(b.send(protocol.LoginPath, formOf(login, "username", "alice", "password", testPassword)).Header.Get("Location"))
	f.isPage("a consent from elsewhere", b.send(protocol.ConsentPath, formOf(page, "consent", "allow"), elsewhere...), 403, "sent from another page")
	f.isPage("from a page of the same site", b.send(protocol.ConsentPath, formOf(page, "consent", "allow"), "Sec-Fetch-Site", "same-site"), 403, "sent from another page")
	f.isPage("neither allowed nor denied", b.send(protocol.ConsentPath, formOf(page)), 400, "cannot be read")
	f.isPage("of another user", b.send(protocol.ConsentPath, formOf(page, "consent", "allow", "user", "bob")), 200, `action="/oauth/consent"`)
	f.isPage("more than was shown", b.send(protocol.ConsentPath, formOf(page, "consent", "allow", "request", strings.TrimPrefix(request(f.web, "scope", "read write"), protocol.AuthorizePath+"?"))), 200, `action="/oauth/consent"`)
	f.isPage("of no session", f.browser("alice").send(protocol.ConsentPath, formOf(page, "consent", "allow")), 200, `action="/oauth/login"`)
	for _, path := range []string{protocol.LoginPath, protocol.ConsentPath} {
		if a := b.get(path); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, a.StatusCode)
		}
	}
	foreign := b.send(protocol.ConsentPath, formOf(page, "consent", "allow", "request", strings.TrimPrefix(request(f.web, "redirect_uri", "https://evil.example/"), protocol.AuthorizePath+"?")))
	f.isPage("with another redirect URI", foreign, 400, "is not registered for it")
	if posted := b.send(protocol.AuthorizePath, url.Values{"client_id": {f.web.ID}, "response_type": {"code"}}, elsewhere...); posted.StatusCode != 303 || !strings.HasPrefix(posted.Header.Get("Location"), protocol.AuthorizePath+"?") {
		t.Errorf("a request by POST: %d %s", posted.StatusCode, posted.Header)
	}
}

// TestWhatEndsGrants: what ends a user's logins or a client ends their tokens, used or not.
func TestWhatEndsGrants(t *testing.T) {
	yes := true
	for what, end := range map[string]func(f *issuer) error{
		"the user is disabled": func(f *issuer) error {
			_, err := f.service.Records.UpdateUser(f.Context(), f.admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Disabled: &yes})
			return err
		},
		"the user is deleted": func(f *issuer) error {
			return f.service.Records.DeleteUser(f.Context(), f.admin, manage.UserRef{Name: "alice"})
		},
		"another password": func(f *issuer) error {
			return f.service.Records.SetPassword(f.Context(), f.admin, manage.UserRef{Name: "alice"}, authz.NewSecret(testPassword), false)
		},
		"the client is disabled": func(f *issuer) error {
			_, err := f.service.Records.UpdateClient(f.Context(), f.admin, registry.ClientRef{ID: f.web.ID, IfMatch: store.AnyVersion}, registry.ClientPatch{Disabled: &yes})
			return err
		},
		"the client is deleted": func(f *issuer) error {
			return f.service.Records.DeleteClient(f.Context(), f.admin, registry.ClientRef{ID: f.web.ID, IfMatch: store.AnyVersion})
		},
		"another secret at once": func(f *issuer) error {
			_, secret, err := f.service.Records.RotateClient(f.Context(), f.admin, registry.ClientRef{ID: f.web.ID, IfMatch: store.AnyVersion}, 0)
			f.web.secret = secret.Reveal()
			return err
		},
	} {
		f := newIssuer(t)
		code := f.code(f.web)
		access, refresh := f.tokensOf(what, f.exchange(f.web, f.code(f.web)))
		f.fatal(end(f))
		if f.accepted(access) {
			t.Errorf("%s: the access token is accepted", what)
		}
		for which, a := range map[string]answer{"a code": f.exchange(f.web, code), "a refresh": f.refresh(f.web, refresh)} {
			if a.StatusCode == 200 || a.code() != "invalid_grant" && a.code() != "invalid_client" {
				t.Errorf("%s: %s: %d %s", what, which, a.StatusCode, a.text)
			}
		}
	}
}

// TestGraceOfSecrets: a secret that was replaced is good for its grace, and so are the tokens.
func TestGraceOfSecrets(t *testing.T) {
	f := newIssuer(t)
	old := f.machine
	_, secret, err := f.service.Records.RotateClient(t.Context(), f.admin, registry.ClientRef{ID: old.ID, IfMatch: store.AnyVersion}, time.Hour)
	f.fatal(err)
	f.machine.secret = secret.Reveal()
	f.tokensOf("the new one", f.token(f.machine, "grant_type", "client_credentials"))
	f.tokensOf("the old one", f.token(old, "grant_type", "client_credentials"))
	f.pass(2 * time.Hour)
	f.wantError("the old one, later", f.token(old, "grant_type", "client_credentials"), 401, "invalid_client")
}
