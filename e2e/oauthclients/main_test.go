package oauthclients

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/e2e/testbin"
	"keyward/internal/eventually"
)

// keyward is the program.
var keyward string

func TestMain(m *testing.M) { stack.Main(m, &keyward) }

const (
	alice    = "alice"
	password = "correct horse battery"
)

// site is a Keyward with its issuer, behind the real Envoy.
type site struct {
	t     *testing.T
	dir   string
	ports stack.Ports
	envoy *stack.EnvoyConfig // before it is started
}

const siteConfig = `listen: {grpc: %q, http: %q, admin: %q, console: "", issuer: %q}
keys: {file: keys.jsonl}
users: {file: users.jsonl}
clients: {file: clients.jsonl}
projects: {file: projects.jsonl}
revocations: {file: revocations.jsonl}
audit: {file: audit.jsonl}
state: {file: keyward.db}
issuer: {url: %q, publish_before: 1m, access_token_ttl: %s}
routes: [{path: /items, scopes: ["items:read"]}]
`

// prepare makes the directory of a Keyward with the user alice, and reads the file of Envoy
// that has the issuer's endpoints. ttl is how long an access token is valid.
func prepare(t *testing.T, ttl time.Duration) *site {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	envoy, err := stack.LoadEnvoyConfig(filepath.Join(root(t), "deploy/envoy-issuer/envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), ports: ports, envoy: envoy}
	s.write("keyward.yaml", fmt.Sprintf(siteConfig, stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin), stack.Address(ports.Issuer), s.issuer(), ttl))
	s.run("", "key", "create", "--name", "first")
	s.run(password, "user", "set", alice, "--scope", "items:read")
	return s
}

// start starts Keyward, Envoy and an API.
func (s *site) start() *site {
	s.t.Helper()
	binary, err := testbin.Envoy().Path(s.t.Context(), filepath.Join(root(s.t), ".cache"), os.Stderr)
	if err != nil {
		s.t.Fatal(err)
	}
	running, err := stack.Start(s.t.Context(), stack.Config{
		Dir: s.dir, Keyward: keyward, KeywardConfig: "keyward.yaml", Ports: s.ports, Proxy: stack.Envoy{Binary: binary, Config: s.envoy},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		running.Stop()
		if s.t.Failed() {
			s.t.Logf("Keyward:\n%s\nEnvoy:\n%s", running.Keyward.Log(), running.Proxy.Log())
		}
	})
	return s
}

// issuer is the URL of the issuer, and that of the API.
func (s *site) issuer() string { return "http://" + stack.Address(s.ports.Envoy) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command of Keyward, and returns what it prints.
func (s *site) run(stdin string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("keyward %q: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// until waits until what was changed by a command is in force.
func (s *site) until(what string, want int, ask func() int) {
	s.t.Helper()
	eventually.Succeeds(s.t, func() error {
		if got := ask(); got != want {
			return fmt.Errorf("%s: %d, want %d", what, got, want)
		}
		return nil
	})
}

// metric returns the value of one of Keyward's metrics, with its labels; "" for none.
func (s *site) metric(name string) string {
	s.t.Helper()
	answer, err := http.Get("http://" + stack.Address(s.ports.Admin) + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\n"+name+" ")
	value, _, _ := strings.Cut(after, "\n")
	return value
}

// client makes an OAuth client, and returns its id and its secret, "" for a public one.
func (s *site) client(args ...string) (id, secret string) {
	s.t.Helper()
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(s.run("", append([]string{"client", "create", "Shop", "--scope", "items:read", "--json"}, args...)...)), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.ID, made.Secret
}

// startApplication listens where a client has its codes sent to, and returns the redirect URI.
func startApplication(t *testing.T) (redirect string) {
	t.Helper()
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Application</title><h1>Welcome back</h1>")
	}))
	t.Cleanup(application.Close)
	return application.URL + "/callback"
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// npm returns the file of a package of the npm registry. Without it the test is skipped, unless
// all tests must run.
func npm(t *testing.T, file string) string {
	t.Helper()
	library := filepath.Join(root(t), ".cache/npm/node_modules", file)
	if _, err := os.Stat(library); err != nil {
		if os.Getenv("CI") != "true" {
			t.Skipf("%s is not installed: make programs", file)
		}
		t.Fatalf("%s is not installed: make programs", file)
	}
	return library
}
