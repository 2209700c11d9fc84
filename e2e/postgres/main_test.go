package postgres

import (
	"fmt"
	"os"
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
	if keyward, err = stack.Build(root, dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
