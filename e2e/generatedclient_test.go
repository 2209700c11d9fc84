package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGeneratedClient has oapi-codegen make a client of the OpenAPI document, with
// which e2e/apiclient creates, uses, rotates and revokes a key. It is a module of its
// own, so that Keyward's has neither the generator nor what generated code needs.
func TestGeneratedClient(t *testing.T) {
	m, dir := startManaged(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(programs.root, "e2e", "apiclient"))); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "KEYWARD_KEY="+m.admin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %q: %v\n%s", args, err, out)
		}
	}
	document := filepath.Join(programs.root, "docs", "openapi.json")
	run("tool", "oapi-codegen", "-generate", "types,client", "-package", "main", "-o", "client.gen.go", document)
	run("run", ".", "http://"+m.address)
}
