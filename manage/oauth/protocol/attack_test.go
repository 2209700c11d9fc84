package protocol_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/oauth/protocol"
	"keyward/manage/registry"
	"keyward/manage/state"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// hostile are texts with which parsers, headers and pages are broken.
var hostile = map[string]string{
	"lines": "a\r\nSet-Cookie: x=y\r\n\r\n<script>", "a NUL": "a\x00b", "markup": `"><script>alert(1)</script><a href="`, "an attribute": `' onfocus='alert(1)`,
	"another direction": "a\u202egnp.exe", "not UTF-8": "a\xff\xfe", "separators": "a;b,c&d=e%0d%0a#f?g", "line separators": "a\u2028b\u0085c", "long": strings.Repeat("é", 3000), "a template": "{{.}}${7*7}",
}

// TestHostileTexts: what a request has of texts comes back as it came, encoded, or not at
// all: no header field, no markup and no second parameter comes of it.
func TestHostileTexts(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	check := func(what string, a answer) url.Values {
		t.Helper()
		for name, values := range a.Header {
			if text := strings.Join(values, ""); strings.ContainsAny(text, "\r\n\x00") || name == "Set-Cookie" {
				t.Errorf("%s: %s: %q", what, name, text)
			}
		}
		if strings.Contains(a.text, "<script>alert") || strings.Contains(a.text, "<script>\"") || strings.Contains(a.text, "' onfocus='") {
			t.Errorf("%s: markup in %s", what, a.text)
		}
		u, err := url.Parse(a.Header.Get("Location"))
		f.fatal(err)
		return u.Query()
	}
	for what, text := range hostile {
		if got := check(what, b.get(request(f.web, "state", text))); got.Get("state") != text || got.Get("code") == "" || len(got) != 3 {
			t.Errorf("state, %s: %v", what, got)
		}
		for _, name := range []string{"scope", "prompt", "response_type", "response_mode", "code_challenge_method", "resource", "max_age", "id_token_hint", "display", "acr_values", "ui_locales", "request", "claims", "unknown"} {
			if got := check(name+", "+what, b.get(request(f.web, name, text))); got.Get("state") != "" && got.Get("state") != "a state" || got.Has("error") && strings.Contains(got.Get("error_description"), text) {
				t.Errorf("%s, %s: %v", name, what, got)
			}
		}
		for _, name := range []string{"client_id", "redirect_uri", "login_hint", "nonce", "state"} {
			check(name+", "+what, f.browser("alice").get(request(f.web, name, text)))
		}
		for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "scope", "client_id", "client_secret", "resource", "refresh_token"} {
			a := f.exchange(f.web, "x", name, text)
			if check(name+", "+what, a); a.StatusCode < 400 || a.StatusCode > 401 || strings.Contains(a.text, text) {
				t.Errorf("%s, %s: %d %s", name, what, a.StatusCode, a.text)
			}
		}
	}
}

// TestRequestOfForms: what the login's form sends as the request leads to the authorization
// endpoint alone, whatever a reader of URLs may take it for.
func TestRequestOfForms(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	login := b.get(request(f.web))
	for _, request := range []string{
		"https://evil.example/", "//evil.example", `/\evil.example`, `\\evil.example`, "@evil.example", "../../x", "#x", "?x", "http:evil.example", "javascript:alert(1)", "a=b\r\nLocation: https://evil.example", "", "%2F%2Fevil.example",
	} {
		for _, password := range []string{testPassword, "wrong"} {
			a := f.browser("alice").send(protocol.LoginPath, formOf(login, "username", "alice", "password", password, "request", request))
			to := a.Header.Get("Location")
			if a.StatusCode == 303 && (!strings.HasPrefix(to, protocol.AuthorizePath+"?") || strings.ContainsAny(to, "\r\n\\#@")) || a.StatusCode != 303 && to != "" {
				t.Errorf("%q: %d %s", request, a.StatusCode, to)
			}
		}
	}
	for what, request := range map[string]string{"a bad escape": "client_id=%zz", "two clients": "client_id=a&client_id=b"} {
		f.isPage(what, b.send(protocol.LoginPath, formOf(login, "username", "alice", "password", testPassword, "request", request)), 400, "cannot be read")
	}
	consent := b.get(b.send(protocol.LoginPath, formOf(login, "username", "alice", "password", testPassword)).Header.Get("Location"))
	for what, request := range map[string]string{"a bad escape": "client_id=%zz", "two redirect URIs": formOf(consent).Get("request") + "&redirect_uri=https://evil.example/", "nothing": ""} {
		if a := b.send(protocol.ConsentPath, formOf(consent, "consent", "allow", "request", request)); a.StatusCode != 400 || a.Header.Get("Location") != "" {
			t.Errorf("consent, %s: %d %s", what, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

// TestFormsOfOthers: a form that is sent to another name of the server does nothing, and one of
// another user's page does not answer for this one.
func TestFormsOfOthers(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	for _, path := range []string{protocol.LoginPath, protocol.ConsentPath} {
		hr := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(url.Values{"username": {"alice"}, "password": {testPassword}, "consent": {"allow"}}.Encode()))
		hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		hr.Header.Set("Sec-Fetch-Site", "same-origin")
		hr.Host = "rebound.example"
		w := httptest.NewRecorder()
		if f.ServeHTTP(w, hr); w.Code != http.StatusMisdirectedRequest || w.Header().Get("Set-Cookie")+w.Header().Get("Location") != "" {
			t.Errorf("%s under another name: %d %s", path, w.Code, w.Header())
		}
	}
	page := b.get(request(f.web, "prompt", "consent"))
	f.isPage("the consent", page, 200, `action="/oauth/consent"`)
	f.isPage("for another user", b.send(protocol.ConsentPath, formOf(page, "consent", "allow", "user", "bob")), 200, `action="/oauth/consent"`)
}

// TestLoginInTheFuture: how old a login is that the clock has not reached is not known.
func TestLoginInTheFuture(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	_, cookie, err := f.db.IssuerSessions.Create(t.Context(), state.Login{User: "alice", Method: state.LoginPassword, Proved: time.Now().Add(time.Hour)})
	f.fatal(err)
	b.cookies["__Host-keyward-issuer"] = cookie.Reveal()
	f.isPage("by a clock that went back", b.get(request(f.web, "max_age", "60")), 200, `action="/oauth/login"`)
	if got := b.through(b.get(request(f.web, "max_age", "7200")), "allow"); !got.Has("code") {
		t.Errorf("%v", got)
	}
}

// TestTossedCookies: of two cookies with the session's name neither counts, nor does a
// session of the console, nor one whose user must change the password first.
func TestTossedCookies(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	const name = "__Host-keyward-issuer"
	for _, cookies := range []string{name + "=" + b.cookies[name] + "; " + name + "=x", name + "=x; " + name + "=" + b.cookies[name]} {
		hr := httptest.NewRequestWithContext(t.Context(), http.MethodGet, request(f.web), http.NoBody)
		hr.Header.Set("Cookie", cookies)
		f.isPage("two cookies", f.serve(hr), 200, `action="/oauth/login"`)
	}
	_, console, err := f.db.Sessions.Create(t.Context(), state.Login{User: "alice", Method: state.LoginPassword})
	f.fatal(err)
	other := f.browser("alice")
	other.cookies[name] = console.Reveal()
	f.isPage("a session of the console", other.get(request(f.web)), 200, `action="/oauth/login"`)

	f.fatal(f.service.Records.SetPassword(t.Context(), f.admin, manage.UserRef{Name: "bob"}, authz.NewSecret(testPassword), true))
	temporary, err := f.service.Accounts.Login(t.Context(), access.Call{Via: audit.ViaIssuer}, "bob", authz.NewSecret(testPassword), authz.Secret{})
	f.fatal(err)
	other.cookies[name] = temporary.Reveal()
	f.isPage("a password that must be changed", other.get(request(f.web)), 200, `action="/oauth/login"`)
}

// TestDowngrades: no request gets a code of a public client without PKCE, and no code that was
// asked for with it is exchanged without.
func TestDowngrades(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.app)
	plain := protocol.AuthorizePath + "?" + url.Values{"response_type": {"code"}, "client_id": {f.app.ID}, "redirect_uri": {appRedirect}, "state": {"a state"}}.Encode()
	for what, link := range map[string]string{
		"nothing": plain, "an empty challenge": plain + "&code_challenge=", "an empty one by S256": plain + "&code_challenge=&code_challenge_method=S256", "lower case": plain + "&code_challenge=" + challenge() + "&code_challenge_method=s256",
		"an empty method": plain + "&code_challenge=" + challenge() + "&code_challenge_method=", "another name": plain + "&Code_challenge=" + challenge() + "&code_challenge_method=S256",
	} {
		got := b.through(b.get(link), "allow")
		if got.Get("error") != "invalid_request" || got.Has("code") {
			t.Errorf("%s: %v", what, got)
		}
	}
	code := f.code(f.web)
	for what, verifier := range map[string]string{
		"the challenge itself": challenge(), "short": codeKey[:20], "long": codeKey + strings.Repeat("a", 100), "with a space": codeKey + " ", "a line": codeKey + "\n", "upper case": strings.ToUpper(codeKey), "one character less": codeKey[:len(codeKey)-1],
	} {
		f.wantError(what, f.exchange(f.web, code, "code_verifier", verifier), 400, "invalid_grant")
	}
	f.tokensOf("after all that", f.exchange(f.web, code))
	unprotected := f.code(f.web, "code_challenge", "", "code_challenge_method", "")
	f.wantError("injected into a login with PKCE", f.exchange(f.web, unprotected), 400, "invalid_grant")
	local := f.browser("alice").allow(f.app, "redirect_uri", "http://127.0.0.1:5001/cb").Get("code")
	f.wantError("sent to another port", f.exchange(f.app, local, "redirect_uri", "http://127.0.0.1:5002/cb"), 400, "invalid_grant")
	f.wantError("sent to the registered one", f.exchange(f.app, local), 400, "invalid_grant")
	f.wantError("at a client with a secret", f.exchange(f.web, local, "redirect_uri", "http://127.0.0.1:5001/cb"), 400, "invalid_grant")
	f.tokensOf("where it went", f.exchange(f.app, local, "redirect_uri", "http://127.0.0.1:5001/cb"))
}

// TestScopesGrow: no later request has more scopes than the user has allowed and still has.
func TestScopesGrow(t *testing.T) {
	f := newIssuer(t)
	scope := func(what string, a answer, want string) string {
		t.Helper()
		token, refresh := f.tokensOf(what, a)
		if _, claims := f.parts(token); a.member("scope") != want || claims["scope"] != want {
			t.Errorf("%s: %q, in the token %q, want %q", what, a.member("scope"), claims["scope"], want)
		}
		return refresh
	}
	refresh := scope("an exchange that asks for more", f.exchange(f.web, f.code(f.web), "scope", "read write admin"), "read")
	for _, more := range []string{"write", "read write", "read\u00a0write", "read\twrite", "READ", "keyward:self", "any", "openid", "read\x00", "rea\u0064\u0301", "read,write", strings.Repeat("read ", 5000) + "write"} {
		f.wantError("a refresh for "+more[:min(len(more), 20)], f.refresh(f.web, refresh, "scope", more), 400, "invalid_scope")
	}
	refresh = scope("the same twice", f.refresh(f.web, refresh, "scope", "read read"), "read")
	if _, err := f.service.Records.UpdateUser(t.Context(), f.admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Scopes: &[]string{"write"}}); err != nil {
		t.Fatal(err)
	}
	scope("of a user who has lost them", f.refresh(f.web, refresh), "")
	code := f.browser("bob").allow(f.web, "scope", "read write").Get("code")
	if _, err := f.service.Records.UpdateUser(t.Context(), f.admin, manage.UserRef{Name: "bob"}, manage.UserPatch{Scopes: &[]string{"write", "admin"}}); err != nil {
		t.Fatal(err)
	}
	scope("a code of a user who has others now", f.exchange(f.web, code), "write")
	for _, asked := range []string{"read\u00a0admin", "read keyward:admin", "admin  read\t", "any read", "openid read"} {
		scope(asked, f.token(f.machine, "grant_type", "client_credentials", "scope", asked), "read")
	}
}

// TestScopeNamedAny: a scope that has the name by which the library allows all scopes is one as
// any other.
func TestScopeNamedAny(t *testing.T) {
	f := newIssuer(t)
	_, err := f.service.Records.UpdateUser(t.Context(), f.admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Scopes: &[]string{"any", "read"}})
	f.fatal(err)
	c := f.create(registry.ClientInput{Name: "Any", RedirectURIs: []string{webRedirect}, Scopes: []string{"any", "read", "write"}, Grants: []oauth.Grant{oauth.AuthorizationCode, oauth.RefreshToken, oauth.ClientCredentials}})
	a := f.exchange(c, f.code(c, "scope", "any admin"))
	access, refresh := f.tokensOf("any", a)
	if _, claims := f.parts(access); a.member("scope") != "any" || claims["scope"] != "any" {
		t.Errorf("%s, in the token %v", a.text, claims["scope"])
	}
	for _, more := range []string{"read", "write", "any read"} {
		f.wantError("a refresh for "+more, f.refresh(c, refresh, "scope", more), 400, "invalid_scope")
	}
	if a := f.token(c, "grant_type", "client_credentials", "scope", "any admin"); a.member("scope") != "any" {
		t.Errorf("of the client: %s", a.text)
	}
}

// TestResourcesGrow: no request gets a token for a resource that is not the issuer's, among
// others or later (RFC 8707 section 2).
func TestResourcesGrow(t *testing.T) {
	f := newIssuer(t)
	const other = "https://other.example.com"
	own := url.Values{"grant_type": {"client_credentials"}, "resource": {"api", other}, "client_id": {f.machine.ID}, "client_secret": {f.machine.secret}}
	f.wantError("two resources", f.post(protocol.TokenPath, own), 400, "invalid_target")
	code := f.code(f.web, "resource", "api")
	f.wantError("another at the exchange", f.exchange(f.web, code, "resource", other), 400, "invalid_target")
	_, refresh := f.tokensOf("after that", f.exchange(f.web, code))
	for _, resource := range []string{other, "API", "api/", "api api", "https://id.example.com"} {
		f.wantError("a refresh for "+resource, f.refresh(f.web, refresh, "resource", resource), 400, "invalid_target")
	}
	access, _ := f.tokensOf("the same", f.refresh(f.web, refresh, "resource", "api"))
	if _, claims := f.parts(access); claims["aud"] != "api" {
		t.Errorf("aud: %v", claims["aud"])
	}
	b := f.browser("alice")
	b.allow(f.web)
	if got := b.through(b.get(request(f.web)+"&resource=api&resource="+url.QueryEscape(other)), "allow"); got.Get("error") != "invalid_target" {
		t.Errorf("two resources of a link: %v", got)
	}
}

// TestTokensOfOthers: a client ends no token of another one, of whichever kind, and learns
// nothing of its refresh tokens.
func TestTokensOfOthers(t *testing.T) {
	f := newIssuer(t)
	own, _ := f.tokensOf("a client's own", f.token(f.machine, "grant_type", "client_credentials"))
	access, refresh := f.tokensOf("a user's", f.exchange(f.web, f.code(f.web)))
	code := f.code(f.web)
	for _, c := range []client{f.other, f.app} {
		for what, token := range map[string]string{"a client's own": own, "a user's": access, "a refresh token": refresh, "a code": code} {
			for _, hint := range []string{"", "access_token", "refresh_token", "x"} {
				if a := f.post(protocol.RevokePath, c.form("token", token, "token_type_hint", hint)); a.StatusCode != 200 {
					t.Errorf("%s revokes %s: %d %s", c.Name, what, a.StatusCode, a.text)
				}
			}
		}
	}
	if a := f.post(protocol.IntrospectPath, f.other.form("token", code)); a.members["active"] != false || len(a.members) != 1 {
		t.Errorf("a code: %s", a.text)
	}
	if !f.accepted(own) || !f.accepted(access) {
		t.Error("another client has ended the tokens")
	}
	f.tokensOf("the code", f.exchange(f.web, code))
	f.tokensOf("the refresh token", f.refresh(f.web, refresh))
	f.post(protocol.RevokePath, f.machine.form("token", own))
	if f.accepted(own) {
		t.Error("its client has not ended the token")
	}
	another, _ := f.tokensOf("another of its own", f.token(f.machine, "grant_type", "client_credentials"))
	if !f.accepted(another) {
		t.Error("the end of one token ends those of after")
	}
}

// TestAnotherUserOfTheName: nothing of a user who was deleted is good for a user of the same
// name.
func TestAnotherUserOfTheName(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	code := b.allow(f.web).Get("code")
	token, refresh := f.tokensOf("before", f.exchange(f.web, b.allow(f.web).Get("code")))
	f.fatal(f.service.Records.DeleteUser(t.Context(), f.admin, manage.UserRef{Name: "alice"}))
	password := authz.NewSecret(testPassword)
	_, err := f.service.Records.CreateUser(t.Context(), f.admin, manage.UserInput{Name: "alice", Scopes: []string{"read", "write"}, Password: &password})
	f.fatal(err)
	if f.accepted(token) {
		t.Error("an access token is accepted")
	}
	f.wantError("a code", f.exchange(f.web, code), 400, "invalid_grant")
	f.wantError("a refresh token", f.refresh(f.web, refresh), 400, "invalid_grant")
	page := b.get(request(f.web))
	f.isPage("the session", page, 200, `action="/oauth/login"`)
	page = b.get(b.send(protocol.LoginPath, formOf(page, "username", "alice", "password", testPassword)).Header.Get("Location"))
	f.isPage("the consent", page, 200, `action="/oauth/consent"`)
	if strings.Contains(page.text, "<time") {
		t.Errorf("the page has the time of a consent: %s", page.text)
	}
}

// TestRevokedWhileRefreshed: after a revocation was answered no token of the family is
// accepted, those of refreshes at the same time included.
func TestRevokedWhileRefreshed(t *testing.T) {
	f := newIssuer(t)
	for range 5 {
		first, refresh := f.tokensOf("a code", f.exchange(f.web, f.code(f.web)))
		var all sync.WaitGroup
		answers := make([]answer, 6)
		for i := range answers {
			all.Go(func() {
				if i == 2 {
					answers[i] = f.post(protocol.RevokePath, f.web.form("token", first))
					return
				}
				answers[i] = f.refresh(f.web, refresh)
			})
		}
		all.Wait()
		if answers[2].StatusCode != 200 {
			t.Fatalf("revoke: %d %s", answers[2].StatusCode, answers[2].text)
		}
		for i, a := range append(answers, answer{members: map[string]any{"access_token": first}}) {
			if token := a.member("access_token"); token != "" && f.accepted(token) {
				t.Errorf("%d: an access token is accepted", i)
			}
			if next := a.member("refresh_token"); next != "" {
				f.wantError("a refresh token of meanwhile", f.refresh(f.web, next), 400, "invalid_grant")
			}
		}
	}
}

// TestRefusedUserInfo: which requests learn nothing of a user, with a token that is good.
func TestRefusedUserInfo(t *testing.T) {
	f := newIssuer(t)
	token, _ := f.tokensOf("openid", f.exchange(f.web, f.code(f.web, "scope", "openid")))
	for what, c := range map[string]struct {
		method, path  string
		authorization []string
		status        int
	}{
		"a parameter in the query": {http.MethodGet, "?x=y", []string{"Bearer " + token}, 400}, "the token in the query": {http.MethodGet, "?access_token=" + token, nil, 400},
		"two credentials": {http.MethodGet, "", []string{"Bearer " + token, "Bearer " + token}, 401}, "no token": {http.MethodGet, "", []string{"Bearer "}, 401}, "another scheme": {http.MethodGet, "", []string{"DPoP " + token}, 401},
		"another method": {http.MethodPut, "", []string{"Bearer " + token}, 405}, "DELETE": {http.MethodDelete, "", []string{"Bearer " + token}, 405}, "a preflight": {http.MethodOptions, "", []string{"Bearer " + token}, 204},
	} {
		hr := httptest.NewRequestWithContext(t.Context(), c.method, protocol.UserInfoPath+c.path, http.NoBody)
		hr.Header["Authorization"] = c.authorization
		if a := f.serve(hr); a.StatusCode != c.status || a.member("sub") != "" || strings.Contains(a.text, "alice") {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.text)
		}
	}
}

// TestLargeRequests: what has too many parts is refused before anything is looked up.
func TestLargeRequests(t *testing.T) {
	f := newIssuer(t)
	b := f.browser("alice")
	b.allow(f.web)
	f.isPage("many parameters of a link", b.get(request(f.web)+manyParameters()), 400, "cannot be read")
	form, err := url.ParseQuery(manyParameters())
	f.fatal(err)
	f.isPage("of a form", b.send(protocol.AuthorizePath, form), 400, "cannot be read")
	f.isPage("one twice in a form", b.send(protocol.AuthorizePath, url.Values{"client_id": {f.web.ID, f.other.ID}}), 400, "cannot be read")
	f.isPage("a large form", b.send(protocol.LoginPath, url.Values{"password": {strings.Repeat("a", 70_000)}}), 400, "cannot be read")
	members := map[string]string{"grant_type": "client_credentials", "client_id": f.machine.ID, "client_secret": f.machine.secret}
	for name := range form {
		members[name] = "1"
	}
	text, err := json.Marshal(members)
	f.fatal(err)
	hr := httptest.NewRequestWithContext(t.Context(), http.MethodPost, protocol.TokenPath, strings.NewReader(string(text)))
	hr.Header.Set("Content-Type", "application/json")
	f.wantError("many members", f.serve(hr), 400, "invalid_request")
	for _, name := range []string{"code", "code_verifier", "redirect_uri"} {
		f.wantError("a long "+name, f.exchange(f.web, "x", name, strings.Repeat("a", 60_000)), 400, "invalid_grant")
	}
	f.wantError("a long refresh token", f.refresh(f.web, strings.Repeat("a", 60_000)), 400, "invalid_grant")
	f.wantError("a long secret", f.token(f.web, "client_secret", strings.Repeat("a", 60_000), "grant_type", "client_credentials"), 401, "invalid_client")
	f.wantError("a long client", f.token(f.web, "client_id", strings.Repeat("c_", 30_000), "grant_type", "client_credentials"), 401, "invalid_client")
	f.wantError("a list of dots", f.post(protocol.IntrospectPath, f.web.form("token", strings.Repeat(".", 60_000))), 200, "")
}

// TestAmbiguousClients: a client that authenticates in two ways, or by what is not offered, is
// none; one that has tried too often learns when to come back.
func TestAmbiguousClients(t *testing.T) {
	f := newIssuer(t)
	own := []string{"grant_type", "client_credentials"}
	f.wantError("an assertion alone", f.token(f.machine, append(own, "client_assertion", "e30.e30.")...), 401, "invalid_client")
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(f.machine.ID, f.machine.secret)
	hr := httptest.NewRequestWithContext(t.Context(), http.MethodPost, protocol.TokenPath, strings.NewReader("grant_type=client_credentials"))
	hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	hr.Header["Authorization"] = []string{r.Header.Get("Authorization"), r.Header.Get("Authorization")}
	f.wantError("two header fields", f.serve(hr), 401, "invalid_client")
	for _, password := range []string{"%zz", "%", "made up"} {
		r.SetBasicAuth(f.app.ID, password)
		f.wantError("a public client with the secret "+password, f.post(protocol.TokenPath, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, "Authorization", r.Header.Get("Authorization")), 401, "invalid_client")
	}
	f.wantError("the client of logins", f.token(f.machine, append(own, "client_id", "login")...), 401, "invalid_client")
	for _, id := range []string{f.machine.ID + " ", " " + f.machine.ID, strings.ToUpper(f.machine.ID), f.machine.ID + "\x00", strings.Replace(f.machine.ID, "c", "с", 1)} {
		f.wantError("the id "+id, f.token(f.machine, append(own, "client_id", id)...), 401, "invalid_client")
	}
	f.denial = &protocol.Denial{Reason: authz.RateLimited, RetryAfter: "7"}
	a := f.token(f.machine, own...)
	if f.wantError("too often", a, 429, "temporarily_unavailable"); a.Header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
	f.denial = &protocol.Denial{Reason: authz.Unavailable}
	f.wantError("nothing can be decided", f.token(f.machine, own...), 503, "temporarily_unavailable")
}

// TestRefusedIsNotCounted: no access token is signed for a refresh that gets nothing.
func TestRefusedIsNotCounted(t *testing.T) {
	f := newIssuer(t)
	counted := 0
	f.service.Issued = func(string) { counted++ }
	_, first := f.tokensOf("a code", f.exchange(f.web, f.code(f.web)))
	_, second := f.tokensOf("a refresh", f.refresh(f.web, first))
	f.tokensOf("the next", f.refresh(f.web, second))
	f.wantError("replaced", f.refresh(f.web, first), 400, "invalid_grant")
	f.pass(11 * time.Second)
	f.wantError("reuse", f.refresh(f.web, first), 400, "invalid_grant")
	if counted != 3 {
		t.Errorf("%d access tokens were signed", counted)
	}
}
