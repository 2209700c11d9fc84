package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"keyward/e2e/stack"
)

// configText is the configuration of the examples; docs/ has all settings.
const configText = `listen:
  grpc: %s
  http: %s
  admin: %s
  console: %s
  issuer: %[5]s
keys:
  file: keys.jsonl
users:
  file: users.jsonl
projects:
  file: projects.jsonl
clients:
  file: clients.jsonl
revocations:
  file: revocations.jsonl
usage:
  file: usage.jsonl
audit:
  file: audit.jsonl
state:
  file: keyward.db
issuer:
  url: http://%[5]s
credentials:
  basic: true
routes:
- {name: reports, path: /reports, scopes: ["reports:read"]}
log: {decisions: all}
`

func writeConfig(dir string, ports stack.Ports) (file string, err error) {
	file = filepath.Join(dir, "keyward.yaml")
	text := fmt.Sprintf(configText, stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin), stack.Address(ports.Console), stack.Address(ports.Issuer))
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// demoKeys are shown on the terminal, as examples.
type demoKeys struct{ alice, bob, admin, unknown string }

const alicesPassword = "looking-glass"

func makeKeys(ctx context.Context, keyward, dir string) (keys demoKeys, err error) {
	run := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(ctx, keyward, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, failed := cmd.Output()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("keyward %s %s: %w: %s", args[0], args[1], failed, bytes.TrimSpace(stderr.Bytes())))
		}
		return string(bytes.TrimSpace(out))
	}
	run(alicesPassword, "user", "set", "alice", "--scope", "reports:read")
	run("", "user", "set", "bob")
	keys.alice = run("", "key", "create", "--name", "demo-alice", "--user", "alice", "--path", "/hello", "--path", "/reports")
	keys.bob = run("", "key", "create", "--name", "demo-bob", "--user", "bob", "--path", "/hello", "--path", "/reports")
	run("", "user", "set", "admin", "--scope", "keyward:admin")
	keys.admin = run("", "key", "create", "--name", "demo-admin", "--user", "admin", "--scope", "keyward:admin")
	// A well-formed key that this server does not know.
	keys.unknown = run("", "key", "create", "--name", "unknown", "--file", "elsewhere.jsonl")
	return keys, err
}

// printExamples prints lines to paste into a shell, each with its expected
// status.
func printExamples(url string, keys demoKeys) {
	with := func(key string) string { return "-H 'Authorization: Bearer " + key + "' " }
	basic := func(password string) string { return "-u alice:" + password + " " }
	for _, example := range []struct {
		about, credential, path string
		status                  int
	}{
		{"alice is allowed; the upstream shows x-auth-subject and no key", with(keys.alice), "/hello", 200},
		{"alice has the scope that /reports requires", with(keys.alice), "/reports/2026", 200},
		{"her password works too", basic(alicesPassword), "/reports/2026", 200},
		{"what her key grants", with(keys.alice), "/v1/auth/verify", 200},
		{"no key", "", "/hello", 401},
		{"a key that this server does not know", with(keys.unknown), "/hello", 401},
		{"a wrong password", basic("wonderland"), "/hello", 401},
		{"outside the key's paths", with(keys.alice), "/admin", 403},
		{"bob's key lacks the scope", with(keys.bob), "/reports/2026", 403},
	} {
		fmt.Printf("# %s\ncurl -i %s%s%s   # %d\n", example.about, example.credential, url, example.path, example.status)
	}
}

// printManaging prints lines that manage keys, to paste one after the other.
func printManaging(url, console string, keys demoKeys) {
	admin := "-H 'Authorization: Bearer " + keys.admin + "' "
	api := "http://" + console + "/api/v1"
	fmt.Printf(`
# the management API: an administrator creates a key for alice …
MADE=$(curl -s %[1]s%[2]s/keys --json '{"name": "made", "user": "alice", "paths": ["/hello"]}')
KEY=$(echo "$MADE" | sed 's/.*"key":"\([^"]*\)".*/\1/')
ID=$(echo "$MADE" | sed 's/.*"id":"\([^"]*\)".*/\1/')
# … which is in force at once …
curl -i -H "Authorization: Bearer $KEY" %[3]s/hello   # 200
# … until it is revoked
curl -i -X POST %[1]s%[2]s/keys/$ID/revoke   # 200
curl -i -H "Authorization: Bearer $KEY" %[3]s/hello   # 401
# who did what
curl -i %[1]s"%[2]s/audit?limit=5"   # 200
`, admin, api, url)
}

// printLogin prints lines that log in, to paste one after the other.
func printLogin(url, issuer string) {
	fmt.Printf(`
# the issuer: alice logs in with her password, and calls the API with the token …
LOGIN=$(curl -s http://%[1]s/v1/auth/login --json '{"username": "alice", "password": "%[2]s"}')
TOKEN=$(echo "$LOGIN" | sed 's/.*"token":"\([^"]*\)".*/\1/')
REFRESH=$(echo "$LOGIN" | sed 's/.*"refresh_token":"\([^"]*\)".*/\1/')
curl -i -H "Authorization: Bearer $TOKEN" %[3]s/reports/2026   # 200
# … gets the next token, before that one expires …
NEXT=$(curl -s http://%[1]s/v1/auth/refresh --json "{\"refresh_token\": \"$REFRESH\"}")
NEWTOKEN=$(echo "$NEXT" | sed 's/.*"token":"\([^"]*\)".*/\1/')
NEWREFRESH=$(echo "$NEXT" | sed 's/.*"refresh_token":"\([^"]*\)".*/\1/')
curl -i -H "Authorization: Bearer $NEWTOKEN" %[3]s/reports/2026   # 200
# … and logs out, which ends both
curl -i http://%[1]s/v1/auth/logout --json "{\"refresh_token\": \"$NEWREFRESH\"}"   # 204
curl -i -H "Authorization: Bearer $TOKEN" %[3]s/reports/2026   # 401
curl -i -H "Authorization: Bearer $NEWTOKEN" %[3]s/reports/2026   # 401
`, issuer, alicesPassword, url)
}
