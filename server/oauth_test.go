package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keyward/internal/eventually"
	"keyward/store"
)

// oauthClient is an OAuth client as its operator has it.
type oauthClient struct{ id, secret, redirect string }

func (l *issuing) oauthClient(body string) oauthClient {
	l.t.Helper()
	made := l.must("POST", "/clients", body).body
	c := oauthClient{id: made["id"].(string)}
	c.secret, _ = made["secret"].(string)
	if uris, _ := made["redirect_uris"].([]any); len(uris) > 0 {
		c.redirect = uris[0].(string)
	}
	return c
}

// visitor is a browser at the issuer.
type visitor struct {
	l       *issuing
	cookies map[string]string
}

const verifierText = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-a"

func challenge() string {
	sum := sha256.Sum256([]byte(verifierText))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// do sends a request as a browser does, without following where it leads.
func (v *visitor) do(method, path string, form url.Values) answer {
	v.l.t.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, "http://127.0.0.1:9195"+path, body)
	if err != nil {
		v.l.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", "http://127.0.0.1:9195")
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	response, err := v.l.issuer.Transport.RoundTrip(r)
	if err != nil {
		v.l.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for _, c := range response.Cookies() {
		v.cookies[c.Name] = c.Value
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.l.t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// formOf is what a page's form sends, with other fields.
func formOf(page answer, more ...string) url.Values {
	form := url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(page.body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// allow goes through the pages as alice does, and returns the parameters of the answer that
// the client gets.
func (v *visitor) allow(c oauthClient, more ...string) url.Values {
	v.l.t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {c.redirect}, "state": {"st"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	page := v.do("GET", "/oauth/authorize?"+q.Encode(), nil)
	for range 4 {
		switch {
		case page.status == 303 && strings.HasPrefix(page.header.Get("Location"), "/oauth/authorize?"):
			page = v.do("GET", page.header.Get("Location"), nil)
		case page.status == 303:
			u, err := url.Parse(page.header.Get("Location"))
			if err != nil || !strings.HasPrefix(page.header.Get("Location"), c.redirect) {
				v.l.t.Fatalf("%v, to %s", err, page.header.Get("Location"))
			}
			return u.Query()
		case strings.Contains(page.body, `action="/oauth/login"`):
			page = v.do("POST", "/oauth/login", formOf(page, "username", "alice", "password", loginPassword))
		case strings.Contains(page.body, `action="/oauth/consent"`):
			page = v.do("POST", "/oauth/consent", formOf(page, "consent", "allow"))
		default:
			v.l.t.Fatalf("%d %s", page.status, page.body)
		}
	}
	v.l.t.Fatalf("no end: %d %s", page.status, page.header.Get("Location"))
	return nil
}

// form sends a form to an endpoint as a program, and returns the members of the answer.
func (l *issuing) form(path string, form url.Values, header ...string) (answer, map[string]any) {
	l.t.Helper()
	a := l.post(path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
	var members map[string]any
	_ = json.Unmarshal([]byte(a.body), &members)
	return a, members
}

// TestOAuth: a user allows a client, which gets tokens that the checks accept, refreshes them,
// and ends them.
func TestOAuth(t *testing.T) {
	l := startIssuer(t, "routes: [{path: /items, scopes: [\"items:read\"]}]\n")
	c := l.oauthClient(`{"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["items:read", "items:write"], "grants": ["authorization_code", "refresh_token", "client_credentials"]}`)
	v := &visitor{l, map[string]string{}}
	got := v.allow(c, "scope", "openid items:read items:write", "nonce", "n1")
	if got.Get("state") != "st" || got.Get("iss") != "http://127.0.0.1:9195" || got.Get("code") == "" {
		t.Fatalf("%v", got)
	}
	secret := url.Values{"client_id": {c.id}, "client_secret": {c.secret}}
	with := func(more ...string) url.Values {
		form := url.Values{}
		for name, values := range secret {
			form[name] = values
		}
		for i := 0; i < len(more); i += 2 {
			form.Set(more[i], more[i+1])
		}
		return form
	}
	a, tokens := l.form("/oauth/token", with("grant_type", "authorization_code", "code", got.Get("code"), "redirect_uri", c.redirect, "code_verifier", verifierText))
	if a.status != 200 || tokens["token_type"] != "Bearer" || tokens["scope"] != "openid items:read" || tokens["id_token"] == nil || tokens["refresh_token"] == nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	access := tokens["access_token"].(string)
	l.wants("a token of a code", access, 200)
	_, claims := l.introspect(secret, access)
	if claims["active"] != true || claims["username"] != "alice" || claims["client_id"] != c.id || claims["scope"] != "openid items:read" {
		t.Errorf("introspection: %v", claims)
	}
	a, next := l.form("/oauth/token", with("grant_type", "refresh_token", "refresh_token", tokens["refresh_token"].(string)))
	if a.status != 200 || next["refresh_token"] == tokens["refresh_token"] {
		t.Fatalf("refresh: %d %s", a.status, a.body)
	}
	l.wants("a token of a refresh", next["access_token"].(string), 200)
	a, own := l.form("/oauth/token", with("grant_type", "client_credentials", "scope", "items:read nothing"))
	if a.status != 200 || own["scope"] != "items:read" || own["refresh_token"] != nil {
		t.Fatalf("client_credentials: %d %s", a.status, a.body)
	}
	l.wants("a client's token", own["access_token"].(string), 200)
	for what, token := range map[string]string{"a refresh token": next["refresh_token"].(string), "a client's": own["access_token"].(string)} {
		if a, _ := l.form("/oauth/revoke", with("token", token)); a.status != 200 {
			t.Errorf("revoke %s: %d %s", what, a.status, a.body)
		}
	}
	for what, token := range map[string]string{"revoked": access, "revoked too": next["access_token"].(string), "the client's": own["access_token"].(string)} {
		if got, _ := l.ask("/items", token); got != 401 {
			t.Errorf("%s: %d", what, got)
		}
		if _, claims := l.introspect(secret, token); claims["active"] != false {
			t.Errorf("%s: %v", what, claims)
		}
	}
	if code := v.allow(c, "scope", "items:read", "prompt", "none").Get("code"); code == "" {
		t.Error("the consent is not remembered")
	}
	kept := v.allow(c, "scope", "items:read", "prompt", "none").Get("code")
	_, tokens = l.form("/oauth/token", with("grant_type", "authorization_code", "code", kept, "redirect_uri", c.redirect, "code_verifier", verifierText))
	access = tokens["access_token"].(string)
	l.wants("before its access is ended", access, 200)
	cookie := l.signIn("alice")
	l.ok("the account", l.page(cookie, "GET", "/account", nil), 200, "Shop", "items:read", "End access")
	l.ok("ended", l.page(cookie, "POST", "/account/applications/end", url.Values{"client": {c.id}}), 303)
	if got, _ := l.ask("/items", access); got != 401 {
		t.Errorf("after its access was ended: %d", got)
	}
	l.ok("the account", l.page(cookie, "GET", "/account", nil), 200, "No application has access")
	if got := v.do("GET", "/oauth/authorize?"+url.Values{"response_type": {"code"}, "client_id": {c.id}, "scope": {"items:read"}}.Encode(), nil); !strings.Contains(got.body, `action="/oauth/consent"`) {
		t.Errorf("the consent is still remembered: %d %s", got.status, got.body)
	}
	if strings.Contains(l.log.String(), c.secret) || strings.Contains(l.log.String(), access) || strings.Contains(l.log.String(), got.Get("code")) {
		t.Error("the log has a secret")
	}
}

func (l *issuing) introspect(secret url.Values, token string) (answer, map[string]any) {
	l.t.Helper()
	form := url.Values{"token": {token}}
	for name, values := range secret {
		form[name] = values
	}
	return l.form("/oauth/introspect", form)
}

// TestTokensOfAnotherKeyward: another Keyward with the same records accepts the tokens by one
// line, and refuses them as the issuer's own checks do.
func TestTokensOfAnotherKeyward(t *testing.T) {
	l := startIssuer(t, "")
	c := l.oauthClient(`{"name": "Report", "scopes": ["items:read"], "grants": ["client_credentials"]}`)
	keys := filepath.Join(t.TempDir(), "jwks.json")
	text, err := l.issuer.Get("http://127.0.0.1:9195/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = text.Body.Close() }()
	document, err := io.ReadAll(text.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, document, 0o600); err != nil {
		t.Fatal(err)
	}
	other := start(t, baseConfig+strings.NewReplacer("FILES", l.path("")+"/", "KEYS", keys).Replace(`
users: {file: FILESusers.jsonl}
clients: {file: FILESclients.jsonl}
revocations: {file: FILESrevocations.jsonl}
jwt: [{issuer: "http://127.0.0.1:9195", audiences: ["http://127.0.0.1:9195"], jwks_file: KEYS, keyward: true}]
`), func(r *running) { r.create(store.KeyParams{}) })
	form := url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"client_credentials"}}
	_, own := l.form("/oauth/token", form)
	for what, token := range map[string]string{"a login": l.tokensOfAlice().Token, "a client": own["access_token"].(string)} {
		eventually.Succeeds(t, func() error {
			if got, _ := other.ask("/items", token); got != 200 {
				return fmt.Errorf("%s: %d", what, got)
			}
			return nil
		})
	}
	l.must("PATCH", "/clients/"+c.id, `{"disabled": true}`)
	eventually.Succeeds(t, func() error {
		if got, _ := other.ask("/items", own["access_token"].(string)); got != 401 {
			return fmt.Errorf("a disabled client: %d", got)
		}
		return nil
	})
}

// TestTokenOfResource: a client that found a protected resource by its metadata (RFC 9728) gets
// a token for it (RFC 8707), and none for a resource that the API does not have.
func TestTokenOfResource(t *testing.T) {
	l := startIssuer(t, `resource_metadata: {url: "https://api.example.com", authorization_servers: ["https://id.example.com"]}
routes: [{path: /items, scopes: ["items:read"], resource_metadata: true}, {path: /other}]
`)
	c := l.oauthClient(`{"name": "Agent", "scopes": ["items:read"], "grants": ["client_credentials"]}`)
	form := url.Values{"client_id": {c.id}, "client_secret": {c.secret}, "grant_type": {"client_credentials"}}
	for resource, ok := range map[string]bool{
		"https://api.example.com/items": true, "https://api.example.com": true, "https://api.example.com/": true, "http://127.0.0.1:9195": true,
		"https://api.example.com/none": false, "https://evil.example/items": false, "": false,
	} {
		form.Set("resource", resource)
		a, tokens := l.form("/oauth/token", form)
		if !ok {
			if a.status != 400 || tokens["error"] != "invalid_target" {
				t.Errorf("%s: %d %s", resource, a.status, a.body)
			}
			continue
		}
		if a.status != 200 {
			t.Errorf("%s: %d %s", resource, a.status, a.body)
			continue
		}
		l.wants(resource, tokens["access_token"].(string), 200)
	}
}
