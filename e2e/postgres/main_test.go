package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyward/e2e/stack"
)

// keyward is the program.
var keyward string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/postgres:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	root, err := stack.Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "keyward-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	keyward = filepath.Join(dir, "keyward")
	cmd := exec.Command("go", "build", "-trimpath", "-o", keyward, "./cmd/keyward")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building keyward: %w\n%s", err, out)
	}
	return m.Run(), nil
}
