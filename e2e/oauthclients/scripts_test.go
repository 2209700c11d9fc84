package oauthclients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/testbin"
	"keyward/internal/browser"
)

// runScript runs a client that prints "open URL" where a browser goes through the pages, and
// "ok STEP" for each step. It returns the steps.
func runScript(t *testing.T, s *server, tab *browser.Tab, cmd *exec.Cmd) (steps []string) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		if request, is := strings.CutPrefix(line, "open "); is {
			if _, err := stdin.Write([]byte(s.visit(tab, request) + "\n")); err != nil {
				t.Error(err)
			}
		} else if step, is := strings.CutPrefix(line, "ok "); is {
			steps = append(steps, step)
		} else {
			t.Log(line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after %q: %v\n%s", steps, err, stderr.String())
	}
	return steps
}

// wantSteps fails the test unless these are the steps. A public client has no secret, and so
// neither introspection nor client_credentials.
func wantSteps(t *testing.T, got []string, public bool, want ...string) {
	t.Helper()
	if public {
		want = slices.DeleteFunc(want, func(step string) bool { return step == "introspection" || step == "client_credentials" })
	}
	if !slices.Equal(got, want) {
		t.Errorf("the steps are %q, want %q", got, want)
	}
}

func (s setup) json(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestClients: each client against each server, as a confidential and as a public client.
func TestClients(t *testing.T) {
	b := browser.Start(t)
	for name, start := range map[string]func(*testing.T) *server{"keyward": startIssuer, "oidc-provider": startProvider} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			for client, use := range map[string]func(*testing.T, *server, *browser.Tab, string){"openid-client": useOpenIDClient, "Authlib": useAuthlib, "x/oauth2": useOAuth2} {
				t.Run(client, func(t *testing.T) {
					for method := range s.clients {
						t.Run(method, func(t *testing.T) { use(t, s, b.Tab(t, browser.Window{Private: true}), method) })
					}
				})
			}
			t.Run("openid-client in a browser", func(t *testing.T) { usePage(t, s, b.Tab(t, browser.Window{Private: true})) })
		})
	}
}

// useOpenIDClient is openid-client for JavaScript.
func useOpenIDClient(t *testing.T, s *server, tab *browser.Tab, method string) {
	library := npm(t, "openid-client/build/index.js")
	cmd := exec.CommandContext(t.Context(), "node", "testdata/openid_client.mjs", library, s.setup(method).json(t))
	wantSteps(t, runScript(t, s, tab, cmd), method == "none", "metadata of RFC 8414", "discovery", "iss", "code with PKCE", "ID token with nonce", "userinfo", "refresh",
		"introspection", "revocation", "another verifier", "client_credentials")
}

// useAuthlib is Authlib for Python.
func useAuthlib(t *testing.T, s *server, tab *browser.Tab, method string) {
	packages, err := testbin.Authlib(t.Context(), filepath.Join(root(t), ".cache"), os.Stderr)
	if err != nil {
		if os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/authlib_client.py", s.setup(method).json(t))
	// Without the last Authlib refuses http://, to loopback too.
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "AUTHLIB_INSECURE_TRANSPORT=1")
	wantSteps(t, runScript(t, s, tab, cmd), method == "none", "metadata of RFC 8414", "code with PKCE", "ID token with nonce", "userinfo", "refresh",
		"introspection", "revocation", "client_credentials")
}

// usePage is openid-client in a page of another origin than the server's (CORS).
func usePage(t *testing.T, s *server, tab *browser.Tab) {
	npm(t, "openid-client/build/index.js")
	text, err := os.ReadFile("testdata/page.html")
	if err != nil {
		t.Fatal(err)
	}
	is, mux := s.setup("none"), http.NewServeMux()
	mux.Handle("GET /npm/", http.StripPrefix("/npm/", http.FileServer(http.Dir(npm(t, "")))))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(bytes.ReplaceAll(text, []byte("SETUP\n"), []byte(is.json(t)+"\n")))
	})
	s.page.Config.Handler = mux
	s.page.Start()
	is.Redirect = s.page.URL + "/callback"
	tab.Open(s.page.URL)
	tab.Arrive(s.issuer, `input[type="password"]`)
	s.login(tab)
	tab.Arrive(is.Redirect, "h1")
	if got := tab.Text("h1"); got != alice+", then invalid_grant" {
		t.Errorf("the page says %q", got)
	}
}
