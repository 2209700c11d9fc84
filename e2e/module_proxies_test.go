package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"keyward/e2e/stack"
)

// moduleFile is the shipped configuration of an Envoy with the module.
var moduleFile = filepath.Join("deploy", "envoy-module", "envoy.yaml")

// inEnvoy are the proxies that check within Envoy: with the Keyward beside it for the
// rest, and alone.
var inEnvoy = []string{"envoy-module", "envoy-module-alone"}

// moduleEnvoy is an Envoy with the module.
type moduleEnvoy struct {
	stack.Envoy
	admin   int  // port of the module's metrics
	unready bool // it need not have loaded its keys
	follow  bool // it takes its listeners from a file
}

// Ready implements stack.Proxy. The module loads its keys while Envoy starts.
func (e moduleEnvoy) Ready(ctx context.Context, ports stack.Ports) bool {
	if ready := e.Envoy.Ready(ctx, ports); !ready || e.unready {
		return ready
	}
	return stack.Answers(ctx, "http://"+stack.Address(e.admin)+"/readyz")
}

// Start implements stack.Proxy.
func (e moduleEnvoy) Start(dir string, ports stack.Ports) (*stack.Process, error) {
	if !e.follow {
		return e.Envoy.Start(dir, ports)
	}
	e.Config.SetPorts(ports)
	file := filepath.Join(dir, "envoy.yaml")
	if err := errors.Join(e.Config.FollowListeners(filepath.Join(dir, "listeners.yaml")), e.Config.Write(file)); err != nil {
		return nil, err
	}
	return stack.EnvoyArgs{Binary: e.Binary, Env: e.Env, Args: []string{
		"-c", file, "--disable-hot-restart", "--concurrency", "2", "--drain-time-s", "1",
	}}.Start(dir, ports)
}

// envoyModule returns Envoy with the shipped configuration for the module: what it
// leaves undecided, the Keyward beside it is asked about.
func envoyModule(s *system) stack.Proxy {
	s.t.Helper()
	return s.moduleEnvoy(s.envoyConfigOf(moduleFile))
}

// envoyModuleAlone is the same without ext_authz: what the module leaves undecided is
// denied.
func envoyModuleAlone(s *system) stack.Proxy {
	s.t.Helper()
	config := s.envoyConfigOf(moduleFile)
	delete(config.ModuleSettings(), "undecided") // deny is the default
	manager := connectionManager(config)
	manager["http_filters"] = slices.DeleteFunc(manager["http_filters"].([]any), func(f any) bool {
		return f.(object)["name"] == "envoy.filters.http.ext_authz"
	})
	return s.moduleEnvoy(config)
}

func (s *system) moduleEnvoy(config *stack.EnvoyConfig) stack.Proxy {
	s.t.Helper()
	settings := config.ModuleSettings()
	settings["config"] = s.moduleKeyward()
	s.moduleAdmin = freePort(s.t)
	settings["admin"] = stack.Address(s.moduleAdmin)
	return moduleEnvoy{stack.Envoy{
		Binary: programs.envoy, Config: config, Env: append([]string{modulePath(moduleLibrary(s.t))}, s.opts.env...),
	}, s.moduleAdmin, s.opts.moduleText != nil, s.opts.follow}
}

// modulePath is the variable by which Envoy finds the library.
func modulePath(library string) string { return stack.ModulePath + "=" + filepath.Dir(library) }

// moduleLibrary returns the path of the module. The first test that needs it builds it.
func moduleLibrary(t *testing.T) string {
	t.Helper()
	need(t, "gcc")
	library, err := programs.module()
	if err != nil {
		t.Fatal(err)
	}
	return library
}

func connectionManager(c *stack.EnvoyConfig) object {
	return c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)
}

// moduleFilter returns the module's filter, nil if there is none. A cluster has the same
// name.
func moduleFilter(c *stack.EnvoyConfig) object {
	for _, f := range connectionManager(c)["http_filters"].([]any) {
		if f.(object)["name"] == "keyward" {
			return f.(object)["typed_config"].(object)
		}
	}
	return nil
}

// moduleRoute returns what a route says to the module.
func moduleRoute(config any) object {
	return object{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
		"dynamic_module_config": object{"name": "keyward", "do_not_close": true}, "per_route_config_name": "keyward",
		"filter_config": object{"@type": "type.googleapis.com/google.protobuf.Struct", "value": config},
	}
}

// disabledFilter is the configuration of a route on which a filter is disabled.
func disabledFilter() object {
	return object{"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}
}

// moduleKeyward returns the path of the module's keyward.yaml: the file of the Keyward
// beside it, or a copy that says where the keys of its issuer are, since the issuer's
// own address leads nowhere here.
func (s *system) moduleKeyward() string {
	s.t.Helper()
	file := filepath.Join(s.dir, "keyward.yaml")
	if s.opts.example != "" {
		file = filepath.Join(s.dir, s.opts.example)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.opts.moduleText != nil {
		return writeFile(s.t, s.dir, "module.yaml", s.opts.moduleText(string(text)))
	}
	var all object
	if err := yaml.Unmarshal(text, &all); err != nil {
		s.t.Fatal(err)
	}
	issuer, issues := all["issuer"].(object)
	if !issues {
		return file
	}
	delete(all, "issuer")
	listen := all["listen"].(object)
	entry := object{"issuer": issuer["url"], "keyward": true, "jwks_url": "http://" + listen["issuer"].(string) + "/.well-known/jwks.json"}
	audience, found := issuer["audience"]
	if !found {
		audience = issuer["url"]
	}
	entry["audiences"] = []any{audience}
	delete(listen, "issuer")
	delete(listen, "console")
	jwt, _ := all["jwt"].([]any)
	all["jwt"] = append(jwt, entry)
	if text, err = yaml.Marshal(all); err != nil {
		s.t.Fatal(err)
	}
	return writeFile(s.t, s.dir, "module.yaml", string(text))
}
