package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/explain"
	"keyward/internal/vectors"
)

// answers returns the results of `check --request -` for the requests.
func answers(t *testing.T, config string, requests []map[string]any) []explain.Verdict {
	t.Helper()
	var in, out, errs bytes.Buffer
	for _, r := range requests {
		if err := writeJSON(&in, r); err != nil {
			t.Fatal(err)
		}
	}
	env := &environment{ctx: context.Background(), stdin: &in, stdout: &out, stderr: &errs, getenv: os.LookupEnv, now: time.Now}
	if code := env.run([]string{"check", "--config", config, "--request", "-"}); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var all []explain.Verdict
	decoder := json.NewDecoder(&out)
	for range requests {
		var v explain.Verdict
		if err := decoder.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func writeConfig(t *testing.T, text string) (config, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	config, keyFile = filepath.Join(dir, "keyward.yaml"), filepath.Join(dir, "keys.jsonl")
	if err := os.WriteFile(config, []byte("keys: {file: "+keyFile+"}\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, keyFile
}

func TestCheckPathVectors(t *testing.T) {
	config, keyFile := writeConfig(t, "")
	c := newCLI(t)
	c.now, c.file = time.Now(), keyFile
	keys := map[string]string{}
	var requests []map[string]any
	lines := vectors.Paths(t)
	for _, line := range lines {
		if keys[line.Prefix] == "" {
			keys[line.Prefix] = strings.TrimSpace(c.must("", "key", "create", "--name", "k", "--path", line.Prefix))
		}
		requests = append(requests, map[string]any{
			"path_b64": base64.StdEncoding.EncodeToString([]byte(line.Target)),
			"headers":  map[string]string{"Authorization": "Bearer " + keys[line.Prefix]},
		})
	}
	want := map[string]string{"allow": "ok", "deny": "path_not_allowed", "deny_ambiguous": "ambiguous_path"}
	for i, v := range answers(t, config, requests) {
		if line := lines[i]; v.Reason != want[line.Expect] {
			t.Errorf("%q under %q: %s, want %s (%s)", line.Target, line.Prefix, v.Reason, line.Expect, line.Why)
		}
	}
}

func TestCheckAuthorizationVectors(t *testing.T) {
	config, keyFile := writeConfig(t, "credentials: {header: X-API-Key, cookie: session, basic_key_usernames: [haplo]}\n")
	c := newCLI(t)
	c.now, c.file = time.Now(), keyFile
	c.must("", "key", "create", "--name", "k")
	var requests []map[string]any
	lines := vectors.Authorizations(t)
	for _, line := range lines {
		headers := [][2]any{}
		for _, h := range line.Headers {
			headers = append(headers, [2]any{h[0], map[string][]byte{"b64": []byte(h[1])}})
		}
		requests = append(requests, map[string]any{"path": line.Target, "headers": headers})
	}
	wellFormed := []string{"invalid_token", "unknown_key"}
	want := map[string][]string{
		"basic": {"wrong_password"}, "bearer": wellFormed, "apikey": wellFormed, "cookie": wellFormed,
		"none": {"no_credential"}, "deny_malformed": {"malformed_credential"}, "deny_too_large": {"malformed_credential"},
		"deny_ambiguous": {"ambiguous_credential"}, "deny_unsupported": {"unsupported_credential"},
	}
	for i, v := range answers(t, config, requests) {
		if line := lines[i]; !strings.Contains(strings.Join(want[line.Expect], " "), v.Reason) {
			t.Errorf("%q %s: %s, want %s (%s)", line.Headers, line.Target, v.Reason, line.Expect, line.Why)
		}
	}
}
