package e2e

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/authz/overrides"
	"keyward/e2e/stack"
)

// sameConfig has each kind of route, place of a credential and style of a denial. The
// limits are of one request in a long time, so that what is left does not depend on the
// second.
const sameConfig = `
credentials:
  basic_key_usernames: [haplo]
  header: X-API-Key
  query: api_key
  cookie: session
  websocket_protocol: openai-insecure-api-key.
  reserved_query: [access_token]
users: {file: ""}
rate_limits: {failed: 100000/d, headers: always}
errors: problem
challenge: {realm: same}
routes:
- {name: public, path: /public, auth: none}
- {name: news, path: /news, auth: optional}
- {name: reports, path: /reports, scopes: ["reports:read"]}
- {name: closed, path: /closed, auth: deny}
- {name: written, path: /written, methods: [POST], auth: none}
- {name: shared, path: /shared, preflight: true}
- {name: own, path: "/own/{subject}"}
- {name: forwarded, path: /forwarded, forward_credentials: true}
- {name: kiosk, path: /, hosts: [kiosk.example.com], auth: none}
- {name: seldom, path: /seldom, rate: 1/d}
- {name: halo, path: /halo, errors: halo}
- {name: generic, path: /generic, errors: generic, scopes: [admin]}
- {name: halfred, path: /halfred, errors: halfred}
`

// outcome is what a request led to, without what differs from request to request.
type outcome struct {
	status   int
	header   map[string][]string
	body     string
	upstream []stack.Received
}

func (o outcome) String() string {
	return fmt.Sprintf("%d %v %q, at the upstream %v", o.status, o.header, o.body, o.upstream)
}

// passing matches what is in one response alone: ids and times.
var passing = regexp.MustCompile(`[A-Z2-7]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|(;t=|^)\d{5}`)

// outcomeOf sends a request, over HTTP/2 if its first line is a field.
func (s *system) outcomeOf(r sameRequest) outcome {
	s.t.Helper()
	before := s.arrived()
	var a answer
	if r.http2 {
		fields := []string{":method: " + r.method, ":path: " + r.target, ":authority: " + r.host}
		for _, line := range r.lines {
			name, value, _ := strings.Cut(line, ":")
			fields = append(fields, strings.ToLower(name)+": "+strings.TrimSpace(value))
		}
		a = s.sendHTTP2(s.Ports().Envoy, http2Request{fields: fields})
	} else {
		lines := append([]string{r.method + " " + r.target + " HTTP/1.1", "Host: " + r.host}, r.lines...)
		if r.method == "POST" {
			lines = append(lines, "Content-Length: 0")
		}
		var err error
		if a, err = s.send(r.method, strings.Join(append(lines, "Connection: close"), "\r\n")+"\r\n\r\n"); err != nil {
			s.t.Fatalf("%v: %v", r, err)
		}
	}
	o := outcome{status: a.status, header: steadyHeader(a.header), body: passing.ReplaceAllString(a.body, "…")}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range s.received[before:] {
		got.Headers = steadyHeader(got.Headers)
		o.upstream = append(o.upstream, got)
	}
	if len(o.upstream) > 0 && a.status == http.StatusOK {
		o.body = "" // it is the request, which is compared itself
		delete(o.header, "Content-Length")
	}
	return o
}

func steadyHeader(header map[string][]string) map[string][]string {
	all := maps.Clone(header)
	for name, values := range all {
		all[name] = slices.Clone(values)
		for i := range values {
			all[name][i] = passing.ReplaceAllString(values[i], "…")
		}
	}
	delete(all, "Date")
	delete(all, "X-Envoy-Upstream-Service-Time")
	return all
}

// sameRequest is a request to be sent through several proxies.
type sameRequest struct {
	http2        bool
	method       string
	host, target string
	lines        []string
}

// sameSystems are the shipped Envoy, which asks over gRPC, and those with the module,
// with equal keys.
func sameSystems(t *testing.T) (asking *system, inside []*system, keys map[string]string) {
	t.Helper()
	asking = newSystem(t, options{config: sameConfig})
	keys = map[string]string{
		"good":      asking.key("--name", "good", "--user", "alice", "--scope", "reports:read", "--scope", "a", "--project", "p"),
		"narrow":    asking.key("--name", "narrow", "--user", "bob", "--path", "/reports", "--path", "/own"),
		"expired":   asking.key("--name", "expired", "--expires", "1s"),
		"revoked":   asking.key("--name", "revoked"),
		"unknown":   asking.keyward("key", "create", "--name", "unknown", "--file", "elsewhere.jsonl"),
		"seldom":    asking.key("--name", "seldom", "--user", "carol", "--rate", "1/d"),
		"malformed": "kw_junk",
	}
	keys["mistyped"] = misconfigured(keys["good"])
	asking.keyward("key", "revoke", "--file", "keys.jsonl", asking.idOf(keys["revoked"]))
	for _, proxy := range inEnvoy {
		s := newSystem(t, options{proxy: proxy, config: sameConfig})
		text, err := os.ReadFile(filepath.Join(asking.dir, "keys.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, s.dir, "keys.jsonl", string(text))
		inside = append(inside, s)
	}
	for _, s := range append(inside, asking) {
		s.start()
		s.until("expired", func() (answer, bool) { a := s.get("/any", bearer(keys["expired"])); return a, a.status == 401 })
	}
	return asking, inside, keys
}

// knownDifferences are those between the module and the shipped Envoy, and whether they
// explain two outcomes.
var knownDifferences = map[string]func(asking, inside outcome) bool{
	// Envoy writes the query again when ext_authz removes a parameter, and gives each
	// one an equals sign. The module cuts the credential, and leaves the rest.
	"a parameter without a value": func(asking, inside outcome) bool {
		if len(asking.upstream) != 1 || len(inside.upstream) != 1 {
			return false
		}
		a, i := asking.upstream[0], inside.upstream[0]
		path, query, _ := strings.Cut(i.Path, "?")
		for _, parameter := range strings.Split(query, "&") {
			if !strings.Contains(parameter, "=") {
				i.Path = path + "?" + strings.Replace(query, parameter, parameter+"=", 1)
			}
		}
		inside.upstream = []stack.Received{i}
		return a.Path == i.Path && asking.String() == inside.String()
	},
}

// TestModuleAnswersAlike sends the same requests through the shipped Envoy, which asks
// over gRPC, and through those with the module. Clients and the upstream get the same.
func TestModuleAnswersAlike(t *testing.T) {
	asking, inside, keys := sameSystems(t)
	met, statuses := map[string]bool{}, map[int]int{}
	requests := sameRequests(keys)
	for _, r := range requests {
		want := asking.outcomeOf(r)
		statuses[want.status]++
		for _, s := range inside {
			got := s.outcomeOf(r)
			if got.String() == want.String() {
				continue
			}
			why := ""
			for name, explains := range knownDifferences {
				if explains(want, got) {
					why = name
				}
			}
			if met[why] = true; why == "" {
				t.Errorf("%s %+v:\n  %v\nover gRPC:\n  %v", s.opts.proxy, r, got, want)
			}
		}
	}
	for name := range knownDifferences {
		if !met[name] {
			t.Errorf("no request shows the difference %q", name)
		}
	}
	for _, status := range []int{200, 400, 401, 403, 429} {
		if statuses[status] < 3 {
			t.Errorf("%d requests of %d got status %d: the comparison needs some of each", statuses[status], len(requests), status)
		}
	}
}

// sameRequests returns each value of each dimension with what is usual in the others,
// and then random combinations, which are the same in each run. Half of them are
// over HTTP/2, where Envoy closes a connection with a Connection header after a second.
func sameRequests(keys map[string]string) (all []sameRequest) {
	methods := []string{"GET", "POST", "HEAD", "OPTIONS", "DELETE", "PATCH"}
	hosts := []string{"api.example.com", "kiosk.example.com", "KIOSK.example.com:80", "kiosk.example.com.", "other.example.com:8443"}
	targets, credentials, extras := sameTargets(keys["good"]), sameCredentials(keys), sameExtras(keys["good"])
	const seed, combinations = 22, 200
	random := rand.New(rand.NewPCG(seed, seed))
	add := func(method, host, target string, lines ...string) {
		connection := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Connection:") })
		all = append(all, sameRequest{random.IntN(2) == 1 && !connection, method, host, target, lines})
	}
	for _, method := range methods {
		for _, target := range []string{"/any", "/public", "/written", "/shared", "/reports", "/halo"} {
			add(method, hosts[0], target, bearer(keys["good"]))
			add(method, hosts[0], target)
		}
	}
	for _, host := range hosts {
		add("GET", host, "/any")
	}
	for _, target := range targets {
		add("GET", hosts[0], target, bearer(keys["good"]))
	}
	for _, lines := range credentials {
		for _, target := range []string{"/any", "/news", "/reports", "/public", "/forwarded", "/generic", "/halfred"} {
			add("GET", hosts[0], target, lines...)
		}
	}
	for _, lines := range extras {
		add("GET", hosts[0], "/any", append(slices.Clone(lines), bearer(keys["good"]))...)
		add("GET", hosts[0], "/public", lines...)
		add("OPTIONS", hosts[0], "/shared", lines...)
		add("POST", hosts[0], "/halo/x", lines...)
	}
	for range combinations {
		lines := append(slices.Clone(credentials[random.IntN(len(credentials))]), extras[random.IntN(len(extras))]...)
		lines = append(lines, extras[random.IntN(len(extras))]...)
		add(methods[random.IntN(len(methods))], hosts[random.IntN(len(hosts))], targets[random.IntN(len(targets))], lines...)
	}
	return all
}

func sameTargets(key string) []string {
	return []string{
		"/", "/any", "/public", "/public/", "/public/../any", "/public/%2e%2e/any", "/public/%2fany", "/public;x", "/public#x", "/PUBLIC", "//public", "/public//x",
		"/closed", "/reports", "/reports/2026", "/reports%20", "/own/alice", "/own/alice/x", "/own/bob", "/own/", "/forwarded", "/news", "/written", "/shared",
		"/caf%C3%A9", "/%63losed", "/a?b=c", "/a?b=c&b=d", "/any?access_token=x", "/any?a&b=%2F", "/halo/x", "/generic", "/halfred",
		"/any?api_key=" + key, "/public?api_key=" + key + "&a=1", "/any?wsdl&api_key=" + key, "/public?wsdl&api_key=" + key, "/public?a=%2F&api_key=" + key + "&b=+x", "/forwarded?api_key=" + key,
		"/public?api_key=1&api_key=2", "/public?API_KEY=" + key, "/public?api%5Fkey=" + key, "/public?api_key", "/public?a=1;api_key=" + key, "/seldom?x=1",
	}
}

func sameCredentials(keys map[string]string) (all [][]string) {
	all = append(all, nil)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, []string{bearer(keys[name])})
	}
	good, narrow := keys["good"], keys["narrow"]
	return append(all, [][]string{
		{"X-API-Key: " + good}, {"X-API-Key: " + keys["expired"]}, {"x-api-key: Bearer " + good}, {"Cookie: a=b; session=" + good + "; c=d"}, {"Cookie: session=" + narrow},
		{"Cookie: a=b", "Cookie: session=" + good}, {"Cookie: session=" + good + "; session=" + good}, {"Cookie: session="}, {"Cookie: session=\"" + good + "\""},
		{basicLine("haplo", good)}, {basicLine("haplo", keys["revoked"])}, {"Authorization: Basic !"}, {"Authorization: Digest a=b"}, {"Authorization: bearer  " + good},
		{"Authorization:"}, {"Authorization: Bearer"}, {bearer(good), bearer(good)}, {bearer(good), bearer(narrow)}, {bearer(good), "X-API-Key: " + narrow}, {bearer(good), "X-API-Key:"},
		{bearer("a b")}, {bearer(strings.Repeat("x", 5000))}, {bearer(good), "Cookie: theme=dark; __Host-keyward-console=" + ownCookie},
		{"Sec-WebSocket-Protocol: chat, openai-insecure-api-key." + good}, {"Sec-WebSocket-Protocol: openai-insecure-api-key." + good, bearer(good)},
		{"Sec-WebSocket-Protocol: openai-insecure-api-key." + keys["mistyped"]},
	}...)
}

func basicLine(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func sameExtras(key string) (all [][]string) {
	all = [][]string{
		nil,
		{"X-Auth-Subject: evil"}, {"x-auth-subject: evil", "X-Auth-Subject: evil2", "x-auth-scopes: admin"}, {"x.auth.subject: evil"}, {"X.Auth-Subject: evil", "x!auth!scopes: admin"},
		{"x_auth_subject: evil"}, {"x-auth-subject:"}, {"x-auth-key-id: k_evil", "x-auth-method: basic", "x-auth-project: evil"},
		{"x.api.key: " + key}, {"x~api~key: " + key, "x-api.key: y"}, {"x-auth-other: stays"}, {"x.y: stays"},
		{"Connection: x-auth-subject, x-auth-method"}, {"Connection: keep-alive, authorization"}, {"Connection: x-auth-subject", "x-auth-subject: evil"},
		{"Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}, {"TE: trailers"},
		{"Content-Type: application/grpc"}, {"Content-Type: application/grpc+proto", "TE: trailers"}, {"Content-Type: application/grpc-web"}, {"Content-Type: application/grpc;a=b"},
		{"Content-Type: application/json"}, {"Accept: text/html", "Accept: */*"}, {"Accept-Language: de", "User-Agent: a", "User-Agent: b"},
		{"Origin: https://app.example.com", "Access-Control-Request-Method: POST"}, {"Origin: https://app.example.com", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"},
		{"Access-Control-Request-Method: POST"}, {"Origin: a", "Origin: b", "Access-Control-Request-Method: GET"},
		{"X-Forwarded-For: 192.0.2.7"}, {"X-Forwarded-For: 192.0.2.7, 198.51.100.9", "X-Forwarded-For: 10.0.0.1"}, {"X-Forwarded-Proto: https"}, {"Forwarded: for=192.0.2.7"},
		{"X-Request-Id: client-chosen"}, {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"x-envoy-original-path: /public", "x-envoy-internal: true"},
		{"X-Forwarded-Host: kiosk.example.com", "X-Forwarded-Method: GET"}, {"Keyward-Route: public", "x-keyward-route: public", "x-keyward-decision-id: mine"},
		{"x-empty:", "x-empty: "}, {"x-long: " + strings.Repeat("y", 3000)}, {"x-latin: caf\xe9"}, {"x-tab: a\tb"},
		{"cookie: a=1", "cookie: b=2"}, {"Cookie: __Host-keyward-console=" + ownCookie},
	}
	for _, name := range overrides.Headers() {
		all = append(all, []string{name + ": evil"})
	}
	return append(all, []string{"x.original.url: /public"}, []string{"x-original-url: /a", "x-original-url: /b", "x-http-method-override: DELETE"})
}
