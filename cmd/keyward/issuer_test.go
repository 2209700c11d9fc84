package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/cmd/keyward/command"
)

const issuing = `
listen: {grpc: "", http: "", issuer: "127.0.0.1:0"}
keys: {file: ""}
users: {file: DIR/users.jsonl}
revocations: {file: DIR/revocations.jsonl}
clients: {file: DIR/clients.jsonl}
`

const issuingFiles = issuing + `
audit: {file: DIR/audit.jsonl}
state: {file: DIR/keyward.db}
issuer: {url: "http://127.0.0.1:9195", keys_dir: DIR/signing-keys}
`

// issuingDatabase is a configuration with a database.
func issuingDatabase(t *testing.T) string {
	t.Helper()
	return strings.Replace(issuing, `keys: {file: ""}`, "keys: {file: DIR/keys.jsonl}", 1) +
		"issuer: {url: \"http://127.0.0.1:9195\", keys_secret_file: DIR/secret}\nstore: {url: \"" + postgresServer.Database(t).URL.String() + "\"}\n"
}

// issuerCommand runs a command of `keyward issuer`.
func issuerCommand(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append(append([]string{"issuer"}, args...), "--config", config)
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
	return code, out.String(), errs.String()
}

// shownKey is a key that a command prints.
type shownKey struct{ Kid, Algorithm, State, Since, Until string }

// states are those of the keys that `issuer status` lists.
func states(t *testing.T, config string) (all []shownKey, named []string) {
	t.Helper()
	code, stdout, stderr := issuerCommand(t, config, "status", "--json")
	if code != command.Done || json.Unmarshal([]byte(stdout), &all) != nil {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, key := range all {
		if key.Kid == "" || key.Algorithm != "ES256" || key.Since == "" || key.Until <= key.Since {
			t.Errorf("%+v", key)
		}
		named = append(named, key.State)
	}
	return all, named
}

// TestIssuerKeys: a key is made and published, those before it are ended, and both are in the
// audit log, with files and with a database.
func TestIssuerKeys(t *testing.T) {
	for name, text := range map[string]string{"files": issuingFiles, "database": issuingDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			in, config := emptyInstallation(t, text)
			in.write("secret", strings.Repeat("s", 32)+"\n")
			if code, stdout, stderr := issuerCommand(t, config, "status"); code != command.Done || !strings.Contains(stderr, "no keys yet") || strings.Count(stdout, "\n") != 1 {
				t.Errorf("none yet: exit code %d, %s%s", code, stdout, stderr)
			}
			if _, err := os.Stat(filepath.Join(in.dir, "signing-keys")); err == nil {
				t.Error("to show the keys has made their directory")
			}
			code, stdout, stderr := issuerCommand(t, config, "rotate")
			if code != command.Done || !strings.Contains(stdout, " is published, and signs from 20") {
				t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
			}
			keys, got := states(t, config)
			if !slices.Equal(got, []string{"signing", "next"}) || !strings.HasPrefix(stdout, keys[1].Kid+" ") {
				t.Errorf("%+v after %s", keys, stdout)
			}
			code, stdout, stderr = issuerCommand(t, config, "rotate")
			if code != command.Done || !strings.HasPrefix(stdout, keys[1].Kid+" ") || !strings.Contains(stderr, "nothing changed") {
				t.Errorf("again: exit code %d, %s%s", code, stdout, stderr)
			}
			var made shownKey
			code, stdout, stderr = issuerCommand(t, config, "rotate", "--revoke-old", "--json")
			if code != command.Done || json.Unmarshal([]byte(stdout), &made) != nil || made.State != "signing" {
				t.Errorf("exit code %d, %s%s", code, stdout, stderr)
			}
			if left, got := states(t, config); !slices.Equal(got, []string{"signing"}) || left[0].Kid != made.Kid || made.Kid == keys[0].Kid || made.Kid == keys[1].Kid {
				t.Errorf("%+v", left)
			}
			if _, stdout, _ := issuerCommand(t, config, "status"); !strings.Contains(stdout, made.Kid+"  ES256      signing  20") {
				t.Error(stdout)
			}
			var entries []struct{ Action, Outcome, Actor, Via string }
			if err := json.Unmarshal([]byte(in.must("", "audit", "list", "--json")), &entries); err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"signing_key.revoke", "signing_key.rotate"} {
				if len(entries) != 2 || entries[i].Action != want || entries[i].Outcome != "done" || !strings.HasPrefix(entries[i].Actor, "cli:") || entries[i].Via != "cli" {
					t.Errorf("%+v", entries)
				}
			}
		})
	}
}

// TestIssuerKeysWithoutAudit: where the audit log cannot be written no key is made, and a
// leaked one ends all the same.
func TestIssuerKeysWithoutAudit(t *testing.T) {
	in, config := emptyInstallation(t, issuingFiles)
	if err := os.Mkdir(filepath.Join(in.dir, "audit.jsonl"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := issuerCommand(t, config, "rotate")
	if code != command.Refused || !strings.Contains(stderr, "audit") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	before, got := states(t, config)
	if !slices.Equal(got, []string{"signing"}) {
		t.Errorf("%+v", before)
	}
	code, _, stderr = issuerCommand(t, config, "rotate", "--revoke-old")
	if after, _ := states(t, config); code != command.Done || !strings.Contains(stderr, "without an entry") || len(after) != 1 || after[0].Kid == before[0].Kid {
		t.Errorf("exit code %d, %s%+v", code, stderr, after)
	}
}

// TestIssuerUsage: what is refused, and why.
func TestIssuerUsage(t *testing.T) {
	_, without := emptyInstallation(t, installedFiles)
	in, database := emptyInstallation(t, issuingDatabase(t))
	in.write("secret", "short")
	for _, c := range []struct{ config, command, says string }{
		{without, "status", "no listen.issuer"}, {without, "rotate", "no listen.issuer"}, {database, "status", "at least 32 bytes"}, {database, "rotate", "at least 32 bytes"},
	} {
		if code, stdout, stderr := issuerCommand(t, c.config, c.command); code != command.Refused || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %s%s", c.command, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"issuer", "rotate"}, {"issuer", "status"}} {
		var errs bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), &errs, &errs, os.LookupEnv); code != command.BadUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errs.String())
		}
	}
}
