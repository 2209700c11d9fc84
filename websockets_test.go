package keyward_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Expressions for the lines by which a proxy forwards websockets, and no other
// upgrade.
var (
	envoyWebsockets = []string{
		`^ *upgrade_configs: \[\{upgrade_type: websocket\}\]$`,
		`^ *timeout: 0s$`,
		`^ *- \{exact: sec-websocket-protocol\}$`,
		`^ *regex: "[^"]*\|sec-w\[a-z-\]\+\|`,
	}
	nginxWebsockets = []string{
		`^ *"~\*\^websocket\$" websocket;$`,
		`^ *proxy_set_header Upgrade +\$upgrade;$`,
		`^ *proxy_set_header Connection +\$connection_upgrade;$`,
		`^ *auth_request_set \$keyward_subprotocol +\$upstream_http_sec_websocket_protocol;$`,
		`^ *proxy_set_header Sec-WebSocket-Protocol +\$keyward_subprotocol;$`,
		`^ *proxy_buffering off;`,
		`^ *proxy_read_timeout 300s;`,
	}
	gatewayStreams = []string{`^ *timeouts: \{request: 0s\}$`}
)

// websocketLines are the expressions for each file of proxyFiles and for the
// example of a Gateway. Istio and Envoy Gateway forward websockets, and no other
// upgrade, by themselves.
var websocketLines = map[string][]string{
	"envoy.yaml":                                    envoyWebsockets,
	"deploy/envoy-http/envoy.yaml":                  append(envoyWebsockets[:len(envoyWebsockets):len(envoyWebsockets)], `^ *- \{exact: sec-websocket-protocol\}\n *# The headers of a denial`),
	"deploy/envoy-issuer/envoy.yaml":                envoyWebsockets,
	"deploy/envoy-module/envoy.yaml":                envoyWebsockets,
	"deploy/kubernetes/overlays/shared/envoy.yaml":  envoyWebsockets,
	"deploy/kubernetes/overlays/sidecar/envoy.yaml": envoyWebsockets,
	"deploy/helm/keyward/files/sidecar/envoy.yaml":  envoyWebsockets,

	"deploy/kubernetes/overlays/envoy-gateway/gateway.yaml":        gatewayStreams,
	"deploy/kubernetes/overlays/envoy-gateway/securitypolicy.yaml": nil,
	"deploy/kubernetes/overlays/istio/mesh-config.yaml":            nil,
	"deploy/helm/keyward/templates/envoygateway.yaml":              gatewayStreams,

	"deploy/nginx/nginx.conf":        nginxWebsockets,
	"deploy/nginx/nginx-plain.conf":  nginxWebsockets,
	"deploy/nginx/nginx-issuer.conf": nginxWebsockets,
	"docs/proxies.md":                {`^ *grpc_set_header Sec-WebSocket-Protocol \$keyward_subprotocol;$`},
	"deploy/haproxy/haproxy.cfg": {
		`^ *acl websocket req\.fhdr\(Upgrade\) -m str -i websocket$`,
		`^ *acl one_upgrade req\.fhdr_cnt\(Upgrade\) eq 1$`,
		`^ *http-request del-header Upgrade unless websocket one_upgrade$`,
		`^ *timeout server 300s$`,
	},
	"deploy/caddy/Caddyfile": {
		`^\t*@otherupgrade not vars_regexp \{http\.request\.header\.Upgrade\} \(\?i\)\^websocket\$$`,
		`^\t*request_header @otherupgrade -Upgrade$`,
		`^\t*Sec-WebSocket-Protocol$`,
	},
	"deploy/traefik/dynamic.yaml": {
		`^ *Upgrade: ""$`, `^ *Upgrade: websocket$`,
		`^ *authResponseHeaders: \[.*Sec-WebSocket-Protocol\]$`,
	},
}

// TestWebsocketsInProxyFiles: all shipped configurations forward websockets and
// streams, also those that no test of e2e runs.
func TestWebsocketsInProxyFiles(t *testing.T) {
	for file := range proxyFiles {
		if _, listed := websocketLines[file]; !listed {
			t.Errorf("websocketLines lacks %s", file)
		}
	}
	for file, wanted := range websocketLines {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range wanted {
			if !regexp.MustCompile(`(?m)` + line).Match(text) {
				t.Errorf("%s has no line %s", file, line)
			}
		}
	}
}

// TestOneUpgradeInEnvoyFiles: Envoy upgrades to websocket only, and only
// requests that lead to the API.
func TestOneUpgradeInEnvoyFiles(t *testing.T) {
	for file, lines := range websocketLines {
		if !strings.HasSuffix(file, "envoy.yaml") || lines == nil {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "upgrade"); n != 3 { // the line and its comment
			t.Errorf("%s names upgrades %d times", file, n)
		}
		if strings.Contains(string(text), "allow_connect") {
			t.Errorf("%s allows CONNECT", file)
		}
	}
}
