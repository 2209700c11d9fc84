package oauthclients

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/browser"
)

// genericConfig is the part of the Generic API's configuration that its OAuth needs.
const genericConfig = `listen: {grpc: %q, http: %q, admin: %q, console: "", issuer: %q}
keys: {file: keys.jsonl, max_age: 90d}
users: {file: users.jsonl}
clients: {file: clients.jsonl}
projects: {file: projects.jsonl}
revocations: {file: revocations.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
issuer: {url: %q, cookie: token}
credentials: {cookie: token}
rate_limits: {api_key: 1000/h, oauth: 5000/h, jwt: 2000/h}
errors: generic
default: {auth: deny}
routes:
- {name: read, path: /v1, methods: [GET], scopes: [read]}
- {name: write, path: /v1, methods: [POST, PUT, PATCH, DELETE], scopes: [write]}
`

// genericPage is the Generic API as its page has it, with a client of it.
type genericPage struct {
	*site
	application, client, secret string
}

// script returns a script of the page with other hosts, ids and secrets than the printed ones,
// and nothing else changed.
func (p *genericPage) script(name string, more ...string) string {
	p.t.Helper()
	text, err := os.ReadFile("testdata/generic-page/" + name)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.NewReplacer(append([]string{
		"https://api.example.com", p.issuer(), "https://yourapp.com", p.application, "YOUR_CLIENT_ID", p.client, "YOUR_CLIENT_SECRET", p.secret,
	}, more...)...).Replace(string(text))
}

// run runs a script, and reads the value of an expression at its end.
func (p *genericPage) run(script, expression string, result any) {
	p.t.Helper()
	if err := stack.RunJavaScript(p.t.Context(), script, expression, result); err != nil {
		p.t.Fatal(err)
	}
}

// TestGenericPage runs the JavaScript of the Generic API's page: from the authorization endpoint
// to a token, to the API's answer, and to a refreshed token.
func TestGenericPage(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal(err)
	}
	s := prepare(t, time.Hour)
	s.write("keyward.yaml", fmt.Sprintf(genericConfig, stack.Address(s.ports.GRPC), stack.Address(s.ports.HTTP), stack.Address(s.ports.Admin), stack.Address(s.ports.Issuer), s.issuer()))
	s.run(password, "user", "set", alice, "--scope", "read", "--scope", "write")
	p := &genericPage{site: s, application: strings.TrimSuffix(startApplication(t), "/callback")}
	p.client, p.secret = s.client("--grant", "authorization_code", "--grant", "refresh_token", "--redirect-uri", p.application+"/callback", "--scope", "read", "--scope", "write")
	s.start()

	inBrowser, atServer, found := strings.Cut(p.script("authorization-code.js"), "// Step 3")
	if !found {
		t.Fatal("the page has no step 3")
	}
	tab := browser.Start(t).Tab(t, browser.Window{})
	tab.Open(p.application)
	browser.Evaluate[any](tab, "(() => {"+inBrowser+"})(); null")
	tab.Arrive(s.issuer()+"/oauth/authorize?", "#password")
	loginToKeyward(tab)
	tab.Arrive(p.application+"/callback?code=", "h1")
	arrived, err := url.Parse(tab.URL())
	if err != nil || arrived.Query().Has("state") {
		t.Fatalf("%v: %s", err, arrived)
	}

	type answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Status  int    `json:"status"`
		Method  string `json:"method"` // of the credential, as the API sees it
	}
	var first, second answer
	p.run(strings.ReplaceAll("// Step 3"+atServer, "AUTH_CODE", arrived.Query().Get("code")),
		`{access_token, refresh_token, status: apiResponse.status, method: (await apiResponse.json()).headers["x-auth-method"][0]}`, &first)
	if first.Access == "" || first.Refresh == "" || first.Status != 200 || first.Method != "oauth" {
		t.Fatalf("%+v", first)
	}
	p.run(p.script("refresh.js", "YOUR_REFRESH_TOKEN", first.Refresh), `{access_token, status: response.status}`, &second)
	if second.Access == "" || second.Access == first.Access {
		t.Fatalf("the refresh: %+v", second)
	}
	var verified struct {
		Authenticated bool
		Scopes        []string
		Expires       time.Time `json:"expires_at"`
	}
	p.run(fmt.Sprintf(`const said = await fetch(%q, {headers: {Authorization: %q}})`, s.issuer()+"/v1/auth/verify", "Bearer "+second.Access), "await said.json()", &verified)
	if left := time.Until(verified.Expires); !verified.Authenticated || strings.Join(verified.Scopes, " ") != "read write" || left > time.Hour || left < 59*time.Minute {
		t.Errorf("the refreshed token: %+v", verified)
	}
}
