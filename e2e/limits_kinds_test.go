package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"keyward/e2e/stack"
)

// statuses sends n requests and returns their statuses.
func (s *system) statuses(n int, target string, lines ...string) (all []int) {
	s.t.Helper()
	for range n {
		all = append(all, s.get(target, lines...).status)
	}
	return all
}

// lets wants n requests to be allowed, and the next one to be over the limit.
func (s *system) lets(n int, what, target string, lines ...string) {
	s.t.Helper()
	for i, status := range s.statuses(n+1, target, lines...) {
		if want := map[bool]int{true: 200, false: 429}[i < n]; status != want {
			s.t.Errorf("%s: request %d to %s: %d, want %d", what, i+1, target, status, want)
		}
	}
}

// metric returns the value of a metric, with its labels as Prometheus writes
// them.
func (s *system) metric(name string) float64 {
	s.t.Helper()
	return metricAt(s.t, s.Ports().Admin, name)
}

func metricAt(t *testing.T, port int, name string) float64 {
	t.Helper()
	return metricsAt(t, port).value(t, name)
}

// metricsPage is a snapshot of all metrics.
type metricsPage string

func metricsAt(t *testing.T, port int) metricsPage {
	t.Helper()
	_, text := adminAt(t, http.MethodGet, port, "/metrics")
	return metricsPage(text)
}

func (p metricsPage) value(t *testing.T, name string) float64 {
	t.Helper()
	for line := range strings.Lines(string(p)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// adminAt sends a request to an admin listener.
func adminAt(t *testing.T, method string, port int, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+stack.Address(port)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

const limitsConfig = `
rate_limits: {api_key: 4/h, anonymous: 2/h}
routes:
- {name: search, path: /search, rate: 2/h}
- {name: public, path: /public, auth: none}
- {name: watched, path: /watched, auth: none, rate: {rate: 1/h, shadow: true}}
`

// TestWhoIsCountedForWhat is a table of which requests count under which limit.
func TestWhoIsCountedForWhat(t *testing.T) {
	s := newSystem(t, options{config: limitsConfig})
	plain, other, searcher := s.key("--name", "plain"), s.key("--name", "other"), s.key("--name", "searcher")
	small, large := s.key("--name", "small", "--rate", "1/d"), s.key("--name", "large", "--rate", "6/m")
	s.start()

	s.lets(4, "the kind's limit", "/any", bearer(plain))
	s.lets(0, "the same key elsewhere", "/search", bearer(plain))
	s.lets(4, "another key has a count of its own", "/any", bearer(other))
	s.lets(1, "a key's own rate in place of the kind's", "/any", bearer(small))
	s.lets(6, "a key's own rate in place of the kind's", "/any", bearer(large))

	// A route's limit applies in addition to the kind's, and a refused request
	// is charged to neither.
	s.lets(2, "a route's limit", "/search", bearer(searcher))
	overLimit(t, s.get("/search", bearer(searcher)), "route", "q=2;w=3600", 1800)
	s.lets(2, "the rest of the kind's", "/any", bearer(searcher))
	overLimit(t, s.get("/any", bearer(searcher)), "api_key", "q=4;w=3600", 900)
	overLimit(t, s.get("/any", bearer(small)), "key", "q=1;w=86400", 86400)

	s.lets(2, "an address without a credential", "/public")
	overLimit(t, s.get("/public"), "anonymous", "q=2;w=3600", 1800)

	if n := s.metric(`keyward_rate_limited_total{method="api_key"}`); n != 10 {
		t.Errorf("%v denials of keys are counted, want 10", n)
	}
	if n := s.metric(`keyward_rate_limited_total{method="anonymous"}`); n != 2 {
		t.Errorf("%v denials of anonymous requests are counted, want 2", n)
	}
	// The limits of four keys, of one key on a route, and of the address.
	if n := s.metric("keyward_rate_limit_buckets"); n != 5+1+1 {
		t.Errorf("%v buckets, want 7", n)
	}
	if up := s.metric("keyward_rate_limit_store_up"); up != 1 {
		t.Errorf("the memory store is up: %v, want 1", up)
	}
	if n := s.metric("keyward_rate_limit_local_decisions_total") + s.metric("keyward_rate_limit_evictions_total"); n != 0 {
		t.Errorf("%v local decisions and evictions, want 0", n)
	}
}

// TestShadowLimitDeniesNothing: a shadow limit only counts what it would have
// denied.
func TestShadowLimitDeniesNothing(t *testing.T) {
	s := newSystem(t, options{config: strings.Replace(limitsConfig, "api_key: 4/h, anonymous: 2/h", "api_key: {rate: 2/h, shadow: true}, headers: always", 1)})
	key := s.key("--name", "k")
	s.start()
	for i := range 5 {
		if a := s.get("/any", bearer(key)); a.status != 200 || quotaOf(t, a.header) != (quota{}) {
			t.Errorf("request %d: %d, %+v", i+1, a.status, quotaOf(t, a.header))
		}
	}
	for range 3 {
		if a := s.get("/watched"); a.status != 200 {
			t.Errorf("on a route: %d", a.status)
		}
	}
	for limit, want := range map[string]float64{"api_key": 3, "route": 2} {
		if n := s.metric(`keyward_rate_limit_shadowed_total{limit="` + limit + `"}`); n != want {
			t.Errorf("%s: %v would have been denied, want %v", limit, n, want)
		}
	}
	if n := s.metric(`keyward_rate_limited_total{method="api_key"}`); n != 0 {
		t.Errorf("%v were denied", n)
	}
}

// TestRotatedKeyKeepsItsCount: rotating a key does not give it more requests.
func TestRotatedKeyKeepsItsCount(t *testing.T) {
	s := newSystem(t, options{config: limitsConfig})
	key := s.key("--name", "k")
	s.start()
	s.lets(4, "before", "/any", bearer(key))
	rotated := s.keyward("key", "rotate", s.idOf(key), "--file", "keys.jsonl")
	a := s.until("known", func() (answer, bool) { a := s.get("/any", bearer(rotated)); return a, a.status != 401 })
	overLimit(t, a, "api_key", "q=4;w=3600", 900)
	if a := s.get("/any", bearer(key)); a.status != 401 || a.reason() != "revoked_key" {
		t.Errorf("the old secret: %d %s", a.status, a.reason())
	}
}

// TestLimitChangedByReload: the new rate applies at once, and requests stay
// charged.
func TestLimitChangedByReload(t *testing.T) {
	s := newSystem(t, options{config: limitsConfig})
	used, fresh := s.key("--name", "used"), s.key("--name", "fresh")
	s.start()
	s.lets(4, "before", "/any", bearer(used))
	reload := func(by string) {
		s.opts.config = strings.Replace(limitsConfig, "api_key: 4/h", by, 1)
		before := s.metric(`keyward_config_reloads_total{result="ok"}`)
		s.writeConfig(s.Ports())
		if err := s.Keyward.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.until("reloaded", func() (answer, bool) {
			return answer{}, s.metric(`keyward_config_reloads_total{result="ok"}`) > before
		})
	}
	reload("api_key: 7/h")
	s.lets(3, "four of now seven were used", "/any", bearer(used))
	s.lets(7, "a key that was not used", "/any", bearer(fresh))
	reload("api_key: 2/h")
	s.lets(0, "seven of now two were used", "/any", bearer(used))
	reload("api_key: ''")
	for _, status := range s.statuses(9, "/any", bearer(used)) {
		if status != 200 {
			t.Errorf("without a limit: %d", status)
		}
	}
}

// TestAddressThatGuesses: an address with too many invalid credentials is
// refused without verification. Other addresses are not, and an address that a
// client claims is ignored. Envoy's module counts what it refuses itself, apart from the
// Keyward beside it.
func TestAddressThatGuesses(t *testing.T) { throughAsking(t, addressThatGuesses, overHTTP...) }

func addressThatGuesses(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: `
credentials: {basic: true}
users: {file: users.jsonl}
rate_limits: {failed: 5/m}
routes: [{name: public, path: /public, auth: none}]
`})
	key := s.key("--name", "k")
	s.user("alice", "correct horse")
	s.start()
	const guesser, other = "127.0.0.2", "127.0.0.3"
	for i, credential := range []string{bearer("kw_junk"), bearer(misconfigured(key)), "Authorization: Basic YWxpY2U6Z3Vlc3M=", bearer("kw_junk"), bearer("a.b.c")} {
		if a := s.getFrom(guesser, "/any", credential); a.status != 401 {
			t.Errorf("guess %d: %d %s", i+1, a.status, a.body)
		}
	}
	a := s.getFrom(guesser, "/any", bearer("kw_junk"))
	overLimit(t, a, "failed", "q=5;w=60", 12)
	for _, lines := range [][]string{
		{bearer("kw_other")},
		{bearer(key)}, // which could be a guess
		{"Authorization: Basic YWxpY2U6Z3Vlc3M="},
		{bearer("kw_junk"), "X-Forwarded-For: 192.0.2.7"},
		{bearer("kw_junk"), "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 192.0.2.8"},
		{bearer("kw_junk"), "Forwarded: for=192.0.2.7", "X-Real-IP: 192.0.2.7"},
	} {
		if a := s.getFrom(guesser, "/any", lines...); a.status != 429 || a.reason() != "rate_limited" {
			t.Errorf("%q: %d %s", lines[1:], a.status, a.reason())
		}
	}
	if a := s.getFrom(guesser, "/public"); a.status != 200 {
		t.Errorf("without a credential: %d", a.status)
	}
	if a := s.getFrom(guesser, "/any"); a.status != 401 || a.reason() != "no_credential" {
		t.Errorf("without a credential where one is required: %d %s", a.status, a.reason())
	}
	for _, line := range []string{bearer(key), "Authorization: Basic YWxpY2U6Y29ycmVjdCBob3JzZQ=="} {
		for _, more := range []string{"X-Forwarded-For: " + guesser, "X-Plain: yes"} {
			if a := s.getFrom(other, "/any", line, more); a.status != 200 {
				t.Errorf("from another address, %s: %d %s", more, a.status, a.body)
			}
		}
	}
	if n := s.metric(`keyward_rate_limited_total{method="none"}`); n != 7 {
		t.Errorf("%v denials after too many failures, want 7", n)
	}
}

// TestGuesserBehindABalancer has all clients at one address, that of a trusted
// proxy in front.
func TestGuesserBehindABalancer(t *testing.T) {
	throughProxies(t, guesserBehindABalancer, "envoy-http")
}

func guesserBehindABalancer(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: "client_address: {trusted_hops: 2}\nrate_limits: {failed: 5/m}\n"})
	key := s.key("--name", "k")
	s.start()
	const guesser, other = "192.0.2.1", "192.0.2.2"
	for i := range 7 {
		want := map[bool]int{true: 401, false: 429}[i < 5]
		if a := s.get("/any", bearer("kw_junk"), "X-Forwarded-For: "+guesser); a.status != want {
			t.Errorf("guess %d: %d, want %d", i+1, a.status, want)
		}
	}
	// Entries before the balancer's own are controlled by the client.
	if a := s.get("/any", bearer(key), "X-Forwarded-For: "+other+", "+guesser); a.status != 429 {
		t.Errorf("claiming another address: %d", a.status)
	}
	if a := s.get("/any", bearer(key), "X-Forwarded-For: "+guesser+", "+other); a.status != 200 {
		t.Errorf("from another address: %d %s", a.status, a.body)
	}
}

// getFrom is get from a client at that address.
func (s *system) getFrom(address, target string, lines ...string) answer {
	s.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	head := append([]string{"GET " + target + " HTTP/1.1", "Host: api.example.com", "Connection: close"}, lines...)
	a, err := retryHashing(lines, func() (answer, error) {
		conn, err := dialer.DialContext(s.t.Context(), "tcp", stack.Address(s.Ports().Envoy))
		if err != nil {
			return answer{}, err
		}
		return exchange(conn, "GET", strings.Join(head, "\r\n")+"\r\n\r\n")
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// TestLimitOfAKeyAtTheAdminListener reads a key's limit, which cannot be reset there.
func TestLimitOfAKeyAtTheAdminListener(t *testing.T) {
	s := newSystem(t, options{config: limitsConfig})
	key, own := s.key("--name", "k"), s.key("--name", "own", "--rate", "2/d")
	s.start()
	limit := func(key string) (found struct {
		Limit, Rate      string
		Burst, Remaining int
		Reset            float64 `json:"reset_seconds"`
		Retry            float64 `json:"retry_after_seconds"`
	}) {
		status, text := adminAt(t, http.MethodGet, s.Ports().Admin, "/limits/"+s.idOf(key))
		if err := json.Unmarshal([]byte(text), &found); status != 200 || err != nil {
			t.Fatalf("%d %s: %v", status, text, err)
		}
		return found
	}
	if got := limit(key); got.Limit != "api_key" || got.Rate != "4/h" || got.Burst != 4 || got.Remaining != 4 || got.Reset != 0 || got.Retry != 0 {
		t.Errorf("before it was used: %+v", got)
	}
	s.lets(4, "before", "/any", bearer(key))
	if got := limit(key); got.Remaining != 0 || got.Reset < 3500 || got.Reset > 3600 || got.Retry < 800 || got.Retry > 900 {
		t.Errorf("used up: %+v", got)
	}
	if got := limit(own); got.Limit != "key" || got.Rate != "2/d" || got.Remaining != 2 {
		t.Errorf("with a rate of its own: %+v", got)
	}
	if status, text := adminAt(t, http.MethodDelete, s.Ports().Admin, "/limits/"+s.idOf(key)); status != http.StatusMethodNotAllowed {
		t.Errorf("resetting: %d %s", status, text)
	}
	if got := limit(key); got.Remaining != 0 {
		t.Errorf("after that: %+v", got)
	}
}
