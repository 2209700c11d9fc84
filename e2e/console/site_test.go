package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keyward/e2e/stack"
	"keyward/internal/browser"
)

const password = "correct horse battery"

// config is the configuration of a site; styles add to it.
const config = `listen: {grpc: %q, http: %q, admin: %q, console: %q}
keys: {file: keys.jsonl, prefixes: [%s]}
users: {file: users.jsonl}
projects: {file: projects.jsonl}
clients: {file: clients.jsonl}
revocations: {file: revocations.jsonl}
audit: {file: audit.jsonl}
usage: {file: usage.jsonl}
state: {file: keyward.db}
log: {level: error, decisions: denied}
console:
  style: %s
  api_url: %s
`

// site is a Keyward with its console, behind the real Envoy.
type site struct {
	t            *testing.T
	dir, console string // console is its address, as a browser has it
	api          string // the address of Envoy
}

// setup says what a site is.
type setup struct {
	style, prefix string     // of the console, and of its keys
	more          string     // is added to the configuration, whose last section is that of the console
	users         [][]string // beside root: names, and flags of the command

	// proxy is what stands before it, and may write files into its directory; Envoy without one.
	proxy func(t *testing.T, dir string, ports stack.Ports) stack.Proxy
}

// prepareSite makes the directory of a Keyward that does not run yet.
func prepareSite(t *testing.T, dir string, is setup) (*site, stack.Config) {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, console: "http://" + stack.Address(ports.Console), api: "http://" + stack.Address(ports.Envoy)}
	text := fmt.Sprintf(config, stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin), stack.Address(ports.Console), is.prefix, is.style, s.api) + is.more
	s.write("keyward.yaml", text)
	return s, stack.Config{Dir: s.dir, Keyward: programs.keyward, KeywardConfig: filepath.Join(s.dir, "keyward.yaml"), Ports: ports}
}

// startSite starts a Keyward behind its proxy, with an administrator and other users.
func startSite(t *testing.T, dir string, is setup) (_ *site, stop func()) {
	t.Helper()
	s, cfg := prepareSite(t, dir, is)
	for _, user := range append([][]string{{"root", "--scope", "keyward:admin"}}, is.users...) {
		s.user(user...)
	}
	s.run("", "key", "create", "--name", "made by a command")
	if is.proxy == nil {
		is.proxy = envoy
	}
	cfg.Proxy = is.proxy(t, s.dir, cfg.Ports)
	running, err := stack.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, running.Stop
}

// envoy is the real Envoy, as shipped.
func envoy(t *testing.T, _ string, _ stack.Ports) stack.Proxy {
	t.Helper()
	config, err := stack.LoadEnvoyConfig(filepath.Join(programs.root, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return stack.Envoy{Binary: programs.envoy, Config: config}
}

// newSite is startSite for a site that ends with the test.
func newSite(t *testing.T, is setup) *site {
	t.Helper()
	s, stop := startSite(t, t.TempDir(), is)
	t.Cleanup(stop)
	return s
}

// user makes a user with the password: its name, and flags of the command.
func (s *site) user(args ...string) {
	s.t.Helper()
	s.run(password, append([]string{"user", "set"}, args...)...)
}

// newEmptySite starts a Keyward that has just been installed: without an administrator,
// without records, and without a proxy.
func newEmptySite(t *testing.T) *site {
	t.Helper()
	s, cfg := prepareSite(t, t.TempDir(), setup{style: "generic", prefix: "kw_"})
	s.write("keys.jsonl", "") // without these files Keyward is not ready
	s.write("users.jsonl", "")
	process, err := stack.StartKeyward(t.Context(), "keyward", cfg)
	if process != nil {
		t.Cleanup(process.Stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// of is the site as a part of the test has it.
func (s *site) of(t *testing.T) *site {
	own := *s
	own.t = t
	return &own
}

// run runs a command of Keyward by the site's configuration, and returns what it prints.
func (s *site) run(stdin string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(programs.keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("keyward %v: %v: %s", args, err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// fetch returns what the console answers to a request without a session.
func (s *site) fetch(path string) string {
	s.t.Helper()
	response, err := http.Get(s.console + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return string(text)
}

// tab is a tab of a browser on the site, with cookies of its own.
type tab struct {
	*browser.Tab
	site *site
}

func (s *site) tab(b *browser.Browser, w browser.Window) *tab {
	s.t.Helper()
	w.Private = true
	return &tab{b.Tab(s.t, w), s}
}

// open opens a page.
func (tab *tab) open(path string) {
	tab.site.t.Helper()
	if status := tab.Open(tab.site.console + path); status != 200 && status != 0 {
		tab.site.t.Fatalf("%s: %d", path, status)
	}
}

// signIn logs the user in by the page.
func (tab *tab) signIn(user string) {
	tab.site.t.Helper()
	tab.open("/login")
	tab.Fill("#username", user)
	tab.Fill("#password", password)
	tab.FollowText("Sign in")
	if tab.Has("#password") {
		tab.site.t.Fatalf("%s is not logged in: %s", user, tab.Text("main"))
	}
}

// wants fails the test unless the page has the texts.
func (tab *tab) wants(texts ...string) {
	tab.site.t.Helper()
	shown := strings.Join(strings.Fields(tab.Text("body")), " ")
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			tab.site.t.Fatalf("%s has no %q: %s", tab.URL(), text, shown)
		}
	}
}

// secret returns the secret that the page shows, and the commands that try it.
func (tab *tab) secret() (secret, try string) {
	tab.site.t.Helper()
	return tab.Text("[data-secret]"), tab.Text("#try")
}

var lastStatus = regexp.MustCompile(`(\d{3})\s*$`)

// paste runs commands in a shell as the page shows them, and returns the status of the
// response to their curl.
func (s *site) paste(commands string) string {
	s.t.Helper()
	const quietly = `curl() { command curl -sS -o /dev/null -w '%{http_code}' "$@"; }` + "\n"
	out, err := exec.Command("sh", "-c", quietly+commands).CombinedOutput()
	status := lastStatus.FindStringSubmatch(string(out))
	if err != nil || status == nil {
		s.t.Fatalf("%s: %v: %s", commands, err, out)
	}
	return status[1]
}

// wantStatus fails the test unless the commands get the status.
func (s *site) wantStatus(what, commands, status string) {
	s.t.Helper()
	if got := s.paste(commands); got != status {
		s.t.Fatalf("%s: %s, want %s: %s", what, got, status, commands)
	}
}
