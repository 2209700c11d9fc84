package stack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	return binary, build(root, "CGO_ENABLED=0", "-o", binary, "./cmd/keyward")
}

// ModulePath is the variable that has the directory of Envoy's modules.
const ModulePath = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"

// BuildModule builds Envoy's module as `make module` does, except for the profile, into the
// directory, and returns its path. It takes a C compiler, and minutes if little is in Go's
// cache. CGO_CFLAGS applies.
func BuildModule(root, dir string, tags ...string) (string, error) {
	library := filepath.Join(dir, "libkeyward.so")
	return library, build(filepath.Join(root, "envoymodule"), "CGO_ENABLED=1",
		"-buildmode=c-shared", "-tags="+strings.Join(tags, ","), "-o", library, ".")
}

func build(dir, cgo string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building in %s: %w\n%s", dir, err, out)
	}
	return nil
}
