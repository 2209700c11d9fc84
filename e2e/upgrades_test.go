package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// otherUpgrades are requests for another protocol than websocket, or for
// several. After an upgrade to h2c the upstream would get requests that nothing
// has checked.
var otherUpgrades = [][]string{
	{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}, // RFC 7540 section 3.2
	{"Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
	{"Connection: Upgrade", "Upgrade: h2c"},
	{"Connection: Upgrade", "Upgrade: H2C"},
	{"Connection: Upgrade", "Upgrade: HTTP/2.0"},
	{"Connection: Upgrade", "Upgrade: TLS/1.0"}, // RFC 2817
	{"Connection: Upgrade", "Upgrade: connect-udp"},
	{"Connection: Upgrade", "Upgrade: websocketx"},
	{"Connection: Upgrade", "Upgrade: websocket/13"},
	{"Connection: Upgrade", "Upgrade: h2c, websocket"},
	{"Connection: Upgrade", "Upgrade: websocket, h2c"},
	{"Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"},
	{"Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"},
	{"Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
	{"Upgrade: h2c"},
	{"Upgrade: websocket"},
	{"Connection: keep-alive", "Connection: Upgrade", "Upgrade: h2c"},
}

// TestOnlyWebsocketsUpgrade: no proxy asks the upstream for another protocol
// than websocket, whatever the client asks for and with whatever credential.
func TestOnlyWebsocketsUpgrade(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy})
		for _, target := range []string{"/any", "/public", "/news", "/v1/auth/verify"} {
			for _, lines := range otherUpgrades {
				for _, more := range [][]string{{bearer(s.key)}, append(websocketLines[2:len(websocketLines):len(websocketLines)], bearer(s.key))} {
					arrived := len(s.arrivals())
					conn, in := s.dialed(rawRequest("GET", target, append(slices.Clone(lines), more...)...))
					response, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Errorf("%s %q: %v", target, lines, err)
					} else if !slices.Contains([]int{101, 200, 400, 403, 404, 426}, response.StatusCode) {
						t.Errorf("%s %q: %d", target, lines, response.StatusCode)
					}
					conn.Close()
					for _, a := range s.arrivals()[arrived:] {
						wantNoOtherUpgrade(t, lines, a.head)
					}
				}
			}
		}
	})
}

// wantNoOtherUpgrade wants at most an upgrade to websocket in the header lines
// of a request that reached the upstream.
func wantNoOtherUpgrade(t *testing.T, sent, head []string) {
	t.Helper()
	upgrades := 0
	for _, line := range head {
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(name, "upgrade") {
			continue
		}
		if upgrades++; !strings.EqualFold(strings.TrimSpace(value), "websocket") || upgrades > 1 {
			t.Errorf("%q: the upstream got %q", sent, line)
		}
	}
}

// hidden is a request that a client sends behind a handshake. Nothing may take
// it for a part of the handshake.
const hidden = "/hidden"

// TestRefusedUpgradeIsNoTunnel: when a handshake fails, what the client sends
// after it is a request of its own, which is checked, or is not read. Some
// proxies took it for websocket frames, and the upstream for a request that
// nothing had checked.
func TestRefusedUpgradeIsNoTunnel(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy})
		oldVersion := append([]string{"Sec-WebSocket-Version: 12", bearer(s.key)}, websocketLines[0], websocketLines[1], websocketLines[3])
		valid := append([]string{bearer(s.key)}, websocketLines...)
		for _, c := range []struct {
			what, handshake string
			status          int
		}{
			{"the upstream answers 426", rawRequest("GET", "/socket", oldVersion...), 426},
			{"the upstream answers 200", rawRequest("GET", "/plain", valid...), 200},
			{"the upstream answers 426 on a public path", rawRequest("GET", "/public", append(oldVersion[:1:1], oldVersion[2:]...)...), 426},
			{"Keyward denies", rawRequest("GET", "/socket", websocketLines...), 401},
			{"Keyward answers itself", rawRequest("GET", "/v1/auth/verify", valid...), 200},
			{"a POST", rawRequest("POST", "/plain", append([]string{"Content-Length: 0"}, valid...)...), 200},
		} {
			if proxy == "nginx-plain" && strings.Contains(c.handshake, "/v1/auth/verify") {
				continue // it is a path of the API there
			}
			for _, late := range []bool{false, true} {
				s.sendsBehind(c.what, c.handshake, c.status, late)
			}
		}
		s.Stop()
		for _, a := range s.arrivals() {
			if strings.HasPrefix(a.target(), hidden) {
				t.Errorf("the upstream got %q", a.head)
			}
			if a.target() == "/checked" && (header(a.head, "x-auth-subject") != "alice" || header(a.head, "authorization") != "") {
				t.Errorf("the upstream got %q", a.head)
			}
		}
	})
}

// sendsBehind sends a handshake that fails, and behind it requests without and
// with a credential. late sends those when the response to the handshake has
// arrived.
func (s *websocketSystem) sendsBehind(what, handshake string, status int, late bool) {
	s.t.Helper()
	what = fmt.Sprintf("%s, late: %v", what, late)
	behind := rawRequest("GET", hidden, "X-Auth-Subject: "+forged) + rawRequest("GET", "/checked", bearer(s.key), "X-Auth-Subject: "+forged) +
		// What nginx and the others send to Keyward.
		rawRequest("GET", "/authz/forward", bearer(s.key), "X-Forwarded-Method: GET", "X-Forwarded-Uri: /any", "X-Forwarded-Host: a", "X-Original-Method: GET", "X-Original-URI: /any")
	first := handshake
	if !late {
		first += behind
	}
	conn, in := s.dialed(first)
	defer conn.Close()
	if _, got := s.nextResponse(in); got != status {
		// Envoy has no upgrade on the routes to Keyward.
		if got != 403 || !strings.Contains(handshake, "/v1/auth/verify") {
			s.t.Errorf("%s: the handshake got %d, want %d", what, got, status)
		}
	}
	if late {
		_ = write(conn, behind) // the proxy may have closed the connection
	}
	_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	for _, want := range []int{401, 200, 200} {
		h, got := s.nextResponse(in)
		if got == 0 {
			break // the proxy closed the connection, or does not read it
		}
		if got != want || h.Get("X-Keyward-Uri") != "" {
			s.t.Errorf("%s: a request behind the handshake got %d %v, want %d", what, got, h, want)
		}
	}
}

// nextResponse reads a response. The status is 0 if there is none.
func (s *system) nextResponse(in *bufio.Reader) (http.Header, int) {
	s.t.Helper()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, 0
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		s.t.Errorf("the body of a response: %v", err)
	}
	return response.Header, response.StatusCode
}
