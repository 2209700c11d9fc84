package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"keyward/e2e/stack"
	"keyward/internal/eventually"
)

// soakDrain is how long the connections of a replaced listener have to end.
const soakDrain = 10 * time.Second

// soakEnvoys are the Envoys of the soak: the one under test, and one without
// Keyward for comparison. They have one worker each. Of the first, the listener
// "edge" gets its filter by the discovery of extensions (ECDS), so that its
// connections stay while the filter is replaced. The listener "other" is
// replaced as a whole by the discovery of listeners (LDS), so that its
// connections are drained.
type soakEnvoys struct {
	dir         string // Keyward's
	own         string // Envoy's: it would see each change of another file in the directory of a file that it watches
	edge, other int    // ports
	alone       stack.Ports
	moduleAdmin string

	aloneProcess *stack.Process
}

// edgeAddress, otherAddress and aloneAddress are where clients connect.
func (e *soakEnvoys) edgeAddress() string  { return stack.Address(e.edge) }
func (e *soakEnvoys) otherAddress() string { return stack.Address(e.other) }
func (e *soakEnvoys) aloneAddress() string { return stack.Address(e.alone.Envoy) }

// Start implements stack.Proxy.
func (e *soakEnvoys) Start(dir string, ports stack.Ports) (*stack.Process, error) {
	e.dir, e.edge = dir, ports.Envoy
	config, err := e.shipped(ports)
	if err != nil {
		return nil, err
	}
	resources := config["static_resources"].(map[string]any)
	filters := httpFilters(resources["listeners"].([]any)[0])
	filters[0] = map[string]any{"name": "keyward", "config_discovery": map[string]any{
		"config_source": map[string]any{"path_config_source": map[string]any{"path": filepath.Join(e.own, "filter.yaml")}, "resource_api_version": "V3"},
		"type_urls":     []any{"type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"},
	}}
	config["node"] = map[string]any{"id": "soak", "cluster": "soak"}
	config["dynamic_resources"] = map[string]any{"lds_config": map[string]any{
		"path_config_source": map[string]any{"path": filepath.Join(e.own, "listeners.yaml")}, "resource_api_version": "V3",
	}}
	if err := e.replaceFilter(0); err != nil {
		return nil, err
	}
	if err := e.replaceListener(ports, 0); err != nil {
		return nil, err
	}
	file := filepath.Join(e.own, "envoy.yaml")
	if err := writeMoved(file, config); err != nil {
		return nil, err
	}
	return stack.EnvoyArgs{Binary: programs.envoy, Args: []string{
		"-c", file, "--disable-hot-restart", "--concurrency", "1", "--drain-time-s", fmt.Sprint(soakDrain.Seconds()), "--drain-strategy", "immediate", "--log-level", "warning",
	}}.Start(dir, ports)
}

// Ready implements stack.Proxy.
func (e *soakEnvoys) Ready(ctx context.Context, ports stack.Ports) bool {
	return stack.Envoy{}.Ready(ctx, ports)
}

// shipped returns the shipped configuration with these ports, with routes that
// Envoy answers itself, below /d/: it then says which subject the upstream
// would have seen.
func (e *soakEnvoys) shipped(ports stack.Ports) (map[string]any, error) {
	c, err := stack.LoadEnvoyConfig(filepath.Join(programs.root, "deploy", "envoy-module", "envoy.yaml"))
	if err != nil {
		return nil, err
	}
	c.SetPorts(ports)
	file := filepath.Join(e.own, "shipped.yaml")
	if err := c.Write(file); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(string(text), "/etc/keyward/", e.dir+"/")), &config); err != nil {
		return nil, err
	}
	manager := managerOf(config["static_resources"].(map[string]any)["listeners"].([]any)[0])
	delete(manager, "access_log") // it would be gigabytes
	for _, filter := range manager["http_filters"].([]any) {
		if filter := filter.(map[string]any); filter["name"] == "envoy.filters.http.ext_authz" {
			filter["typed_config"].(map[string]any)["grpc_service"].(map[string]any)["timeout"] = "10s" // a busy machine is not a wrong answer
		}
	}
	host := manager["route_config"].(map[string]any)["virtual_hosts"].([]any)[0].(map[string]any)
	var own []any
	if err := yaml.Unmarshal([]byte(soakRoutes), &own); err != nil {
		return nil, err
	}
	host["routes"] = append(own, host["routes"].([]any)...)
	return config, nil
}

const soakRoutes = `
- match: {prefix: /d/picked}
  direct_response: {status: 200}
  response_headers_to_add: [{header: {key: x-seen, value: "%REQ(x-auth-subject)%"}}]
  typed_per_filter_config:
    keyward:
      "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute
      dynamic_module_config: {name: keyward, do_not_close: true}
      filter_name: keyward
      filter_config: {"@type": type.googleapis.com/google.protobuf.Struct, value: {route: picked}}
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      check_settings: {context_extensions: {keyward.route: picked}}
- match: {prefix: /d/}
  direct_response: {status: 200}
  response_headers_to_add: [{header: {key: x-seen, value: "%REQ(x-auth-subject)%"}}]
`

func managerOf(listener any) map[string]any {
	chain := listener.(map[string]any)["filter_chains"].([]any)[0].(map[string]any)
	return chain["filters"].([]any)[0].(map[string]any)["typed_config"].(map[string]any)
}

func httpFilters(listener any) []any { return managerOf(listener)["http_filters"].([]any) }

// filterConfig returns the n-th configuration of the filter, which differs from
// the others.
func (e *soakEnvoys) filterConfig(n int, file string, admin bool) map[string]any {
	value := map[string]any{"config": filepath.Join(e.dir, file), "undecided": "ask"}
	if admin {
		value["admin"] = e.moduleAdmin
	}
	return map[string]any{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
		"dynamic_module_config": map[string]any{"name": "keyward", "do_not_close": true, "metrics_namespace": "keyward"},
		"filter_name":           fmt.Sprint("keyward-", n),
		"filter_config":         map[string]any{"@type": "type.googleapis.com/google.protobuf.Struct", "value": value},
	}
}

// replaceFilter has Envoy replace the filter of the listener "edge".
func (e *soakEnvoys) replaceFilter(n int) error {
	return writeMoved(filepath.Join(e.own, "filter.yaml"), map[string]any{"resources": []any{map[string]any{
		"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
		"name":  "keyward", "typed_config": e.filterConfig(n, "keyward.yaml", true),
	}}})
}

// replaceListener has Envoy replace the listener "other". Each second time its
// filter has a file of its own, for which the module starts another engine
// within Envoy, and ends it later.
func (e *soakEnvoys) replaceListener(ports stack.Ports, n int) error {
	ports.Envoy = e.other
	config, err := e.shipped(ports)
	if err != nil {
		return err
	}
	listener := config["static_resources"].(map[string]any)["listeners"].([]any)[0].(map[string]any)
	listener["@type"], listener["name"] = "type.googleapis.com/envoy.config.listener.v3.Listener", "other"
	managerOf(listener)["stat_prefix"] = fmt.Sprint("other-", n%2)
	keyward := httpFilters(listener)[0].(map[string]any)
	if keyward["name"] != "keyward" {
		return fmt.Errorf("the first filter is %v, not keyward", keyward["name"])
	}
	if n%2 == 0 {
		keyward["typed_config"] = e.filterConfig(n, "keyward.yaml", true)
	} else {
		keyward["typed_config"] = e.filterConfig(n, "other.yaml", false)
	}
	return writeMoved(filepath.Join(e.own, "listeners.yaml"), map[string]any{"resources": []any{listener}})
}

// startAlone starts the Envoy without Keyward.
func (e *soakEnvoys) startAlone(t *testing.T) {
	t.Helper()
	config, err := e.shipped(e.alone)
	if err != nil {
		t.Fatal(err)
	}
	listener := config["static_resources"].(map[string]any)["listeners"].([]any)[0]
	manager := managerOf(listener)
	manager["http_filters"] = httpFilters(listener)[2:]
	host := manager["route_config"].(map[string]any)["virtual_hosts"].([]any)[0].(map[string]any)
	host["routes"] = host["routes"].([]any)[1:2] // what Envoy answers itself
	dir := t.TempDir()
	file := filepath.Join(dir, "envoy.yaml")
	if err := writeMoved(file, config); err != nil {
		t.Fatal(err)
	}
	args := stack.EnvoyArgs{Binary: programs.envoy, Args: []string{"-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"}}
	process, err := args.Start(dir, e.alone)
	if err != nil {
		t.Fatal(err)
	}
	e.aloneProcess = process
	t.Cleanup(process.Stop)
	eventually.Succeeds(t, func() error {
		if !args.Ready(t.Context(), e.alone) {
			return errors.New("the Envoy without Keyward is not ready")
		}
		return nil
	})
}

// writeMoved writes a file and moves it to its place, as Envoy wants of files
// that it watches.
func writeMoved(file string, content any) error {
	text, ok := content.(string)
	if !ok {
		encoded, err := yaml.Marshal(content)
		if err != nil {
			return err
		}
		text = string(encoded)
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
