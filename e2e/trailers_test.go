package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// after returns the fields that a client sends after the body: identities, and
// a credential other than the request's own.
func after(credential string) []string {
	return []string{
		"x-auth-subject: " + forged, "x-auth-scopes: " + forged, "x-auth-method: " + forged, "x-auth-key-id: " + forged,
		"authorization: Bearer " + credential, "x-api-key: " + credential, "cookie: session=" + credential, "x-anything: " + forged,
	}
}

// TestTrailersNeverArrive: fields after the body are not checked by anything,
// and some servers merge them with the headers, so no proxy may forward them.
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
				t.Errorf("%s, %s with trailers: %d, want it refused: %v", target.path, form.name, status, refused)
			}
		}
	}
	arrivals := s.arrivals()
	complete := 0
	for _, a := range arrivals {
		if a.complete {
			complete++
		}
		if got := strings.Join(append(a.head, a.trailers...), "\n"); len(a.trailers) > 0 || strings.Contains(got, forged) || strings.Contains(got, other) {
			t.Errorf("the upstream got %q and after the body %q", a.head, a.trailers)
		}
		if a.http2 != path.http2 {
			t.Errorf("HTTP/2 to the upstream: %v", a.http2)
		}
	}
	// More requests may arrive than are allowed: HAProxy ends the stream of a
	// request that it refuses while the body is in transit, and over HTTP/2
	// that looks like the end of the request.
	if complete < passed || passed == 0 {
		t.Errorf("%d requests were allowed, %d reached the upstream", passed, complete)
	}
}

// form is a way to send a request with a body.
type form struct {
	name      string
	http2     bool
	announced bool // in Trailer, as RFC 9110 section 6.6.2 recommends
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

func never(form) bool       { return false }
func always(form) bool      { return true }
func overHTTP2(f form) bool { return f.http2 }

// announcedOverHTTP2 matches what Go's HTTP/2 server refuses: Authorization or
// Cookie among the trailers of a request that announces any.
func announcedOverHTTP2(f form) bool { return f.http2 && f.announced }

// ask sends a request in this form, with these fields after the body. ok is
// false if the proxy has no port for the protocol.
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

// sendChunked sends an HTTP/1 request with the trailers after its chunks.
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
