package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/bench/report"
	"keyward/e2e/testbin"

	"golang.org/x/net/http2/hpack"
)

// envoyConfig makes an Envoy that answers each request itself, so that it only
// decides whether to allow it: with a filter or without one.
const envoyConfig = `
static_resources:
  listeners:
  - address: {pipe: {path: %[1]s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          codec_type: HTTP2
          http_filters:
%[2]s          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}
  clusters:
  - name: authz
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: authz, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "%[3]s"}}}}]}]}
`

const askingFilter = `          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: authz}, timeout: 1s}
              encode_raw_headers: true
`

// throughEnvoy compares what a client sees of an Envoy that asks Keyward, of
// one that asks a server that allows every request unchecked, of one without a
// filter, and of one with Envoy's own filter for API keys. It measures requests
// per second at saturation, and times at 60 % of the baseline's rate.
func (b *bench) throughEnvoy() error {
	binary, err := testbin.Envoy().Path(context.Background(), ".cache", os.Stderr)
	if err != nil {
		return err
	}
	baseline, err := process.StartSelf("-baseline", filepath.Join(b.dir, "envoy-baseline.sock"))
	if err != nil {
		return err
	}
	keyward, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, "envoy"), KeyFile: b.small.Path, Procs: 1})
	if err != nil {
		return err
	}
	proxies := []*proxyUnderTest{
		{name: "Envoy asks the baseline", filter: askingFilter, asks: baseline.Socket},
		{name: "Envoy asks Keyward", filter: askingFilter, asks: keyward.Socket},
		{name: "Envoy's own api_key_auth, " + report.Count(b.few) + " keys", filter: ownFilter(b.small.Secrets)},
		{name: "Envoy alone"},
	}
	for i, e := range proxies {
		if err := e.start(binary, filepath.Join(b.dir, fmt.Sprint("proxy", i))); err != nil {
			return err
		}
	}
	if err := b.compareProxies(proxies); err != nil {
		return err
	}
	for _, c := range []*process.Child{baseline, proxies[0].child, proxies[1].child, proxies[2].child, proxies[3].child} {
		c.Kill()
	}
	return keyward.Stop()
}

// proxyUnderTest is an Envoy with one configuration.
type proxyUnderTest struct {
	name, filter, asks string
	child              *process.Child
	rate               []float64
	times              [3][]float64
}

// start runs Envoy with one worker, on the client's core and not on the
// authorization server's.
func (e *proxyUnderTest) start(binary, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	socket, yaml := filepath.Join(dir, "proxy.sock"), filepath.Join(dir, "envoy.yaml")
	asks := e.asks
	if asks == "" {
		asks = filepath.Join(dir, "unused.sock")
	}
	if err := os.WriteFile(yaml, fmt.Appendf(nil, envoyConfig, socket, e.filter, asks), 0o600); err != nil {
		return err
	}
	cmd := process.Command(2, "taskset", "-c", "1", binary, "-c", yaml, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error")
	cmd.Stderr = os.Stderr
	var err error
	if e.child, err = process.StartCommand(cmd, socket); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	return nil
}

// ownFilter returns the configuration of Envoy's api_key_auth filter with all
// keys in plaintext.
func ownFilter(keys []string) string {
	var f strings.Builder
	f.WriteString(`          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              key_sources: [{header: Authorization}]
              credentials:
`)
	for i, key := range keys {
		fmt.Fprintf(&f, "              - {key: %s, client: c%d}\n", key, i)
	}
	return f.String()
}

func (b *bench) compareProxies(proxies []*proxyUnderTest) error {
	values := credential.Bearers(b.small.Secrets)
	for round := range b.rounds + 1 {
		for _, e := range proxies {
			a, err := e.load(values, 0, b.span)
			if err != nil {
				return err
			}
			if round > 0 { // the first round is a warm-up
				e.rate = append(e.rate, a.Rate())
			}
		}
	}
	rate := int(median(proxies[0].rate) * 0.6)
	for range b.rounds {
		for _, e := range proxies {
			a, err := e.load(values, rate, b.span)
			if err != nil {
				return err
			}
			for i, p := range percentiles {
				e.times[i] = append(e.times[i], micros(a.Percentile(p)))
			}
		}
	}
	at := fmt.Sprintf(" µs at %d/s", rate)
	b.report.Begin("Through Envoy, one worker", "requests/s", "p50"+at, "p99"+at, "p99.9"+at)
	for _, e := range proxies {
		cells := []string{e.name, fmt.Sprintf("%.0f", median(e.rate))}
		for _, times := range e.times {
			cells = append(cells, fmt.Sprintf("%.0f", median(times)))
		}
		b.report.Row(cells...)
	}
	return nil
}

func (e *proxyUnderTest) load(values []string, rate int, span time.Duration) (*loadgen.Answers, error) {
	a, err := loadgen.Driver{Address: "unix://" + e.child.Socket, Conns: 4, Streams: 32, Rate: rate, Span: span, Ask: func() loadgen.Request {
		return loadgen.Request{Want: loadgen.Allow, Fields: []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/api/v1/items/4711?fields=name"},
			{Name: ":authority", Value: "api.example.com"}, {Name: "user-agent", Value: "curl/8.5.0"}, {Name: "accept", Value: "*/*"},
			{Name: "authorization", Value: values[rand.IntN(len(values))], Sensitive: true},
		}}
	}}.Run()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s", e.name), err)
	}
	return a, nil
}
