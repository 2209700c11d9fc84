package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

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
