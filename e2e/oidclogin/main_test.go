package oidclogin

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/browser"
)

// keyward is the program.
var keyward string

func TestMain(m *testing.M) { stack.Main(m, &keyward) }

const clientSecret = "the secret & of the client"

// site is a console with a provider. Browsers take its host names for two sites.
type site struct {
	*testing.T
	dir      string
	ports    stack.Ports
	console  string // its origin
	provider string // its issuer
	process  *stack.Process
}

// start starts both. more is more of the section console.
func start(t *testing.T, more string) *site {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		T: t, dir: t.TempDir(), ports: ports,
		console: fmt.Sprintf("http://localhost:%d", ports.Console), provider: "http://" + stack.Address(ports.Upstream),
	}
	s.write("idp-secret", clientSecret+"\n")
	s.write("keyward.yaml", fmt.Sprintf(`listen: {grpc: %q, http: "", admin: %q, console: %q}
users: {file: users.jsonl}
projects: {file: projects.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
console:
  public_url: %s
  oidc: {issuer: %q, name: Acme, client_id: keyward, client_secret_file: idp-secret, user_claim: preferred_username, create_users: true,
    roles_claim: groups, roles: {admins: ["keyward:admin"]}}
%s
`, stack.Address(ports.GRPC), stack.Address(ports.Admin), stack.Address(ports.Console), s.console, s.provider, more))
	s.run("user", "set", "root", "--scope", "keyward:admin")
	s.run("user", "set", "carol")
	s.run("key", "create", "--name", "first", "--user", "carol")
	config := stack.Config{Dir: s.dir, Keyward: keyward, KeywardConfig: "keyward.yaml", Ports: ports}
	process, err := stack.StartKeyward(t.Context(), "keyward", config)
	if err != nil {
		t.Fatal(err)
	}
	s.process = process
	t.Cleanup(process.Stop)
	return s
}

func (s *site) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// run runs a command of keyward.
func (s *site) run(args ...string) {
	s.Helper()
	cmd := exec.Command(keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("keyward %q: %v\n%s", args, err, out)
	}
}

// startProvider starts the provider. Without it the test is skipped, unless all tests must
// run.
func (s *site) startProvider() {
	s.Helper()
	root, err := stack.Root()
	if err != nil {
		s.Fatal(err)
	}
	library := filepath.Join(root, ".cache/npm/node_modules/oidc-provider/lib/index.js")
	if _, err := os.Stat(library); err != nil {
		if os.Getenv("CI") != "true" {
			s.Skip("oidc-provider is not installed: make programs")
		}
		s.Fatal("oidc-provider is not installed: make programs")
	}
	cmd := exec.Command("node", filepath.Join(root, "e2e/oidclogin/testdata/provider.mjs"), library, fmt.Sprint(s.ports.Upstream), clientSecret, s.console+"/login/callback")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if s.Failed() {
			s.Logf("the provider:\n%s", output.String())
		}
	})
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !s.answers(ctx) {
		select {
		case err := <-ended:
			ended <- err
			s.Fatalf("the provider has ended: %v\n%s", err, output.String())
		case <-ctx.Done():
			s.Fatal("the provider does not answer")
		case <-tick.C:
		}
	}
}

// answers reports whether the provider does.
func (s *site) answers(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.provider+"/.well-known/openid-configuration", http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// signIn goes from a page of the console with the button through the pages of the provider.
func (s *site) signIn(tab *browser.Tab, name string) {
	s.Helper()
	tab.ClickText("Sign in with Acme")
	s.atProvider(tab, name)
}

// atProvider is the login to the provider.
func (s *site) atProvider(tab *browser.Tab, name string) {
	s.Helper()
	tab.Arrive(s.provider, `input[name="login"]`)
	tab.Fill(`input[name="login"]`, name)
	tab.Fill(`input[name="password"]`, "any")
	tab.Click(`button[type="submit"]`)
}

// consent agrees at the provider, which asks once, and comes back to the page of the console.
func (s *site) consent(tab *browser.Tab, path string) {
	s.Helper()
	tab.Arrive(s.provider, `input[name="prompt"][value="consent"]`)
	tab.Click(`button[type="submit"]`)
	tab.Arrive(s.console+path, "header.top")
}
