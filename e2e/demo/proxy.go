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
	case "module":
		binary, err := testbin.Envoy().Path(ctx, cache, os.Stderr)
		if err != nil {
			return nil, "", err
		}
		config, err := stack.LoadEnvoyConfig(filepath.Join(root, "deploy", "envoy-module", "envoy.yaml"))
		return moduleEnvoy{stack.Envoy{
			Binary: binary, Config: config, Env: []string{stack.ModulePath + "=" + filepath.Join(root, "bin")},
		}}, "Envoy " + testbin.Envoy().Version + " with Keyward's module", err
	default:
		return nil, "", fmt.Errorf("PROXY=%q: want envoy, module or nginx", proxy)
	}
}

// moduleEnvoy is Envoy with Keyward's module, which checks by the configuration of the
// Keyward beside it.
type moduleEnvoy struct{ stack.Envoy }

// Start implements stack.Proxy.
func (e moduleEnvoy) Start(dir string, ports stack.Ports) (*stack.Process, error) {
	settings := e.Config.ModuleSettings()
	settings["config"] = filepath.Join(dir, "keyward.yaml")
	delete(settings, "admin") // its port may be in use
	return e.Envoy.Start(dir, ports)
}
