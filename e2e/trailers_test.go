package e2e

import (
	"fmt"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// recordedPath is a way through a proxy to an upstream that records.
type recordedPath struct {
	name, proxy string
	http2       bool // the upstream's protocol
	// refused reports of a request with trailers in this form that it is refused;
	// else the trailers are dropped and the request passes.
	refused func(form) bool
	// change returns the ports for clients of HTTP/1 and HTTP/2; 0 is none.
	change func(*testing.T, *options) (clients, http2Clients int)
}

// recordedPaths are each of the proxies with each protocol it can speak with an upstream.
var recordedPaths = []recordedPath{
	{name: "Envoy", refused: never, change: unchanged},
	{name: "Envoy to HTTP2", refused: never, http2: true, change: envoyToHTTP2},
	{name: "Envoy over HTTP", proxy: "envoy-http", refused: never, change: unchanged},
	{name: "Envoy over HTTP to HTTP2", proxy: "envoy-http", http2: true, refused: never, change: envoyToHTTP2},
	{name: "nginx", proxy: "nginx", refused: overHTTP2, change: nginxForHTTP2},
	{name: "nginx-plain", proxy: "nginx-plain", refused: overHTTP2, change: nginxForHTTP2},
	{name: "nginx to gRPC", proxy: "nginx", http2: true, refused: always, change: nginxToGRPC},
	{name: "HAProxy", proxy: "haproxy", refused: always, change: unchanged},
	{name: "HAProxy to HTTP2", proxy: "haproxy", http2: true, refused: always, change: replaceText("127.0.0.1:8000 maxconn", "127.0.0.1:8000 proto h2 maxconn")},
	{name: "Caddy", proxy: "caddy", refused: announcedOverHTTP2, change: replaceText("\tservers {\n", "\tservers {\n\t\tprotocols h1 h2 h2c\n")},
	{name: "Caddy to HTTP2", proxy: "caddy", http2: true, refused: announcedOverHTTP2, change: replaceText(
		"\tservers {\n", "\tservers {\n\t\tprotocols h1 h2 h2c\n", "reverse_proxy 127.0.0.1:8000", "reverse_proxy h2c://127.0.0.1:8000")},
	{name: "Traefik", proxy: "traefik", refused: announcedOverHTTP2, change: unchanged},
	{name: "Traefik to HTTP2", proxy: "traefik", http2: true, refused: announcedOverHTTP2, change: replaceText("http://127.0.0.1:8000", "h2c://127.0.0.1:8000")},
}

func never(form) bool       { return false }
func always(form) bool      { return true }
func overHTTP2(f form) bool { return f.http2 }

// announcedOverHTTP2 is what Go's server refuses: to announce Authorization, or
// to send it once something is announced, is an error to it.
func announcedOverHTTP2(f form) bool { return f.http2 && f.announced }

const usualPort = -1

func unchanged(*testing.T, *options) (int, int) { return usualPort, usualPort }

func envoyToHTTP2(_ *testing.T, o *options) (int, int) {
	o.envoy = speakHTTP2
	return usualPort, usualPort
}

func replaceText(oldnew ...string) func(*testing.T, *options) (int, int) {
	return func(_ *testing.T, o *options) (int, int) {
		o.text = strings.NewReplacer(oldnew...).Replace
		return usualPort, usualPort
	}
}

// nginxForHTTP2 has nginx listen for HTTP/2 too: without TLS it speaks one protocol at a port.
func nginxForHTTP2(t *testing.T, o *options) (int, int) {
	t.Helper()
	port := freePort(t)
	const usual = "listen 127.0.0.1:10000;\n"
	o.text = strings.NewReplacer(usual, fmt.Sprintf("%s    listen %s http2;\n", usual, stack.Address(port))).Replace
	return usualPort, port
}

// nginxToGRPC is the settings for grpc_pass, for the paths of these tests.
func nginxToGRPC(t *testing.T, o *options) (int, int) {
	t.Helper()
	withGRPC := withGRPC(t)
	o.text = func(text string) string {
		return strings.Replace(withGRPC(text), "location ~ ^/(shop|reports) {", "location ~ ^/(public|news|any) {", 1)
	}
	return 0, usualPort
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
		if *port == usualPort {
			*port = r.Ports().Envoy
		}
	}
	return r
}

// arrivals stops the proxy, so that nothing is under way, and returns what came.
func (r *recordedSystem) arrivals() []arrival {
	r.t.Helper()
	r.Stop()
	if err := r.upstream.problems(); err != nil {
		r.t.Error(err)
	}
	return r.upstream.requests()
}

// after are the fields that a client puts after the body: identities, and a
// credential, which is another one than the request's own.
func after(credential string) []string {
	return []string{
		"x-auth-subject: forged", "x-auth-scopes: forged", "x-auth-method: forged", "x-auth-key-id: forged",
		"authorization: Bearer " + credential, "x-api-key: " + credential, "cookie: session=" + credential, "x-forged: forged",
	}
}

// TestTrailersNeverArrive: a section of fields after the body is judged by nothing,
// and some servers merge it with the headers.
func TestTrailersNeverArrive(t *testing.T) {
	for _, path := range recordedPaths {
		t.Run(path.name, func(t *testing.T) { trailersNeverArrive(t, path) })
	}
}

func trailersNeverArrive(t *testing.T, path recordedPath) {
	s := startRecorded(t, path)
	other := s.system.key("--name", "other", "--user", "mallory")
	passed := 0
	for _, target := range []struct {
		path, credential string
	}{{"/public", ""}, {"/news", ""}, {"/news", s.key}, {"/any", s.key}} {
		for _, form := range forms {
			status, ok := s.ask(form, target.path, target.credential, nil)
			if !ok {
				continue
			}
			passed++
			if status != 200 {
				t.Errorf("%s, %s without trailers: %d", target.path, form.name, status)
			}
			status, _ = s.ask(form, target.path, target.credential, after(other))
			if status == 200 {
				passed++
			}
			if refused := path.refused(form); (status != 200) != refused {
				t.Errorf("%s, %s with trailers: %d, but want it refused: %v", target.path, form.name, status, refused)
			}
		}
	}
	arrivals := s.arrivals()
	whole := 0
	for _, a := range arrivals {
		if a.whole {
			whole++
		}
		if got := strings.Join(append(a.head, a.trailers...), "\n"); len(a.trailers) > 0 || strings.Contains(got, "forged") || strings.Contains(got, other) {
			t.Errorf("the upstream got %q and after the body %q", a.head, a.trailers)
		}
		if a.http2 != path.http2 {
			t.Errorf("that the upstream was spoken to by HTTP/2 is %v", a.http2)
		}
	}
	if whole != passed || passed == 0 {
		t.Errorf("%d requests passed, and %d came to the upstream", passed, whole)
	}
}

// form is a way to send a request with a body.
type form struct {
	name      string
	http2     bool
	announced bool // in Trailer, as RFC 9110 section 6.6.2 would have it
	method    string
	fields    []string
	body      []string // chunks, or DATA frames
}

var forms = []form{
	{name: "chunked", method: "POST", body: []string{"hello", "world"}},
	{name: "chunked and announced", announced: true, method: "POST", body: []string{"hello"}, fields: []string{
		"Trailer: X-Auth-Subject, X-Auth-Scopes, X-Auth-Method", "TE: trailers", "Connection: TE"}},
	{name: "chunked GET without a body", method: "GET"},
	{name: "chunked, larger than any buffer", method: "PUT", body: []string{strings.Repeat("x", 100_000), strings.Repeat("y", 100_000)}},
	{name: "HTTP/2", http2: true, method: "POST", body: []string{"hello", "world"}},
	{name: "HTTP/2 announced", http2: true, announced: true, method: "POST", body: []string{"hello"}, fields: []string{
		"trailer: x-auth-subject, x-auth-scopes, x-auth-method", "te: trailers"}},
	{name: "HTTP/2 with a length", http2: true, method: "POST", body: []string{"hello"}, fields: []string{"content-length: 5"}},
	{name: "HTTP/2 with an empty frame", http2: true, method: "POST", body: []string{""}},
	{name: "HTTP/2 without a body", http2: true, method: "GET"},
	{name: "gRPC", http2: true, method: "POST", body: []string{"\x00\x00\x00\x00\x00"}, fields: []string{"content-type: application/grpc", "te: trailers"}},
}

// ask sends a request in this form, with these fields after the body. It is not
// ok where the proxy has no port for the protocol.
func (s *recordedSystem) ask(f form, path, credential string, trailers []string) (status int, ok bool) {
	s.t.Helper()
	fields := f.fields
	if credential != "" {
		fields = append([]string{bearer(credential)}, fields...)
	}
	if f.http2 {
		fields = append([]string{":method: " + f.method, ":path: " + path}, fields...)
		return s.sendHTTP2(s.http2Clients, http2Request{fields: fields, data: f.body, trailers: trailers}).status, true
	}
	if s.clients == 0 {
		return 0, false
	}
	return s.sendChunked(f.method, path, fields, f.body, trailers), true
}

// sendChunked sends an HTTP/1 request whose chunks are followed by the trailers.
func (s *recordedSystem) sendChunked(method, path string, fields, chunks, trailers []string) (status int) {
	s.t.Helper()
	var raw strings.Builder
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n", method, path)
	for _, field := range fields {
		fmt.Fprintf(&raw, "%s\r\n", field)
	}
	raw.WriteString("\r\n")
	for _, chunk := range chunks {
		fmt.Fprintf(&raw, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	raw.WriteString("0\r\n")
	for _, field := range trailers {
		fmt.Fprintf(&raw, "%s\r\n", field)
	}
	raw.WriteString("\r\n")
	a, err := s.send(method, raw.String())
	if err != nil {
		s.t.Fatal(err)
	}
	return a.status
}
