// Command demo is what `make run` runs: an upstream, Keyward and the real
// Envoy, with a few keys to try out, until Ctrl-C. For looking at, not for production.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"keyward/e2e/envoybin"
	"keyward/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if err := dieWithParent(); err != nil {
		return err
	}
	root, err := stack.Root()
	if err != nil {
		return err
	}
	ports, err := stack.PortsFromEnvironment()
	if err != nil {
		return err
	}
	if err := ports.Check(); err != nil {
		return err
	}
	cache := filepath.Join(root, ".cache")
	envoy, err := envoybin.Path(ctx, cache, os.Stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return err
	}
	if err := serve(ctx, root, dir, envoy, ports); err != nil {
		return err // the folder stays: the error names logs in it
	}
	return os.RemoveAll(dir)
}

func serve(ctx context.Context, root, dir, envoy string, ports stack.Ports) error {
	keyward := filepath.Join(root, "bin", "keyward")
	keys, err := makeKeys(ctx, keyward, dir)
	if err != nil {
		return err
	}
	config, err := writeConfig(dir, ports)
	if err != nil {
		return err
	}
	envoyConfig, err := stack.LoadEnvoyConfig(filepath.Join(root, "envoy.yaml"))
	if err != nil {
		return err
	}
	started := time.Now()
	running, err := stack.Start(ctx, stack.Config{
		Dir: dir, Keyward: keyward, Envoy: envoy, Ports: ports,
		KeywardConfig: config, EnvoyConfig: envoyConfig,
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // Ctrl-C while starting
	}
	if err != nil {
		return err
	}
	defer running.Stop()
	fmt.Printf("Envoy %s, Keyward and an upstream run (started in %s); logs and configuration are in %s\n\n",
		envoybin.Version, time.Since(started).Round(time.Millisecond), dir)
	printExamples(running.URL(), keys)
	fmt.Println("\nCtrl-C stops it all.\nready")
	return running.Wait(ctx)
}
