package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestFiles checks the files that are named, with their lines, and the default
// key file.
func TestFiles(t *testing.T) {
	const text = `jwt:
  - {name: a, issuer: a, audiences: [x], jwks_file: a.json}
  - {name: b, issuer: b, algorithms: [HS256], hmac_secret_file: b.secret}
introspection: [{url: "https://id.example.com", client_id: k, client_secret_file: c.secret}]
tls: {http: {cert_file: h.crt, key_file: h.key,
  client_ca_file: ca.crt}}
users: {file: ""}
usage: {file: usage.jsonl}
`
	cfg, err := Parse("f", []byte(text), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range cfg.Files {
		got = append(got, fmt.Sprint(f.Line, " ", f.Key, " ", f.Path))
	}
	slices.Sort(got)
	want := []string{
		"0 keys.file keys.jsonl", "2 jwt.jwks_file a.json", "3 jwt.hmac_secret_file b.secret", "4 introspection.client_secret_file c.secret",
		"5 tls.http.cert_file h.crt", "5 tls.http.key_file h.key", "6 tls.http.client_ca_file ca.crt", "8 usage.file usage.jsonl",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	issuing := `listen: {issuer: "127.0.0.1:1"}
keys: {file: ""}
users: {file: u}
clients: {file: c}
revocations: {file: r}
audit: {file: a}
state: {file: s}
issuer: {url: "http://127.0.0.1:1"`
	for more, want := range map[string]string{"}": "{issuer.keys_dir 0 signing-keys }", ", keys_dir: sk}": "{issuer.keys_dir 8 sk }"} {
		cfg, err := Parse("f", []byte(issuing+more), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Files[slices.IndexFunc(cfg.Files, func(f File) bool { return f.Key == "issuer.keys_dir" })]; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if cfg, err := Parse("f", []byte("keys: {file: \"\"}"), noEnv); err != nil || len(cfg.Files) != 0 {
		t.Errorf("%v, %v", cfg, err)
	}
}

// TestFileFromEnvironment checks that no spelling of an error shows a
// variable's value.
func TestFileFromEnvironment(t *testing.T) {
	for _, secret := range []string{"the-pepper-itself", `with "quotes" in it`} {
		cfg, err := Parse("f", []byte("keys: {pepper_file: \"${PEPPER}\"}"), func(string) (string, bool) { return secret, true })
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range cfg.Files {
			if f.Key != "keys.pepper_file" {
				continue
			}
			p := f.Problem("f", errors.New("open "+secret+": no such file; and "+fmt.Sprintf("%q", secret)+" too"))
			if strings.Contains(p.Message, secret) || strings.Contains(p.Message, fmt.Sprintf("%q", secret)) || p.Line != 1 || !strings.Contains(p.Message, "open ${PEPPER}: no such file") {
				t.Errorf("%s", p)
			}
		}
	}
}
