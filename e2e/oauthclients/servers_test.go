package oauthclients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/browser"
	"keyward/internal/eventually"
)

// setup is what a client knows of the server, and of itself.
type setup struct {
	Issuer   string `json:"issuer"`
	Client   string `json:"client"`
	Secret   string `json:"secret"` // "" for a public client
	Method   string `json:"method"` // by which it authenticates
	Redirect string `json:"redirect"`
	User     string `json:"user"` // the sub of the user who logs in
	API      string `json:"api"`  // a URL at which an API accepts the tokens; "" for none
}

// server is an authorization server: Keyward, or the one that the scripts are proved with.
type server struct {
	issuer, api string
	clients     map[string][2]string // id and secret by method; the redirect URI is redirect
	redirect    string
	page        *httptest.Server // of scripts that are a public client; not started
	// login goes through the pages, from that for the name to that after the consent.
	login func(tab *browser.Tab)
}

func (s *server) setup(method string) setup {
	client := s.clients[method]
	return setup{Issuer: s.issuer, Client: client[0], Secret: client[1], Method: method, Redirect: s.redirect, User: alice, API: s.api}
}

// visit opens the authorization request in the browser, and returns the URL at which the
// application gets the answer.
func (s *server) visit(tab *browser.Tab, request string) string {
	tab.Open(request)
	if !strings.HasPrefix(tab.URL(), s.redirect) {
		s.login(tab)
	}
	tab.Arrive(s.redirect, "h1")
	return tab.URL()
}

// anyPort is the redirect URI of a public client, which may listen on any port (RFC 8252
// section 7.3).
const anyPort = "http://127.0.0.1/callback"

// newPage returns the server of a page, and its redirect URI. For scripts the port counts, since
// it is part of their origin.
func newPage(t *testing.T) (page *httptest.Server, redirect string) {
	page = httptest.NewUnstartedServer(nil)
	t.Cleanup(page.Close)
	return page, "http://" + page.Listener.Addr().String() + "/callback"
}

// startIssuer starts Keyward with clients of each method.
func startIssuer(t *testing.T) *server {
	t.Helper()
	s := prepare(t, time.Hour)
	made := &server{issuer: s.issuer(), api: s.issuer() + "/items", redirect: startApplication(t), clients: map[string][2]string{}, login: loginToKeyward}
	var atPage string
	made.page, atPage = newPage(t)
	for _, method := range []string{"client_secret_basic", "client_secret_post", "none"} {
		args := []string{"--grant", "authorization_code", "--grant", "refresh_token"}
		if method == "none" {
			args = append(args, "--public", "--redirect-uri", anyPort, "--redirect-uri", atPage)
		} else {
			args = append(args, "--grant", "client_credentials", "--redirect-uri", made.redirect)
		}
		id, secret := s.client(args...)
		made.clients[method] = [2]string{id, secret}
	}
	s.start()
	return made
}

// loginToKeyward gives name and password, unless there is a session, and allows what the client
// asks for, unless that is remembered.
func loginToKeyward(tab *browser.Tab) {
	if tab.Has("#password") {
		tab.Fill("#username", alice)
		tab.Fill("#password", password)
		tab.FollowText("Sign in")
	}
	if tab.Has(`button[name="consent"]`) {
		tab.ClickText("Allow")
	}
}

// startProvider starts node-oidc-provider with clients of each method.
func startProvider(t *testing.T) *server {
	t.Helper()
	library := npm(t, "oidc-provider/lib/index.js")
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + stack.Address(ports.Upstream)
	made := &server{issuer: issuer, redirect: startApplication(t), clients: map[string][2]string{}, login: func(tab *browser.Tab) { loginToProvider(tab, issuer) }}
	var atPage string
	made.page, atPage = newPage(t)
	var clients []map[string]any
	for _, method := range []string{"client_secret_basic", "client_secret_post", "none"} {
		client := map[string]any{
			"client_id": method, "token_endpoint_auth_method": method, "redirect_uris": []string{made.redirect},
			"grant_types": []string{"authorization_code", "refresh_token", "client_credentials"},
		}
		made.clients[method] = [2]string{method, ""}
		if method == "none" {
			client["redirect_uris"], client["application_type"] = []string{anyPort, atPage}, "native"
			client["grant_types"] = []string{"authorization_code", "refresh_token"}
		} else {
			client["client_secret"] = "the secret & of the client"
			made.clients[method] = [2]string{method, "the secret & of the client"}
		}
		clients = append(clients, client)
	}
	text, err := json.Marshal(clients)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/provider.mjs", library, fmt.Sprint(ports.Upstream), string(text))
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the context of the test has ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the provider:\n%s", output.String())
		}
	})
	eventually.Succeeds(t, func() error {
		answer, err := http.Get(issuer + "/.well-known/openid-configuration")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err
	})
	return made
}

// loginToProvider gives a name, unless there is a session, and consents.
func loginToProvider(tab *browser.Tab, issuer string) {
	if tab.Has(`input[name="login"]`) {
		tab.Fill(`input[name="login"]`, alice)
		tab.Fill(`input[name="password"]`, "any")
		tab.Click(`button[type="submit"]`)
		tab.Arrive(issuer, `input[name="prompt"][value="consent"]`)
	}
	tab.Click(`button[type="submit"]`)
}
