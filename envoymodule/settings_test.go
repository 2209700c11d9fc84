package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/config"
)

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		`{"config": "/k.yaml"}`: "",
		`{"config": "/k.yaml", "undecided": "ask", "admin": "127.0.0.1:1"}`: "",
		`{"config": "/k.yaml", "undecided": "deny"}`:                        "",
		`{"config": "/k.yaml", "metadata": "denied"}`:                       "",
		`{"config": "/k.yaml", "undecided": "ask", "metadata": "all"}`:      "",
		`{"config": "/k.yaml", "metadata": "none"}`:                         `"none" is neither all nor denied`,
		`{"config": "/k.yaml", "undecided": "ask", "metadata": "denied"}`:   "excludes undecided: ask",
		``:              "EOF",
		`{}`:            "config is missing",
		`{"config": 1}`: "cannot unmarshal number",
		`{"config": "/k.yaml", "undecided": "?"}`:  `"?" is neither ask nor deny`,
		`{"config": "/k.yaml", "undecide": "ask"}`: `unknown field "undecide"`,
		`{"config": "/k.yaml"} {}`:                 "more than one value",
		`"/k.yaml"`:                                "cannot unmarshal string",
	} {
		_, err := parseSettings([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestUndecidedIsDenied: unless the settings say otherwise.
func TestUndecidedIsDenied(t *testing.T) {
	for text, deny := range map[string]bool{`{"config": "k"}`: true, `{"config": "k", "undecided": "deny"}`: true, `{"config": "k", "undecided": "ask"}`: false} {
		if s, err := parseSettings([]byte(text)); err != nil || s.deny != deny || !filepath.IsAbs(s.file) {
			t.Errorf("%s: %+v %v", text, s, err)
		}
	}
}

func TestRoute(t *testing.T) {
	for text, want := range map[string]string{
		`{"route": "reports"}`: "reports", `{"route": ""}`: "", `{}`: "", `{"name": "reports"}`: "", `[]`: "", ``: "", `{"route": "a"} {"route": "b"}`: "",
	} {
		route, err := parseRoute([]byte(text))
		if route != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v, want %q", text, route, err, want)
		}
	}
}

// TestListenersAreNotOpened: the module opens none of the file's listeners, and
// accepts the tokens of the file's issuer.
func TestListenersAreNotOpened(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keyward.yaml")
	text := `
listen: {grpc: 127.0.0.1:9191, console: 127.0.0.1:9194, issuer: 127.0.0.1:9195}
keys: {file: keys.jsonl}
users: {file: users.jsonl}
clients: {file: clients.jsonl}
revocations: {file: revocations.jsonl}
audit: {file: audit.jsonl}
state: {file: state.db}
issuer: {url: "http://127.0.0.1:9195", keys_dir: keys}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := settings{file: file, admin: "127.0.0.1:9196"}.load()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != (config.Listen{Admin: "127.0.0.1:9196"}) || cfg.OwnIssuer() || !cfg.OwnTokens() || len(cfg.JWT) != 1 || !cfg.JWT[0].Keyward {
		t.Errorf("%+v %+v", cfg.Listen, cfg.JWT)
	}
}
