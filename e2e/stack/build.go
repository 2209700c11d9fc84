package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Main builds the program, stores its path in keyward, runs the tests of a package, and ends the
// process.
func Main(m interface{ Run() int }, keyward *string) {
	code, err := buildAndRun(m, keyward)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m interface{ Run() int }, keyward *string) (code int, err error) {
	root, err := Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "keyward-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if *keyward, err = Build(root, dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// Build builds the program as `make build` does, into the directory, and returns its path.
// root is the repository's directory.
func Build(root, dir string) (string, error) {
	binary := filepath.Join(dir, "keyward")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/keyward")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building keyward: %w\n%s", err, out)
	}
	return binary, nil
}
