package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"keyward/e2e/stack"
)

// enableConnect is SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3).
const enableConnect http2.SettingID = 8

// extendedConnect is a stream that a client opened with an extended CONNECT
// (RFC 8441 section 4). It reads and writes the data of the stream.
type extendedConnect struct {
	framer  *http2.Framer
	offered bool // the server says that it supports it
	data    []byte
}

// connectHTTP2 sends an extended CONNECT with the fields and waits for the
// response. The stream is nil if the status is not 200.
func (s *system) connectHTTP2(port int, fields ...string) (a answer, c *extendedConnect) {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(port))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	defer func() {
		if c == nil {
			conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil) // writes to memory, without errors
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: newFieldEncoder().encode(withPseudoFields(append([]string{":method: CONNECT"}, fields...))), EndHeaders: true,
	})
	if _, err := conn.Write(append([]byte(http2.ClientPreface), out.Bytes()...)); err != nil {
		s.t.Fatal(err)
	}
	stream := &extendedConnect{framer: http2.NewFramer(conn, conn)}
	stream.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return stream.response()
}

// response reads frames up to the head of the response.
func (c *extendedConnect) response() (answer, *extendedConnect) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return answer{}, nil
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if value, ok := f.Value(enableConnect); ok && value == 1 {
				c.offered = true
			}
		case *http2.MetaHeadersFrame:
			status := f.PseudoValue("status")
			a := answer{body: status}
			_, _ = fmt.Sscan(status, &a.status)
			if a.status != 200 {
				return a, nil
			}
			return a, c
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return answer{}, nil
		}
	}
}

// Write sends data on the stream.
func (c *extendedConnect) Write(data []byte) (int, error) {
	return len(data), c.framer.WriteData(1, false, data)
}

// Read reads data of the stream.
func (c *extendedConnect) Read(into []byte) (int, error) {
	for len(c.data) == 0 {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch f := frame.(type) {
		case *http2.DataFrame:
			c.data = bytes.Clone(f.Data())
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0, io.EOF
		}
	}
	n := copy(into, c.data)
	c.data = c.data[n:]
	return n, nil
}

// http2Edges make the proxies accept HTTP/2 in plaintext. Envoy and Traefik do
// so without a change.
var http2Edges = map[string]func(*testing.T, *options) (clients, http2Clients int){
	"": unchanged, "envoy-http": unchanged, "envoy-issuer": unchanged, "traefik": unchanged,
	"envoy-module": unchanged, "envoy-module-alone": unchanged,
	"nginx": nginxForHTTP2, "nginx-plain": nginxForHTTP2, "nginx-issuer": nginxForHTTP2,
	"haproxy": haproxyForHTTP2,
	"caddy":   replaceText(caddyHTTP2...),
}

func haproxyForHTTP2(t *testing.T, o *options) (int, int) {
	t.Helper()
	port := freePort(t)
	const usual = "    bind 127.0.0.1:10000\n"
	replaceText(usual, fmt.Sprintf("%s    bind %s proto h2\n", usual, stack.Address(port)))(t, o)
	return defaultPort, port
}

// TestWebsocketsOverHTTP2: HAProxy alone accepts a websocket in a stream of
// HTTP/2, and checks it like one over HTTP/1.1. Browsers see that the others do
// not offer it, and open a connection of HTTP/1.1. No other protocol reaches the
// upstream, nor do the data of a stream that was refused.
func TestWebsocketsOverHTTP2(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		o := options{proxy: proxy, config: strings.Replace(routesConfig, "routes:\n", "routes:\n- {name: read, path: /read, methods: [GET]}\n", 1)}
		_, port := http2Edges[proxy](t, &o)
		s := startWebsockets(t, o)
		if port == defaultPort {
			port = s.Ports().Envoy
		}
		if proxy == "haproxy" {
			s.opensOverHTTP2(port)
		}
		s.refusesOverHTTP2(port, proxy == "haproxy")
	})
}

// opensOverHTTP2 opens a websocket on a path that allows GET only: that is the
// method which the upstream gets, so it must be the one that was checked.
func (s *websocketSystem) opensOverHTTP2(port int) {
	s.t.Helper()
	before := s.decisions()
	a, ws := s.connectHTTP2(port, ":protocol: websocket", "sec-websocket-version: 13", "sec-websocket-protocol: chat", ":path: /read", bearer(s.key), "x-auth-subject: "+forged)
	if ws == nil || !ws.offered {
		s.t.Fatalf("a websocket: %d", a.status)
	}
	if err := writeFrame(ws, "hello", true); err != nil {
		s.t.Error(err)
	}
	if text, err := readFrame(ws); err != nil || text != "hello" {
		s.t.Errorf("sent hello, received %q, %v", text, err)
	}
	if n := s.decisions() - before; n != 1 {
		s.t.Errorf("%v decisions, want one", n)
	}
	got := s.last()
	if text := strings.Join(got.head, "\n"); got.head[0] != "GET /read HTTP/1.1" || header(got.head, "x-auth-subject") != "alice" || header(got.head, "sec-websocket-protocol") != "chat" ||
		strings.Contains(text, s.key) || strings.Contains(text, forged) {
		s.t.Errorf("the upstream got %q", got.head)
	}
}

// refusesOverHTTP2 sends data behind requests that open no websocket, which an
// upstream would take for a request. supported says that the proxy accepts
// websockets in HTTP/2.
func (s *websocketSystem) refusesOverHTTP2(port int, supported bool) {
	s.t.Helper()
	socket := []string{":protocol: websocket", "sec-websocket-version: 13"}
	all := [][]string{
		append(socket[:2:2], ":path: /plain", bearer(s.key)), // the upstream answers 200
		{":protocol: h2c", ":path: /socket", bearer(s.key)},
		{":path: /socket", bearer(s.key)}, // CONNECT
	}
	if supported {
		all = append(all,
			[]string{socket[0], "sec-websocket-version: 12", ":path: /socket", bearer(s.key)},
			append(socket[:2:2], ":path: /plain"),
			append(socket[:2:2], ":path: /closed", bearer(s.key)),
			append(socket[:2:2], ":path: /v1/auth/verify", bearer(s.key)),
			[]string{":protocol: connect-udp", ":path: /socket", bearer(s.key)},
			[]string{":protocol: websocket, h2c", ":path: /socket", bearer(s.key)},
		)
	}
	for _, fields := range all {
		a, stream := s.connectHTTP2(port, fields...)
		if !supported && (a.status == 200 || stream != nil) {
			s.t.Errorf("%q: %d", fields, a.status)
		}
		if stream != nil {
			_, _ = stream.Write([]byte(rawRequest("GET", hidden))) // the stream may be closed by now
		}
	}
	if a := s.sendHTTP2(port, http2Request{fields: []string{":path: /any", bearer(s.key)}}); a.status != 200 {
		s.t.Errorf("a request after the others: %d", a.status)
	}
	s.Stop()
	for _, a := range s.arrivals() {
		wantNoOtherUpgrade(s.t, []string{"CONNECT"}, a.head)
		if !supported && a.target() != "/any" || a.target() == hidden || !strings.HasPrefix(a.head[0], "GET ") {
			s.t.Errorf("the upstream got %q", a.head)
		}
	}
}
