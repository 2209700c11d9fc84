package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyward/store"
)

// oneClient is a client that shows itself in many ways, by number, and what it is then called.
type oneClient struct {
	shows, called func(n int) string
}

var fiveSpellings = []string{"2001:db8::1", "2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8::1]:443", "2001:db8::1%eth0"}

var oneClients = map[string]oneClient{
	"one /64": {
		func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) },
		func(n int) string { return fmt.Sprintf("2001:db8:1:2:%d::1", n+1) },
	},
	"changing ports": {
		func(n int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+n) },
		func(int) string { return "198.51.100.7" },
	},
	"five spellings": {
		func(n int) string { return fiveSpellings[n%len(fiveSpellings)] },
		func(int) string { return "2001:db8::1" },
	},
}

const oneClientConfig = `
listen: {grpc: "unix://DIR/grpc.sock", http: "unix://DIR/http.sock", admin: "unix://DIR/admin.sock"}
keys: {file: DIR/keys.jsonl}
log: {level: debug, decisions: all}
rate_limits: {anonymous: 4/h, failed: 4/h}
routes: [{path: /public, auth: none}, {path: /narrow, auth: none, rate: 2/h}]
`

// asking is one way for a client's request to be asked about.
type asking struct {
	hops int
	ask  func(r *running, client, target, key string) int
}

var askings = map[string]asking{
	"a peer of Envoy's": {0, func(r *running, client, target, key string) int {
		status, _ := r.askFrom(client, target, key)
		return status
	}},
	"X-Forwarded-For through Envoy": {2, func(r *running, client, target, key string) int {
		status, _ := r.askFrom("10.0.0.1", target, key, "203.0.113.9, 203.0.113.10", client+",10.0.0.1")
		return status
	}},
	"over HTTP": {0, func(r *running, client, target, key string) int { return r.overHTTP(client, target, key) }},
}

// overHTTP asks as HAProxy does, which adds a line to what the client made up.
func (r *running) overHTTP(client, target, key string) int {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://keyward/authz/forward", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header = http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {target}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-For": {"203.0.113.9", client}}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	transport := &http.Transport{DialContext: dialUnix(r.path("http.sock"))}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestOneClientIsOne: one IPv6 /64, one IPv4 address whatever its port, and one
// address in any spelling are one client to each limit, and have one name in the log and the account.
func TestOneClientIsOne(t *testing.T) {
	for way, asking := range askings {
		for kind, client := range oneClients {
			t.Run(way+", "+kind, func(t *testing.T) {
				var key string
				r := start(t, oneClientConfig+fmt.Sprintf("client_address: {trusted_hops: %d}\n", asking.hops), func(r *running) { key = r.create(store.KeyParams{}) })
				r.becomes("/", key, 200)
				asked := 0
				use := func(n int, target, key string, want int) {
					t.Helper()
					for range n {
						if status := asking.ask(r, client.shows(asked), target, key); status != want {
							t.Fatalf("%s as %s: %d, want %d", target, client.shows(asked), status, want)
						}
						r.isCalled(client.called(asked))
						asked++
					}
				}
				use(2, "/narrow", "", 200) // which are two of the four as well
				use(2, "/narrow", "", 429)
				use(2, "/public", "", 200)
				use(3, "/public", "", 429)
				use(1, "/", key, 200)
				r.wasLast(r.ids()[0], client.called(asked-1))
				use(4, "/", "kw_nonsense", 401)
				use(3, "/", key, 429)
				for _, other := range []string{"198.51.100.8:1024", "2001:db8:1:3::1"} {
					if status := asking.ask(r, other, "/", key); status != 200 {
						t.Errorf("another client, %s: %d", other, status)
					}
				}
			})
		}
	}
}

// TestUnknownClientLocksOutNone: where a proxy writes what is not an address, one that fails is not all of them, and the proxy neither.
func TestUnknownClientLocksOutNone(t *testing.T) {
	for way, asking := range askings {
		t.Run(way, func(t *testing.T) {
			var key string
			r := start(t, oneClientConfig+fmt.Sprintf("client_address: {trusted_hops: %d}\n", asking.hops), func(r *running) { key = r.create(store.KeyParams{}) })
			r.becomes("/", key, 200)
			for range 20 {
				if status := asking.ask(r, "unknown", "/", "kw_nonsense"); status != 401 {
					t.Fatalf("a guess: %d", status)
				}
			}
			r.isCalled("")
			for range 4 {
				if status := asking.ask(r, "unknown", "/public", ""); status != 200 {
					t.Fatalf("anonymous: %d", status)
				}
			}
			if status := asking.ask(r, "hidden", "/public", ""); status != 429 {
				t.Errorf("anonymous, and one too many of those that nothing tells apart: %d", status)
			}
			for _, client := range []string{"unknown", "", "10.0.0.1", "198.51.100.8"} {
				if status := asking.ask(r, client, "/", key); status != 200 {
					t.Errorf("a good key of %q: %d", client, status)
				}
			}
		})
	}
}

// isCalled holds the log's last line about a decision to the client's name.
func (r *running) isCalled(name string) {
	r.t.Helper()
	var last struct{ Msg, Client string }
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"msg":"decision"`) {
			if err := json.Unmarshal([]byte(line), &last); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if last.Client != name {
		r.t.Errorf("the log calls the client %q, want %q", last.Client, name)
	}
}

// wasLast holds the account of a key to the address of its last use.
func (r *running) wasLast(id, address string) {
	r.t.Helper()
	if _, body := r.get("/usage/" + id); !strings.Contains(body, `"last_address":"`+address+`"`) {
		r.t.Errorf("the last use is not of %s: %s", address, body)
	}
}
