package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/e2e/stack"
	"keyward/e2e/testbin"
	"keyward/internal/postgrestest"
)

// programs are the binaries that the tests run.
var programs struct {
	root, keyward         string
	envoy, caddy, traefik string
	haproxy, nginx, redis string
	prometheus            stack.Prometheus
	module                func() (string, error) // builds Envoy's module once, and returns its path
	schemathesis          string                 // the directory of its packages
	missing               map[string]error       // why a program is not available, by its name
}

// postgresServer has the databases of the tests.
var postgresServer = postgrestest.Server{Hasher: apikey.NewHasher(authz.Secret{})}

func TestMain(m *testing.M) {
	if helped, err := help(); helped {
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
		return
	}
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// helper returns a command that runs the test program with low priority, for what the variables
// say: see help.
func helper(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nice", "-n", lowPriority, program)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	return cmd
}

// help does what the environment wants of the test program instead of tests, if anything.
func help() (helped bool, err error) {
	switch {
	case os.Getenv(snapshotsOf) != "":
		return true, takeSnapshots(os.Stdout)
	case os.Getenv(steadyRequests) != "":
		return true, makeSteadyRequests(os.Stdin, os.Stdout)
	default:
		return false, nil
	}
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
	if programs.keyward, err = stack.Build(programs.root, dir); err != nil {
		return 0, err
	}
	programs.module = sync.OnceValues(func() (string, error) { return stack.BuildModule(programs.root, dir) })
	if err := findPrograms(); err != nil && os.Getenv("CI") == "true" {
		return 0, err
	}
	return postgrestest.Main(m, &postgresServer), nil
}

// findPrograms fetches the programs that are distributed as Python packages,
// and finds those that the system has.
func findPrograms() error {
	ctx, cache := context.Background(), filepath.Join(programs.root, ".cache")
	programs.missing = map[string]error{}
	var all []error
	for name, find := range map[string]func() error{
		"Envoy": func() (err error) { programs.envoy, err = testbin.Envoy().Path(ctx, cache, os.Stderr); return err },
		"Caddy": func() (err error) { programs.caddy, err = testbin.Caddy().Path(ctx, cache, os.Stderr); return err },
		"Schemathesis": func() (err error) {
			programs.schemathesis, err = testbin.Schemathesis(ctx, cache, os.Stderr)
			return err
		},
		"Traefik":    func() (err error) { programs.traefik, err = testbin.Traefik().Path(ctx, cache, os.Stderr); return err },
		"HAProxy":    func() (err error) { programs.haproxy, err = stack.HAProxyBinary(); return err },
		"nginx":      func() (err error) { programs.nginx, err = stack.NginxBinary(); return err },
		"Redis":      func() (err error) { programs.redis, err = stack.RedisBinary(); return err },
		"Prometheus": func() (err error) { programs.prometheus, err = stack.FindPrometheus(cache); return err },
		"curl":       func() error { _, err := exec.LookPath("curl"); return err },
		"gcc":        func() error { _, err := exec.LookPath("gcc"); return err }, // as cgo has it
	} {
		if err := find(); err != nil {
			programs.missing[name] = err
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// need skips the test if the program is not available.
func need(t *testing.T, program string) {
	t.Helper()
	if err := programs.missing[program]; err != nil {
		t.Skip(err)
	}
}
