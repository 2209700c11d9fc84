package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// TestShippedSettings checks envoy.yaml for settings whose loss no request
// shows: Keyward itself refuses what Envoy would have passed on, or the loss
// only shows during an attack, an outage or under load.
func TestShippedSettings(t *testing.T) {
	config, err := stack.LoadEnvoyConfig(filepath.Join(programs.root, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for where, settings := range map[string]map[string]string{
		"envoy.filters.network.http_connection_manager": {
			"typed_config.use_remote_address":                                           "true",
			"typed_config.normalize_path":                                               "true",
			"typed_config.merge_slashes":                                                "true",
			"typed_config.path_with_escaped_slashes_action":                             "REJECT_REQUEST",
			"typed_config.common_http_protocol_options.headers_with_underscores_action": "REJECT_REQUEST",
			"typed_config.internal_address_config.cidr_ranges.0.address_prefix":         "255.255.255.255",
			"typed_config.strip_trailing_host_dot":                                      "true",
			// ext_authz is only followed by the removal of trailers and the
			// router.
			"typed_config.http_filters.-3.name": "envoy.filters.http.ext_authz",
			"typed_config.http_filters.-2.name": "envoy.filters.http.header_mutation",
		},
		"envoy.filters.http.ext_authz": {
			"typed_config.transport_api_version":                                 "V3",
			"typed_config.stat_prefix":                                           "keyward",
			"typed_config.grpc_service.timeout":                                  "0.25s",
			"typed_config.failure_mode_allow":                                    "false",
			"typed_config.status_on_error.code":                                  "ServiceUnavailable",
			"typed_config.clear_route_cache":                                     "false",
			"typed_config.encode_raw_headers":                                    "true",
			"typed_config.validate_mutations":                                    "true",
			"typed_config.decoder_header_mutation_rules.disallow_all.value":      "true",
			"typed_config.decoder_header_mutation_rules.disallow_is_error.value": "true",
		},
		"all": {
			"domains.0":              "*",
			"routes.-1.match.prefix": "/",
		},
		"keyward": {
			"circuit_breakers.thresholds.0.max_requests":         "100000",
			"circuit_breakers.thresholds.0.max_pending_requests": "100000",
		},
		"envoy.resource_monitors.global_downstream_max_connections": {
			"typed_config.max_active_downstream_connections": "50000",
		},
	} {
		for path, want := range settings {
			if got := fmt.Sprint(at(config.Find(where), path)); got != want {
				t.Errorf("%s: %s is %s, want %s", where, path, got, want)
			}
		}
	}
}

// at follows a path of names and indexes; negative ones count from the end.
func at(node any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch n := node.(type) {
		case object:
			node = n[step]
		case []any:
			index, err := strconv.Atoi(step)
			if index < 0 {
				index += len(n)
			}
			if err != nil || index < 0 || index >= len(n) {
				return nil
			}
			node = n[index]
		default:
			return nil
		}
	}
	return node
}
