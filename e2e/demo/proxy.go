package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"keyward/e2e/stack"
	"keyward/e2e/testbin"
)

// pickProxy returns the proxy that PROXY names, or Envoy if PROXY is empty,
// with the shipped configuration, and its display name.
func pickProxy(ctx context.Context, root, cache string) (_ stack.Proxy, name string, err error) {
	switch proxy := os.Getenv("PROXY"); proxy {
	case "", "envoy":
		binary, err := testbin.Envoy().Path(ctx, cache, os.Stderr)
		if err != nil {
			return nil, "", err
		}
		config, err := stack.LoadEnvoyConfig(filepath.Join(root, "envoy.yaml"))
		return stack.Envoy{Binary: binary, Config: config}, "Envoy " + testbin.Envoy().Version, err
	case "nginx":
		binary, err := stack.NginxBinary()
		if err != nil {
			return nil, "", err
		}
		config, err := os.ReadFile(filepath.Join(root, "deploy", "nginx", "nginx.conf"))
		return stack.Nginx{Binary: binary, Config: string(config)}, "nginx", err
	default:
		return nil, "", fmt.Errorf("PROXY=%q: want envoy or nginx", proxy)
	}
}
