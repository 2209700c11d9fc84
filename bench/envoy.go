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
	"keyward/e2e/testbin"

	"golang.org/x/net/http2/hpack"
)

// envoyConfig makes an Envoy that answers each request itself, so that it only
// decides whether to allow it: with a filter or without one.
const envoyConfig = `
admin: {address: {pipe: {path: "%[4]s"}}}
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

// moduleFilter makes Envoy check by itself. What the module does not decide is
// denied, which would end the measurement.
const moduleFilter = `          - name: keyward
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
              dynamic_module_config: {name: keyward, do_not_close: true, metrics_namespace: keyward}
              filter_name: keyward
              filter_config:
                "@type": type.googleapis.com/google.protobuf.Struct
                value: {config: "%s", undecided: deny, metadata: %s}
`

// envoyKeys is how many keys Envoy's own filter has, and one of the modules.
const envoyKeys = 10_000

// throughEnvoy compares what a client sees of an Envoy that asks Keyward, of
// one that asks a server that allows every request unchecked, of one that has
// Keyward's module, of one without a filter, and of one with Envoy's own filter for
// API keys. It measures requests per second at saturation, and times at 60 % of the
// baseline's rate and of the module's.
func (b *bench) throughEnvoy() error {
	binary, err := testbin.Envoy().Path(context.Background(), ".cache", os.Stderr)
	if err != nil {
		return err
	}
	keys, err := credential.NewKeyFile(b.dir, envoyKeys)
	if err != nil {
		return err
	}
	baseline, err := process.StartSelf("-baseline", filepath.Join(b.dir, "envoy-baseline.sock"))
	if err != nil {
		return err
	}
	keyward, err := process.Start(process.Config{Binary: b.binary, Dir: filepath.Join(b.dir, "envoy"), KeyFile: keys.Path, Procs: 1})
	if err != nil {
		return err
	}
	proxies := []*proxyUnderTest{
		{name: "Envoy asks the baseline", filter: askingFilter, asks: baseline.Socket, keys: keys},
		{name: "Envoy asks Keyward", filter: askingFilter, asks: keyward.Socket, keys: keys},
		{name: "Keyward's module", metadata: "all", keys: keys},
		{name: "Keyward's module", metadata: "all", keys: b.large},
		{name: "the same, metadata: denied", metadata: "denied", keys: keys},
		{name: "the same, metadata: denied", metadata: "denied", keys: b.large},
		{name: "Envoy's own api_key_auth", filter: ownFilter(keys.Secrets), keys: keys},
		{name: "Envoy alone", keys: keys},
	}
	for i, e := range proxies {
		if err := e.start(binary, filepath.Dir(b.module), filepath.Join(b.dir, fmt.Sprint("proxy", i))); err != nil {
			return err
		}
	}
	if err := b.compareProxies(proxies); err != nil {
		return err
	}
	for _, e := range proxies {
		e.child.Kill()
	}
	baseline.Kill()
	return keyward.Stop()
}

// proxyUnderTest is an Envoy with one configuration.
type proxyUnderTest struct {
	name, filter, asks string
	metadata           string // that the module writes; "" is an Envoy without the module
	keys               *credential.KeyFile

	child     *process.Child
	admin     string // its socket
	rate, cpu []float64

	low, high, own [3][]float64 // times at the two rates, and at 60 % of its own
}

// start runs Envoy with one worker, on the client's core and not on the
// authorization server's.
func (e *proxyUnderTest) start(binary, modules, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	socket, yaml := filepath.Join(dir, "proxy.sock"), filepath.Join(dir, "envoy.yaml")
	asks := e.asks
	if asks == "" {
		asks = filepath.Join(dir, "unused.sock")
	}
	if e.metadata != "" {
		config := filepath.Join(dir, process.ConfigFile)
		if err := process.WriteConfig(config, e.keys.Path, ""); err != nil {
			return err
		}
		e.filter = fmt.Sprintf(moduleFilter, config, e.metadata)
	}
	e.admin = filepath.Join(dir, "admin.sock")
	if err := os.WriteFile(yaml, fmt.Appendf(nil, envoyConfig, socket, e.filter, asks, e.admin), 0o600); err != nil {
		return err
	}
	cmd := process.Command(2, "taskset", "-c", "1", binary, "-c", yaml, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error")
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+modules) // GOMAXPROCS is the module's to choose
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

// The rows of throughEnvoy that others are compared with.
const (
	asksBaseline = iota
	asksKeyward
	moduleFew
	moduleMany
	quietFew
	quietMany
	ownFilterOf
	envoyAlone
)

func (b *bench) compareProxies(proxies []*proxyUnderTest) error {
	for round := range b.rounds + 1 {
		for _, e := range proxies {
			if err := e.saturate(b.span, round > 0); err != nil { // the first round is a warm-up
				return err
			}
		}
	}
	low, high := int(median(proxies[asksBaseline].rate)*0.6), int(median(proxies[moduleMany].rate)*0.6)
	for range b.rounds {
		for _, e := range proxies {
			if err := e.pace(low, b.span, &e.low); err != nil {
				return err
			}
			if e.asks != "" {
				continue
			}
			if err := e.pace(high, b.span, &e.high); err != nil {
				return err
			}
			if err := e.pace(int(median(e.rate)*0.6), b.span, &e.own); err != nil {
				return err
			}
		}
	}
	if err := b.reportProxies(proxies, low); err != nil {
		return err
	}
	b.reportPaced(proxies, high)
	b.reportOwn(proxies)
	return b.reportModule(proxies)
}

// saturate measures the requests per second, and Envoy's processor time.
func (e *proxyUnderTest) saturate(span time.Duration, keep bool) error {
	before, err := e.child.CPU()
	if err != nil {
		return err
	}
	a, err := e.load(0, span)
	if err != nil {
		return err
	}
	after, err := e.child.CPU()
	if err == nil && keep {
		e.rate, e.cpu = append(e.rate, a.Rate()), append(e.cpu, micros(after-before)/float64(a.Count))
	}
	return err
}

// pace measures the times at a rate.
func (e *proxyUnderTest) pace(rate int, span time.Duration, times *[3][]float64) error {
	a, err := e.load(rate, span)
	if err != nil {
		return err
	}
	for i, p := range percentiles {
		times[i] = append(times[i], micros(a.Percentile(p)))
	}
	return nil
}

func (e *proxyUnderTest) load(rate int, span time.Duration) (*loadgen.Answers, error) {
	a, err := loadgen.Driver{Address: "unix://" + e.child.Socket, Conns: 4, Streams: 32, Rate: rate, Span: span, Ask: func() loadgen.Request {
		return loadgen.Request{Want: loadgen.Allow, Fields: []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/api/v1/items/4711?fields=name"},
			{Name: ":authority", Value: "api.example.com"}, {Name: "user-agent", Value: "curl/8.5.0"}, {Name: "accept", Value: "*/*"},
			{Name: "authorization", Value: "Bearer " + e.keys.Secrets[rand.IntN(len(e.keys.Secrets))], Sensitive: true},
		}}
	}}.Run()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s", e.name), err)
	}
	return a, nil
}
