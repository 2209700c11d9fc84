package stack

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// EnvoyConfig is a parsed Envoy configuration, which can be changed in places.
type EnvoyConfig struct{ root map[string]any }

// LoadEnvoyConfig reads the shipped configuration.
func LoadEnvoyConfig(file string) (*EnvoyConfig, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &EnvoyConfig{}
	if err := yaml.Unmarshal(text, &c.root); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return c, nil
}

// SetPorts replaces the shipped ports wherever they occur.
func (c *EnvoyConfig) SetPorts(ports Ports) {
	change := map[int]int{}
	for i, p := range ports.named() {
		change[*Shipped.named()[i].port] = *p.port
	}
	replacePorts(c.root, change)
}

func replacePorts(node any, change map[int]int) {
	switch node := node.(type) {
	case map[string]any:
		for name, value := range node {
			if port, ok := value.(int); ok && name == "port_value" && change[port] != 0 {
				node[name] = change[port]
			}
			replacePorts(value, change)
		}
	case []any:
		for _, value := range node {
			replacePorts(value, change)
		}
	}
}

// Find returns the first object below the root with the given `name`: a
// listener, a cluster, a filter, a virtual host. It returns nil if there is
// none.
func (c *EnvoyConfig) Find(name string) map[string]any { return find(c.root, name) }

func find(node any, name string) map[string]any {
	switch node := node.(type) {
	case map[string]any:
		if node["name"] == name {
			return node
		}
		for _, value := range node {
			if found := find(value, name); found != nil {
				return found
			}
		}
	case []any:
		for _, value := range node {
			if found := find(value, name); found != nil {
				return found
			}
		}
	}
	return nil
}

// ModuleSettings returns the filter_config of Keyward's module. It returns nil if the
// configuration has no such filter.
func (c *EnvoyConfig) ModuleSettings() map[string]any { return moduleSettings(c.root) }

func moduleSettings(node any) map[string]any {
	switch node := node.(type) {
	case map[string]any:
		if node["filter_name"] == "keyward" {
			if config, ok := node["filter_config"].(map[string]any); ok {
				settings, _ := config["value"].(map[string]any)
				return settings
			}
		}
		for _, value := range node {
			if found := moduleSettings(value); found != nil {
				return found
			}
		}
	case []any:
		for _, value := range node {
			if found := moduleSettings(value); found != nil {
				return found
			}
		}
	}
	return nil
}

// AddCluster adds a cluster to the existing ones.
func (c *EnvoyConfig) AddCluster(cluster map[string]any) {
	resources := c.root["static_resources"].(map[string]any)
	resources["clusters"] = append(resources["clusters"].([]any), cluster)
}

// AddListener adds a listener to the existing ones.
func (c *EnvoyConfig) AddListener(listener map[string]any) {
	resources := c.root["static_resources"].(map[string]any)
	resources["listeners"] = append(resources["listeners"].([]any), listener)
}

// FollowListeners makes Envoy take its listeners from a file, and again whenever another
// file is renamed to it. WriteListeners writes it.
func (c *EnvoyConfig) FollowListeners(file string) error {
	if err := c.WriteListeners(file); err != nil {
		return err
	}
	delete(c.root["static_resources"].(map[string]any), "listeners")
	c.root["node"] = map[string]any{"id": "keyward", "cluster": "keyward"}
	c.root["dynamic_resources"] = map[string]any{"lds_config": map[string]any{
		"resource_api_version": "V3", "path_config_source": map[string]any{"path": file},
	}}
	return nil
}

// WriteListeners writes the listeners to a file that Envoy can follow.
func (c *EnvoyConfig) WriteListeners(file string) error {
	listeners := c.root["static_resources"].(map[string]any)["listeners"].([]any)
	for _, listener := range listeners {
		listener.(map[string]any)["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener"
	}
	text, err := yaml.Marshal(map[string]any{"resources": listeners})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// AddSecret adds a secret that the configuration can name.
func (c *EnvoyConfig) AddSecret(name, value string) {
	resources := c.root["static_resources"].(map[string]any)
	secrets, _ := resources["secrets"].([]any)
	resources["secrets"] = append(secrets, map[string]any{
		"name": name, "generic_secret": map[string]any{"secret": map[string]any{"inline_string": value}},
	})
}

// Write writes the configuration to a file in a form that Envoy reads.
func (c *EnvoyConfig) Write(file string) error {
	text, err := yaml.Marshal(c.root)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
