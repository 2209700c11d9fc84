package oauthclients

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyward/internal/browser"
)

// protect has Envoy's filter oauth2 log the users of browsers in, before Keyward checks the
// token that the filter adds. The issuer's endpoints pass.
func (s *site) protect(application, id, secret string) {
	s.t.Helper()
	passing := []any{}
	for _, prefix := range []string{"/oauth/", "/.well-known/", "/v1/auth/"} {
		passing = append(passing, map[string]any{"name": ":path", "string_match": map[string]any{"prefix": prefix}})
	}
	exactly := func(path string) map[string]any { return map[string]any{"path": map[string]any{"exact": path}} }
	s.addFilter("envoy.filters.http.oauth2", "type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2", map[string]any{"config": map[string]any{
		"token_endpoint":         map[string]any{"cluster": "keyward_issuer", "uri": s.issuer() + "/oauth/token", "timeout": "3s"},
		"authorization_endpoint": s.issuer() + "/oauth/authorize",
		"redirect_uri":           application + "/callback",
		"redirect_path_matcher":  exactly("/callback"),
		"signout_path":           exactly("/signout"),
		"credentials": map[string]any{
			"client_id": id, "token_secret": map[string]any{"name": "client-secret"}, "hmac_secret": map[string]any{"name": "hmac"},
		},
		"auth_scopes":          []any{"openid", "items:read"},
		"auth_type":            "BASIC_AUTH",
		"forward_bearer_token": true,
		"use_refresh_token":    true,
		"pass_through_matcher": passing,
	}})
	s.envoy.AddSecret("client-secret", secret)
	s.envoy.AddSecret("hmac", "a secret of Envoy alone, for its cookies")
}

// addFilter adds an HTTP filter before the check.
func (s *site) addFilter(name, kind string, config map[string]any) {
	s.t.Helper()
	manager := s.envoy.Find("envoy.filters.network.http_connection_manager")["typed_config"].(map[string]any)
	config["@type"] = kind
	manager["http_filters"] = append([]any{map[string]any{"name": name, "typed_config": config}}, manager["http_filters"].([]any)...)
}

// TestEnvoyLogsIn: Envoy's filter oauth2 sends a browser to log in, and takes it back to the page
// that it asked for, with a token that Keyward's check accepts. The application and the issuer
// are two sites for the browser.
func TestEnvoyLogsIn(t *testing.T) {
	s := prepare(t, 3*time.Second)
	application := fmt.Sprintf("http://localhost:%d", s.ports.Envoy)
	id, secret := s.client("--grant", "authorization_code", "--grant", "refresh_token", "--redirect-uri", application+"/callback")
	s.protect(application, id, secret)
	s.start()
	tab := browser.Start(t).Tab(t, browser.Window{})
	if status := tab.Open(application + "/items?page=2"); status != 200 || !strings.HasPrefix(tab.URL(), s.issuer()+"/oauth/authorize?") {
		t.Fatalf("%d at %s: %s", status, tab.URL(), tab.Source())
	}
	if asked, err := url.Parse(tab.URL()); err != nil || asked.Query().Get("code_challenge_method") != "S256" {
		t.Errorf("Envoy asks without PKCE: %s", asked)
	}
	loginToKeyward(tab)
	tab.Arrive(application+"/items?page=2", "pre")
	if got := tab.Text("pre"); !strings.Contains(got, `"x-auth-subject"`) || !strings.Contains(got, `"alice"`) || !strings.Contains(got, `"/items?page=2"`) {
		t.Errorf("the API got %s", got)
	}

	// Requests of one page at once, over a time in which the token expires twice: Envoy has
	// each of them refresh for itself, and all get the one successor.
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		got := browser.Evaluate[string](tab, `Promise.all([1, 2, 3, 4, 5].map(n => fetch("/items?n=" + n).then(r => r.status))).then(all => all.join(), String)`)
		if got != "200,200,200,200,200" {
			t.Fatalf("requests at once: %s", got)
		}
	}
	if n := s.metric(`keyward_tokens_issued_total{grant="refresh_token"}`); n == "" || n == "0" || n == "1" {
		t.Errorf("%q refreshes", n)
	}
	if n := s.metric("keyward_refresh_reuse_total"); n != "0" {
		t.Errorf("%s refresh tokens count as used again", n)
	}

	// The session of the issuer and the consent are remembered, so that a browser that Envoy
	// has signed out comes back without a question.
	tab.Open(application + "/signout")
	if status := tab.Open(application + "/items"); status != 200 || tab.URL() != application+"/items" {
		t.Errorf("after the signout: %d at %s", status, tab.URL())
	}
	s.run("", "user", "set", alice, "--disabled")
	s.until("the token of a disabled user", 401, func() int { return int(tab.Open(application + "/items")) })
}
