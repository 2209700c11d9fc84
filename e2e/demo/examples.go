package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"keyward/e2e/stack"
)

// configText is what the examples rest on; see docs/ for all there is.
const configText = `listen:
  grpc: %s
  http: %s
  admin: %s
keys:
  file: keys.jsonl
routes:
- {name: reports, path: /reports, scopes: ["reports:read"]}
log: {decisions: all}
`

func writeConfig(dir string, ports stack.Ports) (file string, err error) {
	file = filepath.Join(dir, "keyward.yaml")
	text := fmt.Sprintf(configText, stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin))
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// demoKeys are shown on the terminal, which is what they are for.
type demoKeys struct{ alice, bob, stranger string }

func makeKeys(ctx context.Context, keyward, dir string) (keys demoKeys, err error) {
	create := func(args ...string) string {
		cmd := exec.CommandContext(ctx, keyward, append([]string{"key", "create"}, args...)...)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, failed := cmd.Output()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("keyward key create: %w: %s", failed, bytes.TrimSpace(stderr.Bytes())))
		}
		return string(bytes.TrimSpace(out))
	}
	keys.alice = create("--name", "demo-alice", "--user", "alice", "--path", "/hello", "--path", "/reports", "--scope", "reports:read")
	keys.bob = create("--name", "demo-bob", "--user", "bob", "--path", "/hello", "--path", "/reports")
	// A key that is well formed and that this server has never heard of.
	keys.stranger = create("--name", "stranger", "--file", "elsewhere.jsonl")
	return keys, err
}

// printExamples prints lines to paste into a shell, each with the status it gets.
func printExamples(url string, keys demoKeys) {
	with := func(key string) string { return "-H 'Authorization: Bearer " + key + "' " }
	for _, example := range []struct {
		about, credential, path string
		status                  int
	}{
		{"alice may; the upstream shows x-auth-subject and no key", with(keys.alice), "/hello", 200},
		{"alice has the scope that /reports asks for", with(keys.alice), "/reports/2026", 200},
		{"no key", "", "/hello", 401},
		{"a key that nobody was given here", with(keys.stranger), "/hello", 401},
		{"off the key's paths", with(keys.alice), "/admin", 403},
		{"bob's key is without the scope", with(keys.bob), "/reports/2026", 403},
	} {
		fmt.Printf("# %s\ncurl -i %s%s%s   # %d\n", example.about, example.credential, url, example.path, example.status)
	}
}
