package e2e

import (
	"context"
	"errors"
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
	root                          string
	keyward                       string
	envoy                         string
	nginx                         string
	caddy, traefik, haproxy       string
	noCaddy, noTraefik, noHAProxy error
	noEnvoy                       error // why there is no Envoy
	noNginx                       error
	redis                         string
	noRedis                       error
	prometheus                    stack.Prometheus
	noPrometheus                  error
	noCurl                        error // why there is no curl
}

func TestMain(m *testing.M) {
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func prepareAndRun(m *testing.M) (code int, err error) {
	if programs.root, err = stack.Root(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "keyward-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if programs.keyward, err = build(dir); err != nil {
		return 0, err
	}
	cache := filepath.Join(programs.root, ".cache")
	programs.envoy, programs.noEnvoy = testbin.Envoy().Path(context.Background(), cache, os.Stderr)
	if programs.noEnvoy != nil && os.Getenv("CI") == "true" {
		return 0, programs.noEnvoy
	}
	programs.caddy, programs.noCaddy = testbin.Caddy().Path(context.Background(), cache, os.Stderr)
	programs.traefik, programs.noTraefik = testbin.Traefik().Path(context.Background(), cache, os.Stderr)
	programs.haproxy, programs.noHAProxy = stack.HAProxyBinary()
	if err := errors.Join(programs.noCaddy, programs.noTraefik, programs.noHAProxy); err != nil && os.Getenv("CI") == "true" {
		return 0, err
	}
	programs.nginx, programs.noNginx = stack.NginxBinary()
	if programs.noNginx != nil && os.Getenv("CI") == "true" {
		return 0, programs.noNginx
	}
	programs.redis, programs.noRedis = stack.RedisBinary()
	if programs.noRedis != nil && os.Getenv("CI") == "true" {
		return 0, programs.noRedis
	}
	programs.prometheus, programs.noPrometheus = stack.FindPrometheus(cache)
	if programs.noPrometheus != nil && os.Getenv("CI") == "true" {
		return 0, programs.noPrometheus
	}
	_, programs.noCurl = exec.LookPath("curl")
	if programs.noCurl != nil && os.Getenv("CI") == "true" {
		return 0, programs.noCurl
	}
	return m.Run(), nil
}

// build makes the program as `make build` does.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "keyward")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/keyward")
	cmd.Dir = programs.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building keyward: %w\n%s", err, out)
	}
	return binary, nil
}

// needEnvoy skips the test where Envoy can't be had.
func needEnvoy(t *testing.T) {
	t.Helper()
	if programs.noEnvoy != nil {
		t.Skip(programs.noEnvoy)
	}
}

// needCurl skips the test where nobody can paste a command.
func needCurl(t *testing.T) {
	t.Helper()
	if programs.noCurl != nil {
		t.Skip(programs.noCurl)
	}
}
