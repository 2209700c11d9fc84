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

	"keyward/cmd/keyward/command"
)

// answers returns the results of `check --request -` for the requests.
func answers(t *testing.T, config string, requests []map[string]any) []explain.Verdict {
	t.Helper()
	var in, out, errs bytes.Buffer
	for _, r := range requests {
		if err := command.WriteJSON(&in, r); err != nil {
			t.Fatal(err)
		}
	}
	env := &command.Env{Context: context.Background(), Stdin: &in, Stdout: &out, Stderr: &errs, Getenv: os.LookupEnv, Now: time.Now}
	if code := env.Run(&commands{}, []string{"check", "--config", config, "--request", "-"}); code != command.Done {
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

// createKey creates a key in the file.
func createKey(t *testing.T, file string, flags ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	args := append([]string{"key", "create", "--name", "k", "--file", file}, flags...)
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs, os.LookupEnv); code != command.Done {
		t.Fatalf("%v: exit code %d, %s", args, code, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func TestCheckPathVectors(t *testing.T) {
	config, keyFile := writeConfig(t, "")
	keys := map[string]string{}
	var requests []map[string]any
	lines := vectors.Paths(t)
	for _, line := range lines {
		if keys[line.Prefix] == "" {
			keys[line.Prefix] = createKey(t, keyFile, "--path", line.Prefix)
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
	createKey(t, keyFile)
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

// runWith runs a command with nothing on standard input.
func runWith(t *testing.T, args ...string) int {
	t.Helper()
	var out, errs bytes.Buffer
	return run(t.Context(), args, strings.NewReader(""), &out, &errs, os.LookupEnv)
}
