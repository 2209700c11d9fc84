package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyward/e2e/stack"
	"keyward/e2e/testbin"
)

// programs are what the tests run.
var programs struct {
	root, keyward, envoy string
}

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/console:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if programs.root, err = stack.Root(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "keyward-console-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs.keyward = filepath.Join(dir, "keyward")
	cmd := exec.Command("go", "build", "-trimpath", "-o", programs.keyward, "./cmd/keyward")
	cmd.Dir, cmd.Env = programs.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building keyward: %w\n%s", err, out)
	}
	if programs.envoy, err = testbin.Envoy().Path(context.Background(), filepath.Join(programs.root, ".cache"), os.Stderr); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
