package e2e

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// websocketSystem is a system whose upstream speaks websocket and records each
// request.
type websocketSystem struct {
	*system
	upstream *recorder
	key      string // of alice
}

// startWebsockets starts a system with an upstream that accepts websockets and
// echoes their frames.
func startWebsockets(t *testing.T, o options) *websocketSystem {
	t.Helper()
	w := &websocketSystem{upstream: &recorder{respond: respondWebsocket}}
	o.upstream = w.upstream.start
	if o.config == "" {
		o.config = routesConfig
	}
	w.system = newSystem(t, o)
	w.key = w.system.key("--name", "k", "--user", "alice")
	w.start()
	return w
}

// arrivals returns the requests that reached the upstream so far.
func (w *websocketSystem) arrivals() []arrival {
	w.t.Helper()
	if err := w.upstream.problems(); err != nil {
		w.t.Error(err)
	}
	return w.upstream.requests()
}

// last returns the last request that reached the upstream.
func (w *websocketSystem) last() arrival {
	w.t.Helper()
	all := w.arrivals()
	if len(all) == 0 {
		w.t.Fatal("no request reached the upstream")
	}
	return all[len(all)-1]
}

// respondWebsocket accepts a handshake and echoes frames until the client
// closes the connection. It accepts every subprotocol: the first that the
// client names. A path that begins with /plain has no websocket.
func respondWebsocket(r arrival, in *bufio.Reader, out io.Writer) (keepOpen bool) {
	if !strings.EqualFold(header(r.head, "upgrade"), "websocket") || !r.wantsUpgrade() || strings.HasPrefix(r.target(), "/plain") {
		return respondOK(r, in, out)
	}
	if header(r.head, "sec-websocket-version") != "13" {
		return write(out, "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n") == nil
	}
	err := acceptWebsocket(r, out)
	for err == nil {
		var text string
		if text, err = readFrame(in); err == nil {
			err = writeFrame(out, text, false)
		}
	}
	return false
}

// acceptWebsocket answers a handshake.
func acceptWebsocket(r arrival, out io.Writer) error {
	subprotocol := ""
	if names := values(r.head, "sec-websocket-protocol"); len(names) > 0 {
		subprotocol = "Sec-WebSocket-Protocol: " + names[0] + "\r\n"
	}
	return write(out, fmt.Sprintf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		websocketAccept(header(r.head, "sec-websocket-key")), subprotocol))
}

// wantsUpgrade reports whether Connection names Upgrade.
func (r *arrival) wantsUpgrade() bool {
	return slices.ContainsFunc(values(r.head, "connection"), func(option string) bool { return strings.EqualFold(option, "upgrade") })
}

// target returns the target of the request line.
func (r *arrival) target() string {
	fields := strings.Fields(r.head[0])
	if len(fields) != 3 {
		return ""
	}
	return fields[1]
}

// values returns the elements of all lines of that name, whose value is a list
// (RFC 9110 section 5.6.1).
func values(head []string, name string) (all []string) {
	for _, line := range head {
		if n, list, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			for element := range strings.SplitSeq(list, ",") {
				all = append(all, strings.TrimSpace(element))
			}
		}
	}
	return slices.DeleteFunc(all, func(element string) bool { return element == "" })
}
