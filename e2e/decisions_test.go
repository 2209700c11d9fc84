package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const routesConfig = `
credentials: {header: X-API-Key, cookie: session, query: api_key, reserved_query: [access_token]}
users: {file: ""}
routes:
- {name: public, path: /public, auth: none}
- {name: news, path: /news, auth: optional}
- {name: reports, path: /reports, scopes: ["reports:read"]}
- {name: closed, path: /closed, auth: deny}
- {name: written, path: /written, methods: [POST], auth: none}
- {name: shared, path: /shared, preflight: true}
- {name: picked, path: =/nowhere, methods: [GET], scopes: ["picked"]}
log: {level: debug, decisions: all}
`

// TestDecisions is a table of the policy: which credential gets which response.
func TestDecisions(t *testing.T) { throughProxies(t, decisions) }

func decisions(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	alice := s.key("--name", "alice's", "--user", "alice", "--path", "/hello", "--path", "/reports", "--path", "=/one", "--scope", "reports:read")
	bob := s.key("--name", "bob's", "--user", "bob")
	unknown := s.keyward("key", "create", "--name", "unknown", "--file", "elsewhere.jsonl")
	s.start()

	for _, c := range []struct {
		credential string
		target     string
		status     int
		reason     string // of a denial
	}{
		{bearer(alice), "/hello", 200, ""},
		{bearer(alice), "/hello/world?x=1", 200, ""},
		{bearer(alice), "/reports/2026", 200, ""},
		{bearer(alice), "/one", 200, ""},
		{bearer(alice), "/public/x", 200, ""},
		{"X-API-Key: " + alice, "/hello", 200, ""},
		{"Cookie: a=b; session=" + alice + "; c=d", "/hello", 200, ""},
		{"", "/hello?api_key=" + alice, 200, ""},
		{bearer(bob), "/anything", 200, ""},
		{"", "/public", 200, ""},
		{"", "/news", 200, ""},

		{"", "/hello", 401, "no_credential"},
		{"", "/publicity", 401, "no_credential"},
		{bearer(unknown), "/hello", 401, "unknown_key"},
		{bearer(unknown), "/news", 401, "unknown_key"},
		{bearer(alice[:len(alice)-1] + "!"), "/hello", 401, "malformed_credential"},
		{"Authorization: Digest x=y", "/hello", 401, "unsupported_credential"},

		{bearer(alice), "/one/more", 403, "path_not_allowed"},
		{bearer(alice), "/hellow", 403, "path_not_allowed"},
		{bearer(alice), "/", 403, "path_not_allowed"},
		{bearer(alice), "/news", 403, "path_not_allowed"},
		{bearer(bob), "/reports/2026", 403, "insufficient_scope"},
		{bearer(bob), "/closed", 403, "route_denied"},
		{bearer(bob), "/written", 403, "method_not_allowed"},

		{bearer(alice), "/hello;x=1", 400, "ambiguous_path"},
	} {
		before := s.arrived()
		a := s.get(c.target, headerLines(c.credential)...)
		if a.status != c.status || a.reason() != c.reason {
			t.Errorf("%s %s: %d %s, want %d %s", c.credential, c.target, a.status, a.reason(), c.status, c.reason)
		}
		if passed := s.arrived() > before; passed != (c.status == 200) {
			t.Errorf("%s %s: status %d, and reached the upstream: %v", c.credential, c.target, a.status, passed)
		}
	}
}

func headerLines(lines ...string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

func TestDenialTellsTheClientWhatItNeeds(t *testing.T) {
	throughProxies(t, denialTellsTheClientWhatItNeeds)
}

func denialTellsTheClientWhatItNeeds(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	key := s.key("--name", "k", "--path", "/hello", "--path", "/reports")
	s.start()
	for _, c := range []struct {
		credential, target string
		status             int
		challenge          string
	}{
		{"", "/hello", 401, `Bearer realm="api"`},
		{bearer("kw_junk"), "/hello", 401, `Bearer realm="api", error="invalid_token", error_description=`},
		{bearer(key), "/admin", 403, ""},
		{bearer(key), "/reports", 403, `Bearer realm="api", error="insufficient_scope", scope="reports:read"`},
	} {
		a := s.get(c.target, headerLines(c.credential)...)
		if got := a.header.Values("WWW-Authenticate"); c.challenge == "" && len(got) != 0 ||
			c.challenge != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.challenge)) {
			t.Errorf("%s: WWW-Authenticate %q, want one that begins with %q", c.target, got, c.challenge)
		}
		for name, want := range map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"} {
			if got := a.header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s %q, want %q", c.target, name, got, want)
			}
		}
		var problem struct {
			Status     int
			Title      string
			DecisionID string `json:"decision_id"`
		}
		if err := json.Unmarshal([]byte(a.body), &problem); err != nil || problem.Status != c.status || problem.Title != http.StatusText(c.status) {
			t.Errorf("%s: body %q (%v), want a problem of status %d", c.target, a.body, err, c.status)
		}
		id := a.header.Get("X-Keyward-Decision-Id")
		if id == "" || problem.DecisionID != id {
			t.Errorf("%s: decision %q in the header, %q in the body", c.target, id, problem.DecisionID)
		}
		if !strings.Contains(s.decisionLog(), id) {
			t.Errorf("%s: decision %s is not in Keyward's log", c.target, id)
		}
	}
}

// TestPreflight: only a preflight by the Fetch standard is allowed without a
// credential, and only if the route says so.
func TestPreflight(t *testing.T) { throughProxies(t, preflight, "nginx-plain") }

func preflight(t *testing.T, proxy string) {
	s := startSystem(t, options{proxy: proxy, config: routesConfig})
	const origin, method = "Origin: https://app.example.com", "Access-Control-Request-Method: PUT"
	for _, c := range []struct {
		verb, target string
		lines        []string
		status       int
	}{
		{"OPTIONS", "/shared", []string{origin, method}, 200},
		{"OPTIONS", "/shared", []string{origin}, 401},
		{"OPTIONS", "/shared", []string{method}, 401},
		{"GET", "/shared", []string{origin, method}, 401},
		{"OPTIONS", "/other", []string{origin, method}, 401},
	} {
		if a := s.request(c.verb, c.target, c.lines...); a.status != c.status {
			t.Errorf("%s %s %q: %d %s, want %d", c.verb, c.target, c.lines, a.status, a.reason(), c.status)
		}
	}
}

func TestHEADDenialHasNoBody(t *testing.T) { throughProxies(t, headDenialHasNoBody) }

func headDenialHasNoBody(t *testing.T, proxy string) {
	s := startSystem(t, options{proxy: proxy})
	raw := "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n" +
		"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	// A body after the first response would be read as the start of the second.
	statuses := s.pipeline(raw, "HEAD", "GET")
	if !slices.Equal(statuses, []int{401, 401}) {
		t.Errorf("statuses %v, want two 401s", statuses)
	}
}

func TestRevokedWhileRunning(t *testing.T) { throughProxies(t, revokedWhileRunning) }

func revokedWhileRunning(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy})
	key := s.key("--name", "k")
	s.start()
	if a := s.get("/", bearer(key)); a.status != 200 {
		t.Fatalf("before: %d %s", a.status, a.body)
	}
	id := s.get("/", bearer(key)).received(t).Headers["x-auth-key-id"][0]
	s.keyward("key", "revoke", "--file", "keys.jsonl", id)
	a := s.until("refused", func() (answer, bool) { a := s.get("/", bearer(key)); return a, a.status != 200 })
	if a.status != 401 || a.reason() != "revoked_key" {
		t.Errorf("after: %d %s", a.status, a.reason())
	}
	created := s.key("--name", "new")
	s.until("accepted", func() (answer, bool) { a := s.get("/", bearer(created)); return a, a.status == 200 })
}

// TestRoutePickedByEnvoy has Envoy's route name Keyward's route. That route's
// path is then ignored, while its scopes and the key's paths apply.
func TestRoutePickedByEnvoy(t *testing.T) {
	for _, proxy := range append([]string{""}, inEnvoy...) {
		t.Run("proxy "+proxy, func(t *testing.T) { routePickedByEnvoy(t, proxy) })
	}
}

func routePickedByEnvoy(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig, envoy: pickRoutes})
	scoped := s.key("--name", "scoped", "--scope", "picked", "--path", "/p")
	bare := s.key("--name", "bare")
	s.start()
	for _, c := range []struct {
		key, target string
		status      int
		reason      string
	}{
		{scoped, "/p/picked", 200, ""},
		{bare, "/p/picked", 403, "insufficient_scope"},
		{scoped, "/p/unknown", 503, "unavailable"},
		{bare, "/p/unknown", 503, "unavailable"},
		{scoped, "/q/picked", 403, "path_not_allowed"},
		{bare, "/p", 200, ""},
	} {
		if a := s.get(c.target, bearer(c.key)); a.status != c.status || a.reason() != c.reason {
			t.Errorf("%s: %d %s, want %d %s", c.target, a.status, a.reason(), c.status, c.reason)
		}
	}
	// Envoy has matched the path, but not the method.
	if a := s.request("HEAD", "/p/picked", bearer(scoped)); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	before := s.arrived()
	for _, method := range []string{"POST", "DELETE"} {
		if a := s.request(method, "/p/picked", bearer(scoped), "Content-Length: 0"); a.status != 403 || a.reason() != "method_not_allowed" {
			t.Errorf("%s: %d %s", method, a.status, a.reason())
		}
	}
	if n := s.arrived() - before; n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
