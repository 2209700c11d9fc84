package e2e

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
	"keyward/internal/otlpreceiver"

	"github.com/golang-jwt/jwt/v5"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v3"
)

const (
	clientsTrace = "0af7651916cd43dd8448eb211c80319c"
	clientsSpan  = "b7ad6b7169203331"
	recorded     = "Traceparent: 00-" + clientsTrace + "-" + clientsSpan + "-01"
	unrecorded   = "Traceparent: 00-" + clientsTrace + "-" + clientsSpan + "-00"
)

// tracedBy returns a configuration that traces to the receiver.
func tracedBy(receiver *otlpreceiver.Receiver, config string) string {
	return fmt.Sprintf("%s\ntracing: {endpoint: \"http://%s\"}\n", config, receiver.Address)
}

// envoyTraces changes Envoy's configuration as docs/tracing.md says, with the
// receiver as collector, and with every trace recorded.
func envoyTraces(receiver *otlpreceiver.Receiver) func(*testing.T, *stack.EnvoyConfig) {
	return func(t *testing.T, c *stack.EnvoyConfig) {
		t.Helper()
		_, port, err := net.SplitHostPort(receiver.Address)
		if err != nil {
			t.Fatal(err)
		}
		tracing := documentedBlock(t, "OpenTelemetryConfig", "value: 1.0", "value: 100.0")["tracing"]
		c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)["tracing"] = tracing
		c.AddCluster(documentedBlock(t, "\nname: otel_collector", "port_value: 4317", "port_value: "+port))
	}
}

// documentedBlock returns the block of docs/tracing.md that contains the text,
// with a part of it replaced.
func documentedBlock(t *testing.T, text, from, to string) object {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(programs.root, "docs", "tracing.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(page), "```") {
		block, isYAML := strings.CutPrefix(block, "yaml")
		if i%2 == 0 || !isYAML || !strings.Contains(block, text) {
			continue
		}
		if !strings.Contains(block, from) {
			t.Fatalf("no %q in\n%s", from, block)
		}
		var read object
		if err := yaml.Unmarshal([]byte(strings.ReplaceAll(block, from, to)), &read); err != nil {
			t.Fatal(err)
		}
		return read
	}
	t.Fatalf("docs/tracing.md has no block with %q", text)
	return nil
}

// TestTraceThroughEnvoy: the client's span, Envoy's, Envoy's of the call to
// Keyward, and Keyward's own are in one trace, each the child of the one
// before.
func TestTraceThroughEnvoy(t *testing.T) {
	for _, proxy := range []string{"", "envoy-http"} {
		t.Run(cmp.Or(proxy, "Envoy"), func(t *testing.T) {
			receiver := otlpreceiver.Start(t)
			s := newSystem(t, options{proxy: proxy, config: tracedBy(receiver, allSources), envoy: envoyTraces(receiver)})
			key := s.key("--name", "k")
			s.start()
			for _, c := range []struct {
				lines  []string
				status int
			}{
				{[]string{recorded, bearer(key)}, 200},
				{[]string{recorded}, 401},
				{[]string{"X-API-Key: " + key}, 200}, // Envoy begins a trace
				{[]string{unrecorded, bearer(key)}, 200},
				{[]string{unrecorded}, 401},
				{[]string{"Traceparent: 00-nonsense", bearer(key)}, 200}, // Envoy makes no spans for this one
			} {
				if a := s.get("/any", c.lines...); a.status != c.status {
					t.Errorf("%q: %d %s", c.lines, a.status, a.body)
				}
			}
			var got []string
			for _, span := range receiver.Wait(t, "keyward", 3) {
				got = append(got, span.All()["keyward.decision"]+": "+ancestors(t, receiver, span))
			}
			slices.Sort(got)
			if want := []string{
				"allow: envoy's client span, envoy's server span, a root",
				"allow: envoy's client span, envoy's server span, the client's",
				"deny: envoy's client span, envoy's server span, the client's",
			}; !slices.Equal(got, want) {
				t.Errorf("the ancestors of Keyward's spans are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func servedBy(receiver *otlpreceiver.Receiver, service string) (spans []otlpreceiver.Span) {
	for _, s := range receiver.Spans() {
		if s.Service == service {
			spans = append(spans, s)
		}
	}
	return spans
}

// ancestors names the ancestors of a span within its trace, up to the first
// span that was not exported.
func ancestors(t *testing.T, receiver *otlpreceiver.Receiver, span otlpreceiver.Span) string {
	t.Helper()
	var names []string
	for {
		switch parent := hex.EncodeToString(span.ParentSpanId); {
		case parent == "":
			return strings.Join(append(names, "a root"), ", ")
		case parent == clientsSpan && hex.EncodeToString(span.TraceId) == clientsTrace:
			return strings.Join(append(names, "the client's"), ", ")
		}
		span = waitFor(t, receiver, span)
		kind := strings.ToLower(strings.TrimPrefix(span.Kind.String(), "SPAN_KIND_"))
		service := span.Service
		if strings.HasPrefix(service, "unknown_service:caddy") {
			service = "caddy"
		}
		names = append(names, fmt.Sprintf("%s's %s span", service, kind))
	}
}

// waitFor returns the parent of a span, in the same trace, once it is exported.
func waitFor(t *testing.T, receiver *otlpreceiver.Receiver, child otlpreceiver.Span) otlpreceiver.Span {
	t.Helper()
	for n := 1; ; n++ { // Wait fails the test if there is no further span
		for _, s := range receiver.Wait(t, "", n) {
			if bytes.Equal(s.SpanId, child.ParentSpanId) && bytes.Equal(s.TraceId, child.TraceId) {
				return s
			}
		}
	}
}

// TestTraceThroughOthers: Traefik and Caddy, which trace with a setting of
// their own, send their span where Keyward finds it.
func TestTraceThroughOthers(t *testing.T) {
	for proxy, c := range map[string]struct {
		before, setting string // where it is inserted, and the text
		own             string // the proxy's spans, from Keyward's upwards
	}{
		"traefik": {"entryPoints:\n  edge:", "tracing: {serviceName: traefik, sampleRate: 1.0, otlp: {grpc: {endpoint: %q, insecure: true}}}\n", "traefik's client span, traefik's server span"},
		"caddy":   {"\t\t@strange {", "\t\ttracing\n", "caddy's server span"},
	} {
		t.Run(proxy, func(t *testing.T) {
			receiver := otlpreceiver.Start(t)
			setting, inserted := c.setting, 0
			if proxy == "caddy" { // it can only be configured that way
				t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+receiver.Address)
				t.Setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
			} else {
				setting = fmt.Sprintf(setting, receiver.Address)
			}
			s := newSystem(t, options{proxy: proxy, config: tracedBy(receiver, allSources), text: func(text string) string {
				inserted += strings.Count(text, c.before)
				return strings.Replace(text, c.before, setting+c.before, 1)
			}})
			key := s.key("--name", "k")
			s.start()
			if inserted != 1 {
				t.Fatalf("the proxy's files have %d times: %q", inserted, c.before)
			}
			if a := s.get("/any", bearer(key), recorded); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			span := receiver.Wait(t, "keyward", 1)[0]
			for n := 2; hex.EncodeToString(span.TraceId) != clientsTrace; n++ { // a trace of the readiness check
				span = receiver.Wait(t, "keyward", n)[n-1]
			}
			if got := ancestors(t, receiver, span); got != c.own+", the client's" {
				t.Errorf("the ancestors of Keyward's span are %s, want %s", got, c.own)
			}
		})
	}
}

// TestTraceOfTheClient: if the proxy does not trace, a check's span is a child
// of the client's, provided that the proxy forwards its header to Keyward.
func TestTraceOfTheClient(t *testing.T) {
	showTraceparent := func(_ *testing.T, c *stack.EnvoyConfig) {
		headers := authzFilter(c)["allowed_headers"].(object)
		headers["patterns"] = append(headers["patterns"].([]any), object{"exact": "traceparent"})
	}
	for _, proxy := range []string{"", "nginx", "haproxy", "caddy", "traefik"} {
		t.Run(cmp.Or(proxy, "Envoy"), func(t *testing.T) {
			receiver := otlpreceiver.Start(t)
			s := newSystem(t, options{proxy: proxy, config: tracedBy(receiver, allSources), envoy: showTraceparent, text: func(text string) string {
				return strings.Replace(text, `["x-request-id"] = true,`, `["x-request-id"] = true, ["traceparent"] = true,`, 1) // HAProxy's
			}})
			key := s.key("--name", "k")
			s.start()
			for _, line := range []string{unrecorded, "Traceparent: " + strings.Repeat("00-", 100), recorded} {
				if a := s.get("/any", bearer(key), line); a.status != 200 {
					t.Errorf("%q: %d %s", line, a.status, a.body)
				}
			}
			span := receiver.Wait(t, "keyward", 1)[0]
			if got := hex.EncodeToString(span.TraceId) + " " + hex.EncodeToString(span.ParentSpanId); got != clientsTrace+" "+clientsSpan {
				t.Errorf("%s, want the client's %s %s", got, clientsTrace, clientsSpan)
			}
			if n := len(receiver.Spans()); n != 1 {
				t.Errorf("%d spans, want 1", n)
			}
		})
	}
}

// TestNoSecretInTraces: keys, passwords, JWTs and credentials in the query,
// valid or not, are not in any byte that Keyward or Envoy exports.
func TestNoSecretInTraces(t *testing.T) {
	receiver := otlpreceiver.Start(t)
	const password, hmac = "correct-horse-battery", "a-secret-of-thirty-two-bytes-or-more"
	s := newSystem(t, options{envoy: envoyTraces(receiver), config: tracedBy(receiver, `
credentials: {header: X-API-Key, cookie: session, query: key, basic: true, basic_key_usernames: [haplo]}
users: {file: users.jsonl}
jwt: [{name: login, issuer: login, algorithms: [HS256], hmac_secret_file: jwt-secret}]
log: {decisions: all}
`)})
	writeFile(t, s.dir, "jwt-secret", hmac)
	s.run(password, "user", "set", "alice", "--file", "users.jsonl", "--path", "/")
	key := s.key("--name", "k")
	token := sign(t, jwt.SigningMethodHS256, []byte(hmac), "", "JWT", claims(jwt.MapClaims{"iss": "login", "sub": "alice"}))
	s.start()
	basic := func(name, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
	}
	wrong := strings.Repeat("wrong", 5)
	sent := 0
	for _, c := range []struct {
		target string
		lines  []string
		status int
	}{
		{"/a", []string{bearer(key)}, 200}, {"/a", []string{"X-API-Key: " + key}, 200}, {"/a", []string{"Cookie: session=" + key}, 200},
		{"/a?key=" + key, nil, 200}, {"/a", []string{basic("haplo", key)}, 200}, {"/a", []string{basic("alice", password)}, 200}, {"/a", []string{bearer(token)}, 200},
		{"/a", []string{basic("alice", wrong)}, 401}, {"/a", []string{bearer(token + "x")}, 401}, {"/a?key=" + key + "x", nil, 401},
		{"/a?key=" + key, []string{bearer(key)}, 401}, {"/" + key, nil, 401}, {"/a", []string{"Authorization: " + key}, 401},
		{"/a", []string{bearer(key), "Tracestate: a=" + wrong, "Baggage: a=" + wrong, "X-Request-Id: " + wrong}, 200},
	} {
		if a := s.get(c.target, append(c.lines, recorded)...); a.status != c.status {
			t.Errorf("%s %q: %d %s", c.target, c.lines, a.status, a.body)
		}
		sent++
	}
	receiver.Wait(t, "keyward", sent)
	receiver.Wait(t, "envoy", 2*sent)
	exported := receiver.Bytes(t)
	for name, secret := range map[string]string{
		"the key": key, "the key's end": key[len(key)-16:], "the password": password, "the password in base 64": basic("alice", password)[21:],
		"the JWT's signature": token[strings.LastIndexByte(token, '.')+1:], "the JWT's claims": strings.Split(token, ".")[1], "the HMAC secret": hmac,
	} {
		if bytes.Contains(exported, []byte(secret)) {
			t.Errorf("%s was exported", name)
		}
	}
	for _, span := range servedBy(receiver, "keyward") {
		if text := fmt.Sprint(span); strings.Contains(text, wrong) || strings.Contains(text, "alice") || span.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("%v", span)
		}
	}
	t.Logf("%d bytes searched", len(exported))
}
