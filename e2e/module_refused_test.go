package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/e2e/testbin"
)

// trial is an Envoy with the module that may refuse its configuration.
type trial struct {
	*system
	binary string
	env    []string
	change func(*stack.EnvoyConfig) // of the shipped configuration; nil for none
}

func newTrial(t *testing.T, keyward string) *trial {
	t.Helper()
	need(t, "Envoy")
	return &trial{system: newSystem(t, options{proxy: "envoy-module", config: keyward}), binary: programs.envoy, env: []string{modulePath(moduleLibrary(t))}}
}

// listening is in the log of a module that listens.
const listening = `"msg":"listening"`

// config writes keyward.yaml, and returns Envoy's configuration with these ports.
func (r *trial) config(ports stack.Ports) *stack.EnvoyConfig {
	r.t.Helper()
	r.writeConfig(ports)
	config := r.loadEnvoyConfig(moduleFile)
	settings := config.ModuleSettings()
	settings["config"], settings["admin"] = filepath.Join(r.dir, "keyward.yaml"), stack.Address(freePort(r.t))
	if r.change != nil {
		r.change(config)
	}
	config.SetPorts(ports)
	return config
}

// validated returns the log of an Envoy that validates its configuration, and whether
// it accepts it.
func (r *trial) validated() (log string, accepted bool) {
	r.t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.dir, "validated.yaml")
	if err := r.config(ports).Write(file); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.binary, "--mode", "validate", "-c", file)
	cmd.Env = append(os.Environ(), r.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// served returns the log of an Envoy that is to serve its configuration, and whether it
// does. Then the log also says where the module's metrics are.
func (r *trial) served() (log string, accepted bool) {
	r.t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		r.t.Fatal(err)
	}
	envoy := stack.Envoy{Binary: r.binary, Config: r.config(ports), Env: r.env}
	p, err := envoy.Start(r.t.TempDir(), ports)
	if err != nil {
		r.t.Fatal(err)
	}
	defer p.Kill()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if errors.Is(p.Signal(0), os.ErrProcessDone) {
			return p.Log(), false
		}
		if envoy.Ready(r.t.Context(), ports) && strings.Contains(p.Log(), listening) {
			return p.Log(), true
		}
	}
	r.t.Fatalf("Envoy has neither ended nor is it ready:\n%s", tail(p.Log()))
	return "", false
}

// refuses wants Envoy to refuse the configuration, with a text in its log, both when it
// validates it and when it is to serve it.
func (r *trial) refuses(text string) {
	r.t.Helper()
	for name, run := range map[string]func() (string, bool){"--mode validate": r.validated, "serving": r.served} {
		if log, accepted := run(); accepted || !strings.Contains(log, text) {
			r.t.Errorf("%s: accepted: %v; want %q in the log:\n%s", name, accepted, text, tail(log))
		}
	}
}

// TestModuleRefusesSettings: Envoy does not start with a filter_config, or a keyward.yaml,
// that is not valid, and its log says what is wrong.
func TestModuleRefusesSettings(t *testing.T) {
	set := func(name string, value any) func(*stack.EnvoyConfig) {
		return func(c *stack.EnvoyConfig) { c.ModuleSettings()[name] = value }
	}
	onRoute := func(config any) func(*stack.EnvoyConfig) {
		return func(c *stack.EnvoyConfig) {
			route := c.Find("all")["routes"].([]any)[1].(object)
			route["typed_per_filter_config"] = object{"keyward": moduleRoute(config)}
		}
	}
	for _, c := range []struct {
		name, keyward string
		change        func(*stack.EnvoyConfig)
		want          string
	}{
		{"without config", "", func(c *stack.EnvoyConfig) { delete(c.ModuleSettings(), "config") }, "keyward: filter_config: config is missing, the path of keyward.yaml"},
		{"config is a number", "", set("config", 5), "it has config, undecided, metadata and admin"},
		{"undecided: allow", "", set("undecided", "allow"), `keyward: filter_config: undecided: "allow" is neither ask nor deny`},
		{"metadata that ext_authz needs", "", set("metadata", "denied"), "keyward: filter_config: metadata: denied excludes undecided: ask"},
		{"an unknown member", "", set("undecide", "ask"), `unknown field "undecide"; it has config, undecided, metadata and admin`},
		{"admin without a port", "", set("admin", "127.0.0.1"), `keyward: filter_config: admin: `},
		{"no filter_config", "", func(c *stack.EnvoyConfig) { delete(moduleFilter(c), "filter_config") }, "keyward: filter_config: "},
		{"no keyward.yaml", "", set("config", "/nowhere/keyward.yaml"), "reading configuration: open /nowhere/keyward.yaml: no such file or directory"},
		{"a directory", "", set("config", "/"), "reading configuration: read /: is a directory"},
		{"an error in keyward.yaml", "colour: red\n", nil, "keyward.yaml:3: unknown key `colour`"},
		{"a route without a name", "", onRoute(object{"route": ""}), "keyward: filter_config of a route: route is missing, the name of a route in keyward.yaml"},
		{"a route's unknown member", "", onRoute(object{"rout": "x"}), `unknown field "rout"; it has route`},
		{"a route's number", "", onRoute(object{"route": 5}), "keyward: filter_config of a route: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTrial(t, c.keyward)
			r.key("--name", "k")
			r.change = c.change
			r.refuses(c.want)
		})
	}
	t.Run("with an issuer", func(t *testing.T) { // whose tokens the module verifies by its public keys
		r := newTrial(t, issuerConfig)
		r.opts.issuer = true
		r.key("--name", "k")
		for _, run := range []func() (string, bool){r.validated, r.served} {
			if log, accepted := run(); !accepted {
				t.Error(tail(log))
			}
		}
	})
	t.Run("as shipped", func(t *testing.T) {
		r := newTrial(t, "")
		r.key("--name", "k")
		for _, run := range []func() (string, bool){r.validated, r.served} {
			if log, accepted := run(); !accepted || strings.Contains(log, "[error]") || strings.Contains(log, "[warning][dynamic_modules]") {
				t.Errorf("accepted: %v:\n%s", accepted, tail(log))
			}
		}
	})
}

// TestModuleShared: filters with the same configuration share one instance, and one
// that contradicts the other is refused.
func TestModuleShared(t *testing.T) {
	second := func(t *testing.T, admin string) func(*stack.EnvoyConfig) {
		port := freePort(t)
		return func(c *stack.EnvoyConfig) {
			edge := c.Find("edge")
			clone := copied(edge).(object)
			clone["name"] = "second"
			clone["address"].(object)["socket_address"].(object)["port_value"] = port
			c.AddListener(clone)
			if admin != "" {
				c.ModuleSettings()["admin"] = admin
			}
		}
	}
	t.Run("equal", func(t *testing.T) {
		r := newTrial(t, "")
		r.key("--name", "k")
		r.change = second(t, "")
		if log, accepted := r.served(); !accepted || strings.Count(log, listening) != 1 {
			t.Errorf("accepted: %v, %d listeners for metrics, want one:\n%s", accepted, strings.Count(log, listening), tail(log))
		}
	})
	t.Run("another admin", func(t *testing.T) {
		r := newTrial(t, "")
		r.key("--name", "k")
		r.change = second(t, stack.Address(freePort(t)))
		if log, accepted := r.served(); accepted || !strings.Contains(log, "and another filter with the same config has") {
			t.Errorf("accepted: %v:\n%s", accepted, tail(log))
		}
	})
}

// copied returns a deep copy of a part of a configuration.
func copied(node any) any {
	switch node := node.(type) {
	case object:
		all := object{}
		for name, value := range node {
			all[name] = copied(value)
		}
		return all
	case []any:
		all := slices.Clone(node)
		for i := range all {
			all[i] = copied(all[i])
		}
		return all
	default:
		return node
	}
}

// TestModuleMissing: an Envoy that does not find the library does not start.
func TestModuleMissing(t *testing.T) {
	r := newTrial(t, "")
	r.key("--name", "k")
	r.env = []string{stack.ModulePath + "=" + t.TempDir()}
	r.refuses("libkeyward.so")
}

// TestModuleInOlderEnvoy: an Envoy that lacks a function which the module calls refuses
// it, and its log says why.
func TestModuleInOlderEnvoy(t *testing.T) {
	older, err := testbin.OlderEnvoy().Path(t.Context(), filepath.Join(programs.root, ".cache"), os.Stderr)
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	r := newTrial(t, "")
	r.key("--name", "k")
	r.binary = older
	r.refuses("keyward: this Envoy lacks http_get_downstream_direct_remote_address; the module is for Envoy 1.40")
}
