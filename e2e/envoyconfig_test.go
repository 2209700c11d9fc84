package e2e

import (
	"testing"

	"keyward/e2e/stack"
)

type object = map[string]any

// pickRoutes adds Envoy routes that name a route of Keyward: to ext_authz, and to the
// module, if it is there.
func pickRoutes(_ *testing.T, c *stack.EnvoyConfig) {
	all := c.Find("all")
	routes := all["routes"].([]any)
	for path, name := range map[string]string{"/p/picked": "picked", "/q/picked": "picked", "/p/unknown": "misspelt"} {
		filters := object{"envoy.filters.http.ext_authz": object{
			"@type":          "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
			"check_settings": object{"context_extensions": object{"keyward.route": name}},
		}}
		if moduleFilter(c) != nil {
			filters["keyward"] = moduleRoute(object{"route": name})
		}
		routes = append([]any{object{
			"match": object{"path": path}, "route": object{"cluster": "upstream"}, "typed_per_filter_config": filters,
		}}, routes...)
	}
	all["routes"] = routes
}

// acceptUnderscores passes header names with underscores on to Keyward.
func acceptUnderscores(_ *testing.T, c *stack.EnvoyConfig) {
	manager := c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)
	manager["common_http_protocol_options"].(object)["headers_with_underscores_action"] = "ALLOW"
}

// throughSocket makes Envoy use a unix socket to ask Keyward.
func throughSocket(path string) func(*testing.T, *stack.EnvoyConfig) {
	return func(_ *testing.T, c *stack.EnvoyConfig) {
		endpoint(c, "keyward")["address"] = object{"pipe": object{"path": path}}
	}
}

// speakHTTP2 makes Envoy speak HTTP/2 with the upstream, as gRPC requires.
func speakHTTP2(_ *testing.T, c *stack.EnvoyConfig) {
	c.Find("upstream")["typed_extension_protocol_options"] = object{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http2_protocol_options": object{}},
		},
	}
}

// endpoint returns the only endpoint of a cluster.
func endpoint(c *stack.EnvoyConfig, cluster string) object {
	at := c.Find(cluster)["load_assignment"].(object)["endpoints"].([]any)[0].(object)
	return at["lb_endpoints"].([]any)[0].(object)["endpoint"].(object)
}
