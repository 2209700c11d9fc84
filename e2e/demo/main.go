// Command demo is what `make run` runs: an upstream, Keyward and the real
// Envoy, or nginx, with a few keys to try, until Ctrl-C. It is a demonstration
// and not for production.
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

	"keyward/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx)
	stop()
	if err != nil {
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
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	proxy, name, err := pickProxy(ctx, root, cache)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return err
	}
	if err := serve(ctx, stack.Config{
		Dir: dir, Keyward: filepath.Join(root, "bin", "keyward"), Ports: ports, Proxy: proxy,
	}, name); err != nil {
		return err // the directory stays: the error names logs in it
	}
	return os.RemoveAll(dir)
}

func serve(ctx context.Context, cfg stack.Config, name string) error {
	keys, err := makeKeys(ctx, cfg.Keyward, cfg.Dir)
	if err != nil {
		return err
	}
	if cfg.KeywardConfig, err = writeConfig(cfg.Dir, cfg.Ports); err != nil {
		return err
	}
	started := time.Now()
	running, err := stack.Start(ctx, cfg)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // Ctrl-C during the start
	}
	if err != nil {
		return err
	}
	defer running.Stop()
	password, err := makeOperator(ctx, stack.Address(cfg.Ports.Console), keys.admin)
	if err != nil {
		return err
	}
	fmt.Printf("%s, Keyward and an upstream run (started in %s); logs and configuration are in %s\n\n",
		name, time.Since(started).Round(time.Millisecond), cfg.Dir)
	printExamples(running.URL(), keys)
	printManaging(running.URL(), stack.Address(cfg.Ports.Console), keys)
	printLogin(running.URL(), stack.Address(cfg.Ports.Issuer))
	printConsole(stack.Address(cfg.Ports.Console), password)
	fmt.Println("\nCtrl-C stops it all.\nready")
	return running.Wait(ctx)
}
