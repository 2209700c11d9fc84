package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"keyward/e2e/stack"
)

// recordedPath is a path through a proxy to an upstream that records.
type recordedPath struct {
	name, proxy string
	http2       bool // the protocol to the upstream
	// refused reports whether a request with trailers in this form is refused.
	// Otherwise the trailers are dropped and the request is forwarded.
	refused func(form) bool
	// change returns the ports for clients of HTTP/1 and HTTP/2; 0 means none.
	change func(*testing.T, *options) (clients, http2Clients int)
}

// recordedPaths has each of the proxies with each protocol that it can speak
// with an upstream.
var recordedPaths = []recordedPath{
	{name: "Envoy", refused: never, change: unchanged},
	{name: "Envoy to HTTP2", refused: never, http2: true, change: envoyToHTTP2},
	{name: "Envoy over HTTP", proxy: "envoy-http", refused: never, change: unchanged},
	{name: "Envoy over HTTP to HTTP2", proxy: "envoy-http", http2: true, refused: never, change: envoyToHTTP2},
	{name: "Envoy's module", proxy: "envoy-module", refused: never, change: unchanged},
	{name: "Envoy's module to HTTP2", proxy: "envoy-module", http2: true, refused: never, change: envoyToHTTP2},
	{name: "Envoy's module alone to HTTP2", proxy: "envoy-module-alone", http2: true, refused: never, change: envoyToHTTP2},
	{name: "Envoy Gateway's Lua to HTTP2", http2: true, refused: never, change: envoyGatewayToHTTP2},
	{name: "nginx", proxy: "nginx", refused: overHTTP2, change: nginxForHTTP2},
	{name: "nginx-plain", proxy: "nginx-plain", refused: overHTTP2, change: nginxForHTTP2},
	{name: "nginx to gRPC", proxy: "nginx", http2: true, refused: always, change: nginxToGRPC},
	{name: "HAProxy", proxy: "haproxy", refused: always, change: unchanged},
	{name: "HAProxy to HTTP2", proxy: "haproxy", http2: true, refused: always, change: replaceText("127.0.0.1:8000 maxconn", "127.0.0.1:8000 proto h2 maxconn")},
	{name: "Caddy", proxy: "caddy", refused: announcedOverHTTP2, change: replaceText(caddyHTTP2...)},
	// A proxy that buffers the body knows the trailers before it forwards the
	// request. Traefik before 3.7.13 forwarded them then.
	{name: "Caddy with a buffer", proxy: "caddy", refused: announcedOverHTTP2, change: replaceText(append(slices.Clone(caddyHTTP2),
		"reverse_proxy 127.0.0.1:8000 {\n", "reverse_proxy 127.0.0.1:8000 {\n\t\t\trequest_buffers 1MiB\n")...)},
	{name: "Caddy to HTTP2", proxy: "caddy", http2: true, refused: announcedOverHTTP2, change: replaceText(append(slices.Clone(caddyHTTP2),
		"reverse_proxy 127.0.0.1:8000", "reverse_proxy h2c://127.0.0.1:8000")...)},
	{name: "Traefik", proxy: "traefik", refused: announcedOverHTTP2, change: unchanged},
	{name: "Traefik with a buffer", proxy: "traefik", refused: announcedOverHTTP2, change: replaceText(
		"middlewares: [target, keyward]", "middlewares: [target, keyward, buffer]", "\n  middlewares:\n", "\n  middlewares:\n    buffer: {buffering: {maxRequestBodyBytes: 1000000}}\n")},
	{name: "Traefik to HTTP2", proxy: "traefik", http2: true, refused: announcedOverHTTP2, change: replaceText("http://127.0.0.1:8000", "h2c://127.0.0.1:8000")},
}

// caddyHTTP2 makes Caddy speak HTTP/2 without TLS.
var caddyHTTP2 = []string{"\tservers {\n", "\tservers {\n\t\tprotocols h1 h2 h2c\n"}

// defaultPort means the port that clients use without a change.
const defaultPort = -1

func unchanged(*testing.T, *options) (int, int) { return defaultPort, defaultPort }

func envoyToHTTP2(_ *testing.T, o *options) (int, int) {
	o.envoy = speakHTTP2
	return defaultPort, defaultPort
}

// envoyGatewayToHTTP2 uses the Lua of the overlay for Envoy Gateway instead of
// header_mutation.
func envoyGatewayToHTTP2(t *testing.T, o *options) (int, int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(programs.root, "deploy", "kubernetes", "overlays", "envoy-gateway", "envoyextensionpolicy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Spec struct{ Lua []struct{ Inline string } }
	}
	if err := yaml.Unmarshal(text, &policy); err != nil || len(policy.Spec.Lua) != 1 {
		t.Fatalf("%d Lua scripts, %v", len(policy.Spec.Lua), err)
	}
	o.envoy = func(t *testing.T, c *stack.EnvoyConfig) {
		speakHTTP2(t, c)
		filter := c.Find("envoy.filters.http.header_mutation")
		filter["name"] = "envoy.filters.http.lua"
		filter["typed_config"] = object{
			"@type":               "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
			"default_source_code": object{"inline_string": policy.Spec.Lua[0].Inline},
		}
	}
	return defaultPort, defaultPort
}

// replaceText replaces texts of the shipped configuration, given as pairs of
// old and new. Each old text must be in one of its files.
func replaceText(oldnew ...string) func(*testing.T, *options) (int, int) {
	return func(t *testing.T, o *options) (int, int) {
		found := map[string]bool{}
		t.Cleanup(func() {
			for i := 0; i < len(oldnew); i += 2 {
				if !found[oldnew[i]] {
					t.Errorf("the shipped configuration has no %q", oldnew[i])
				}
			}
		})
		o.text = func(text string) string {
			for i := 0; i < len(oldnew); i += 2 {
				found[oldnew[i]] = found[oldnew[i]] || strings.Contains(text, oldnew[i])
			}
			return strings.NewReplacer(oldnew...).Replace(text)
		}
		return defaultPort, defaultPort
	}
}

// nginxForHTTP2 makes nginx listen for HTTP/2 too: without TLS it speaks one
// protocol per port.
func nginxForHTTP2(t *testing.T, o *options) (int, int) {
	t.Helper()
	port := freePort(t)
	const usual = "listen 127.0.0.1:10000;\n"
	o.text = strings.NewReplacer(usual, fmt.Sprintf("%s    listen %s http2;\n", usual, stack.Address(port))).Replace
	return defaultPort, port
}

// nginxToGRPC applies the settings for grpc_pass to the paths of these tests.
func nginxToGRPC(t *testing.T, o *options) (int, int) {
	t.Helper()
	withGRPC := withGRPC(t)
	o.text = func(text string) string {
		return strings.Replace(withGRPC(text), "location ~ ^/(shop|reports) {", "location ~ ^/(public|news|any) {", 1)
	}
	return 0, defaultPort
}

// recordedSystem is a system whose upstream records.
type recordedSystem struct {
	*system
	path                  recordedPath
	upstream              *recorder
	key                   string // of alice
	clients, http2Clients int    // ports
}

func startRecorded(t *testing.T, path recordedPath) *recordedSystem {
	t.Helper()
	r := &recordedSystem{path: path, upstream: &recorder{}}
	o := options{proxy: path.proxy, config: routesConfig, upstream: r.upstream.start}
	r.clients, r.http2Clients = path.change(t, &o)
	r.system = newSystem(t, o)
	r.key = r.system.key("--name", "k", "--user", "alice")
	r.start()
	for _, port := range []*int{&r.clients, &r.http2Clients} {
		if *port == defaultPort {
			*port = r.Ports().Envoy
		}
	}
	return r
}

// arrivals stops the proxy, so that no request is in flight, and returns the
// recorded requests.
func (r *recordedSystem) arrivals() []arrival {
	r.t.Helper()
	r.Stop()
	if err := r.upstream.problems(); err != nil {
		r.t.Error(err)
	}
	return r.upstream.requests()
}
