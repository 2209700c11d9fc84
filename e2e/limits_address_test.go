package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// oneClients are clients that appear under varying addresses, by number, and
// the name of the last of twelve.
var oneClients = map[string]struct {
	shows  func(n int) string
	called string
}{
	"one /64":        {func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) }, "2001:db8:1:2:12::1"},
	"changing ports": {func(n int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+n) }, "198.51.100.7"},
	"five spellings": {func(n int) string {
		return []string{"2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8::1]:443", "2001:db8::1%eth0"}[n%5]
	}, "2001:db8::1"},
}

// TestOneClientBehindABalancer: one IPv6 /64, one IPv4 address with varying
// ports and one address in five spellings, as a balancer in front writes them,
// are each one client for every limit, and have one name in the log and in
// usage. Clients whose address cannot be read do not share one.
func TestOneClientBehindABalancer(t *testing.T) {
	throughProxies(t, oneClientBehindABalancer, "envoy-http")
}

func oneClientBehindABalancer(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: `
client_address: {trusted_hops: 2}
rate_limits: {failed: 4/h, anonymous: 4/h}
routes: [{name: public, path: /public, auth: none}]
log: {decisions: all}
`})
	key := s.key("--name", "k")
	s.start()
	for kind, client := range oneClients {
		n := 0
		asks := func(times, want int, target string, lines ...string) {
			t.Helper()
			for range times {
				if a := s.get(target, append(lines, "X-Forwarded-For: 203.0.113.1, "+client.shows(n))...); a.status != want {
					t.Errorf("%s: %s of %s: %d, want %d", kind, target, client.shows(n), a.status, want)
				}
				n++
			}
		}
		asks(4, 200, "/public")
		asks(2, 429, "/public")
		asks(4, 401, "/any", bearer("kw_junk"))
		asks(2, 429, "/any", bearer(key))
		if a := s.get("/any", bearer(key), "X-Forwarded-For: 203.0.113.1, 198.51.100.99:1"); a.status != 200 {
			t.Errorf("%s: another client: %d", kind, a.status)
		}
		if text := s.decisionLog(); !strings.Contains(text, `"client":"`+client.called+`"`) {
			t.Errorf("%s: the log does not name %s", kind, client.called)
		}
	}
	for line := range strings.Lines(s.decisionLog()) {
		var said struct{ Client string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Client != "" && netip.MustParseAddr(said.Client).String() != said.Client {
			t.Errorf("not a canonical address: %s", line)
		}
	}
	if status, text := adminAt(t, http.MethodGet, cmp.Or(s.moduleAdmin, s.Ports().Admin), "/usage/"+s.idOf(key)); status != 200 || !strings.Contains(text, `"last_address":"198.51.100.99"`) {
		t.Errorf("usage: %d %s", status, text)
	}
	for range 6 {
		if a := s.get("/any", bearer("kw_junk"), "X-Forwarded-For: unknown"); a.status != 401 {
			t.Errorf("a guess of an unknown client: %d", a.status)
		}
	}
	for _, other := range []string{"unknown", "198.51.100.99"} {
		if a := s.get("/any", bearer(key), "X-Forwarded-For: "+other); a.status != 200 {
			t.Errorf("%s after that: %d", other, a.status)
		}
	}
}
