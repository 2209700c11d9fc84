package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// cannotCutQuery are the proxies that cannot remove a credential from the
// query.
var cannotCutQuery = []string{"envoy-http", "caddy", "traefik"}

// TestWebsockets: a websocket opens after one check, as any other request is
// checked, and both sides can send.
func TestWebsockets(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy, config: strings.Replace(routesConfig, "query:", "websocket_protocol: openai-insecure-api-key., query:", 1)})
		for _, c := range []struct {
			target  string
			lines   []string
			refused bool
		}{
			{"/socket?room=1", []string{bearer(s.key)}, false},
			{"/socket?room=1", []string{"X-API-Key: " + s.key}, false},
			{"/socket?room=1", []string{"Cookie: session=" + s.key}, false},
			{"/socket?room=1", []string{"Sec-WebSocket-Protocol: openai-insecure-api-key." + s.key}, false},
			{"/socket?room=1&api_key=" + s.key, nil, slices.Contains(cannotCutQuery, proxy)},
		} {
			s.opensWebsocket(c.target, c.lines, c.refused)
		}
	})
}

// opensWebsocket opens a websocket with the credential in the target or the
// lines.
func (s *websocketSystem) opensWebsocket(target string, lines []string, refused bool) {
	s.t.Helper()
	lines = append(lines, "X-Auth-Subject: "+forged, "X-Original-URL: /"+forged, "Sec-WebSocket-Protocol: chat, superchat")
	if refused {
		s.refuses(target, lines, "unsupported_credential")
		return
	}
	before := s.decisions()
	forwarded, _, _ := strings.Cut(target, "&api_key")
	a, ws := s.opens(target, forwarded, lines, map[string][]string{
		"x-auth-subject": {"alice"}, "x-auth-method": {"api_key"}, "x-original-url": nil,
		"upgrade": {"websocket"}, "sec-websocket-protocol": {"chat", "superchat"}, "sec-websocket-version": {"13"}, "origin": {"https://app.example.com"},
	})
	if ws == nil {
		return
	}
	if accept, chosen := a.header.Get("Sec-WebSocket-Accept"), a.header.Get("Sec-WebSocket-Protocol"); accept != websocketAccept(websocketKey) || chosen != "chat" {
		s.t.Errorf("%q %s: accepted with %q, subprotocol %q", lines, target, accept, chosen)
	}
	for _, text := range []string{"again", strings.Repeat("x", 125)} {
		if err := ws.echo(text); err != nil {
			s.t.Errorf("%q %s: %v", lines, target, err)
		}
	}
	if n := s.decisions() - before; n != 1 {
		s.t.Errorf("%q %s: %v decisions, want one", lines, target, n)
	}
	got := s.last()
	if text := strings.Join(got.head, "\n"); strings.Contains(text, s.key) || strings.Contains(text, forged) || !got.wantsUpgrade() {
		s.t.Errorf("%s: the upstream got %q", target, got.head)
	}
}

// decisions returns how many decisions Keyward has made, within Envoy too.
func (s *system) decisions() (n float64) {
	s.t.Helper()
	n = s.decisionsAt(s.Ports().Admin)
	if s.moduleAdmin != 0 {
		n += s.decisionsAt(s.moduleAdmin)
	}
	return n
}

// decisionsAt returns how many the process has made that has the admin listener.
func (s *system) decisionsAt(port int) (n float64) {
	s.t.Helper()
	for line := range strings.Lines(string(metricsAt(s.t, port))) {
		if strings.HasPrefix(line, "keyward_decisions_total{") {
			_, value, _ := strings.Cut(line, "} ")
			count, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			n += count
		}
	}
	return n
}

// TestRefusedWebsockets: a handshake that is denied gets the denial of any
// other request, and does not reach the upstream.
func TestRefusedWebsockets(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy})
		for _, c := range []struct {
			target, line, reason string
			status               int
		}{
			{"/socket", "Origin: https://app.example.com", "no_credential", 401},
			{"/socket", bearer("kw_junk"), "invalid_token", 401},
			{"/socket", bearer(s.key) + "\r\nX-API-Key: " + s.key, "ambiguous_credential", 401},
			{"/closed", bearer(s.key), "route_denied", 403},
			{"/reports", bearer(s.key), "insufficient_scope", 403},
		} {
			a, _ := s.handshake(c.target, c.line)
			if proxy == "nginx-plain" {
				c.reason = "" // it says nothing
			}
			if a.status != c.status || a.reason() != c.reason || a.body == "" {
				t.Errorf("%s %s: %d %s, want %d %s", c.target, c.line, a.status, a.body, c.status, c.reason)
			}
		}
		if all := s.arrivals(); len(all) > 0 {
			t.Errorf("%d handshakes reached the upstream", len(all))
		}
	})
}

// TestWebsocketOutlivesItsKey shows what docs/proxies.md says: a websocket was
// checked when it opened, and stays open when its key is revoked.
func TestWebsocketOutlivesItsKey(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy})
		a, ws := s.handshake("/socket", bearer(s.key))
		if ws == nil {
			t.Fatalf("%d %s", a.status, a.body)
		}
		s.keyward("key", "revoke", "--file", "keys.jsonl", s.idOf(s.key))
		s.until("refused", func() (answer, bool) { a, _ := s.handshake("/socket", bearer(s.key)); return a, a.status == 401 })
		if err := ws.echo("still here"); err != nil {
			t.Error(err)
		}
	})
}

// TestSubprotocolsInSeveralLines: the elements of Sec-WebSocket-Protocol may be
// in several lines (RFC 6455 section 11.3.4). All reach the upstream.
func TestSubprotocolsInSeveralLines(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startWebsockets(t, options{proxy: proxy})
		for path, line := range map[string]string{"/socket": bearer(s.key), "/public": "A: b", "/news": "A: b"} {
			a, ws := s.handshake(path, line, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat, other")
			if ws == nil {
				t.Errorf("%s: %d %s", path, a.status, a.body)
				continue
			}
			if got := values(s.last().head, "sec-websocket-protocol"); !slices.Equal(got, []string{"chat", "superchat", "other"}) {
				t.Errorf("%s: the upstream got %q", path, got)
			}
		}
	})
}
