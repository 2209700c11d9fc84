package testbin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	schemathesisVersion = "4.32.5"
	authlibVersion      = "1.9.10"
)

// Schemathesis returns the directory of the Python packages that test an API against
// its OpenAPI document, and fetches them first if they are missing:
//
//	PYTHONPATH=DIR python3 -m schemathesis.cli run …
func Schemathesis(ctx context.Context, cache string, log io.Writer) (dir string, err error) {
	return pythonPackages(ctx, cache, "schemathesis", schemathesisVersion, log)
}

// Authlib returns the directory of Authlib, an OAuth client, and of the Python packages that
// it needs. It fetches them first if they are missing.
func Authlib(ctx context.Context, cache string, log io.Writer) (dir string, err error) {
	return pythonPackages(ctx, cache, "authlib", authlibVersion, log)
}

// pythonPackages has pip install what NAME.txt lists, and returns the directory.
func pythonPackages(ctx context.Context, cache, name, version string, log io.Writer) (dir string, err error) {
	dir = filepath.Join(cache, name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil // another process was faster
	}
	fmt.Fprintf(log, "fetching %s %s into %s\n", name, version, cache)
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	hashes, err := requirements.ReadFile(name + ".txt")
	if err != nil {
		return "", err
	}
	list, packages := filepath.Join(tmp, "requirements.txt"), filepath.Join(tmp, "packages")
	if err := os.WriteFile(list, hashes, 0o600); err != nil {
		return "", err
	}
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", list, "--target", packages)
	if out, err := pip.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pip install: %w: %s", err, bytes.TrimSpace(out))
	}
	return dir, os.Rename(packages, dir)
}
