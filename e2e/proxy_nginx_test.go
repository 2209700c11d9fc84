package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// nginxProxy returns nginx with a file of deploy/nginx.
func nginxProxy(file string) func(*system) stack.Proxy {
	return func(s *system) stack.Proxy {
		s.t.Helper()
		text := s.shipped("nginx", file)
		if !s.opts.shippedTimeout {
			text = s.replaced(text, "250ms", "10s")
		}
		return stack.Nginx{Binary: programs.nginx, Config: text}
	}
}

// nginxTLS makes nginx speak TLS at a separate port.
func nginxTLS(t *testing.T, o *options, p *pair) int {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	o.text = func(text string) string {
		const plain = "listen 127.0.0.1:10000;\n"
		return strings.Replace(text, plain, fmt.Sprintf("%slisten %s ssl http2;\nssl_certificate %s;\nssl_certificate_key %s;\n",
			plain, stack.Address(ports.Envoy), p.cert, p.key), 1)
	}
	return ports.Envoy
}

// TestNginxAllowsAndDenies tests both with each of the shipped files.
func TestNginxAllowsAndDenies(t *testing.T) {
	for _, proxy := range []string{"nginx", "nginx-plain"} {
		t.Run(proxy, func(t *testing.T) {
			s := newSystem(t, options{proxy: proxy, config: routesConfig})
			key := s.key("--name", "k", "--user", "alice", "--path", "/any")
			s.start()
			if a := s.get("/any", bearer(key)); a.status != 200 || a.received(t).Headers["x-auth-subject"][0] != "alice" {
				t.Errorf("with a key: %d %s", a.status, a.body)
			}
			for target, status := range map[string]int{"/any": 401, "/closed": 403} {
				if a := s.get(target); a.status != status {
					t.Errorf("%s: %d %s", target, a.status, a.body)
				}
			}
			if n := s.arrived(); n != 1 {
				t.Errorf("%d requests reached the upstream", n)
			}
		})
	}
}

// TestNginxLoadsTheShippedFilesWithoutComplaint: nginx loads and runs them
// without a warning.
func TestNginxLoadsTheShippedFilesWithoutComplaint(t *testing.T) {
	for _, proxy := range []string{"nginx", "nginx-plain", "nginx-issuer"} {
		s := startSystem(t, options{proxy: proxy, shippedTimeout: true})
		s.until("asked", func() (answer, bool) { a := s.get("/"); return a, a.status == 401 })
		if log := s.Proxy.Log(); strings.Contains(log, "[") && regexp.MustCompile(`\[(warn|error|crit|alert|emerg)\]`).MatchString(log) {
			t.Errorf("%s:\n%s", proxy, log)
		}
	}
}

// TestNginxAccessLog: the log says which requests were allowed and why others
// were denied, and no log shows a query.
func TestNginxAccessLog(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx", config: routesConfig, shippedTimeout: true})
	key := s.key("--name", "k")
	s.start()
	id := s.until("allowed", func() (answer, bool) { a := s.get("/ok?api_key=" + key); return a, a.status == 200 }).received(t).Headers["x-auth-key-id"][0]
	denied := s.get("/denied?q=1")
	s.Keyward.Kill()
	s.get("/dead?api_key=" + key)
	s.Stop()

	log := s.Proxy.Log()
	for _, want := range []string{
		`"path":"/ok","status":200,.*"key_id":"` + id + `"`,
		`"path":"/denied","status":401,.*"reason":"no_credential","decision_id":"` + denied.header.Get("X-Keyward-Decision-Id") + `"`,
		`"path":"/dead","status":503,`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("no line like %s in\n%s", want, log)
		}
	}
	if strings.Contains(log, "q=1") || strings.Contains(log, key) {
		t.Errorf("the log shows a query:\n%s", log)
	}
}

// TestNginxReplays sends nginx denials for which Keyward has no reason here,
// and wants the client to get them unchanged. Keyward's real way of sending
// them is at the address where nginx requests them again.
func TestNginxReplays(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx", config: routesConfig + "errors: generic\n", text: func(text string) string {
		return strings.Replace(text, "proxy_pass http://keyward/authz/nginx;", "proxy_pass http://127.0.0.1:9901;", 1)
	}})
	s.key("--name", "k")
	s.start()
	asked := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"X-Auth-Code": "429", "X-Auth-Reason": "rate_limited", "X-Auth-Style": "generic", "X-Auth-Decision": "ID", "Retry-After": "17",
		} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	listener, err := net.Listen("tcp", stack.Address(s.Ports().EnvoyAdmin)) // a port that nothing uses without Envoy
	if err != nil {
		t.Fatal(err)
	}
	asked.Listener.Close()
	asked.Listener = listener
	asked.Start()
	defer asked.Close()
	// The client's own headers about a denial are ignored.
	a := s.request("POST", "/any", "Content-Length: 3", "X-Auth-Reason: ok", "X-Auth-Code: 200", "X-Auth-Style: halo", "Retry-After: 1\r\n\r\nabc")
	if a.status != 429 || !slices.Equal(a.header.Values("Retry-After"), []string{"17"}) ||
		!strings.Contains(a.body, `"error":"rate_limit_exceeded"`) || a.header.Get("X-Keyward-Decision-Id") != "ID" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	for name := range a.header {
		if strings.HasPrefix(name, "X-Auth-") {
			t.Errorf("the client sees %s", name)
		}
	}
	s.Keyward.Kill() // between the denial and its replay
	if a := s.get("/any"); a.status != 503 {
		t.Errorf("when the denial cannot be replayed: %d %s", a.status, a.body)
	}
}

// TestNginxTellsWhatIsAsked: a client's own headers with the names by which
// nginx describes the request to Keyward are ignored, and do not reach the
// upstream.
func TestNginxTellsWhatIsAsked(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx", config: routesConfig + "require_https: false\n"})
	key := s.key("--name", "k", "--path", "/mine")
	s.start()
	lies := []string{
		"X-Original-URI: /public", "X-Original-Method: OPTIONS", "X-Original-URL: /public", "X-Forwarded-Uri: /public",
		"X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: evil.test", "X-Forwarded-Prefix: /public", "X-Rewrite-URL: /public",
		"Forwarded: for=192.0.2.1;host=evil.test", "X-Forwarded-Proto: https", "X-Keyward-Uri: /public",
		"X-Auth-Reason: ok", "X-Auth-Code: 200",
	}
	for _, lie := range append([]string{strings.Join(lies, "\r\n")}, lies...) {
		if a := s.get("/any", lie); a.status != 401 || a.reason() != "no_credential" {
			t.Errorf("%q, no key: %d %s", lie, a.status, a.reason())
		}
		if a := s.get("/any", lie, bearer(key)); a.status != 403 || a.reason() != "path_not_allowed" {
			t.Errorf("%q, outside the key's paths: %d %s", lie, a.status, a.reason())
		}
		got := s.get("/mine", lie, bearer(key)).received(t)
		if got.Path != "/mine" || got.Method != "GET" || got.Headers["x-forwarded-proto"][0] != "http" {
			t.Errorf("%q: the upstream got %v", lie, got)
		}
		for _, name := range []string{
			"x-original-uri", "x-original-method", "x-original-url", "x-rewrite-url", "forwarded",
			"x-forwarded-uri", "x-forwarded-method", "x-forwarded-host", "x-forwarded-prefix",
		} {
			if got.Headers[name] != nil {
				t.Errorf("%q: the upstream got %s %q", lie, name, got.Headers[name])
			}
		}
	}
	for _, location := range []string{"/_keyward/ask", "/_keyward/denial", "/_keyward//ask", "/_keyward/%61sk"} {
		if a := s.get(location, bearer(key), "X-Auth-Reason: ok"); a.status != 404 || a.reason() != "" {
			t.Errorf("%s: %d %s", location, a.status, a.body)
		}
	}
}

// TestNginxThatIsNotTrusted: a client that sends X-Original-URI itself, or an
// nginx on a machine that Keyward does not trust, is ignored.
func TestNginxThatIsNotTrusted(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx", config: routesConfig + "trusted_proxies: [192.0.2.1]\n"})
	key := s.key("--name", "k")
	s.start()
	for _, path := range []string{"/authz/nginx", "/authz/forward", "/authz/envoy/public"} {
		conn, err := net.Dial("tcp", stack.Address(s.Ports().HTTP))
		if err != nil {
			t.Fatal(err)
		}
		a, err := exchange(conn, "GET", "GET "+path+" HTTP/1.1\r\nHost: x\r\nX-Original-URI: /public\r\nX-Original-Method: GET\r\n"+
			"X-Forwarded-Uri: /public\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: x\r\n"+bearer(key)+"\r\nConnection: close\r\n\r\n")
		if err != nil || a.status != 403 || a.header.Get("X-Keyward-Uri") != "" || a.header.Get("X-Auth-Subject") != "" {
			t.Errorf("%s: %d %v (%v)", path, a.status, a.header, err)
		}
	}
	for _, target := range []string{"/public", "/any"} {
		if a := s.get(target, bearer(key)); a.status != 403 {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	if n := s.arrived(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestNginxPassesWhatIsLarge sends headers as large as nginx accepts.
func TestNginxPassesWhatIsLarge(t *testing.T) {
	s := newSystem(t, options{proxy: "nginx", config: routesConfig})
	key := s.key("--name", "k")
	s.start()
	cookie := "big=" + strings.Repeat("c", 7<<10)
	target := "/any?api_key=" + key + "&q=" + strings.Repeat("q", 7<<10)
	got := s.get(target, "Cookie: "+cookie).received(t)
	if got.Path != strings.Replace(target, "api_key="+key+"&", "", 1) || !slices.Equal(got.Headers["cookie"], []string{cookie}) {
		t.Errorf("%d bytes of target, cookie %d", len(got.Path), len(got.Headers["cookie"]))
	}
	body := strings.Repeat("b", 1<<20)
	if a := s.request("POST", "/any", bearer(key), fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)); a.status != 200 {
		t.Errorf("with a body: %d %s", a.status, a.body)
	}
	if a := s.request("POST", "/any", bearer(key), "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0"); a.status != 200 {
		t.Errorf("with a body in chunks: %d %s", a.status, a.body)
	}
}

// TestNginxShippedSettings checks the files for settings whose loss no request
// shows: Keyward itself refuses what they stop, or the loss only shows under
// load.
func TestNginxShippedSettings(t *testing.T) {
	for file, settings := range map[string][]string{
		"nginx.conf": {
			"underscores_in_headers off;", "ignore_invalid_headers on;", "merge_slashes on;", "keepalive 64;", "keepalive_timeout 60s;",
			"proxy_connect_timeout 250ms;", "proxy_pass_request_body off;", "proxy_cache off;",
		},
		"nginx-plain.conf": {"keepalive 64;", "proxy_connect_timeout 250ms;", "proxy_read_timeout    250ms;", "proxy_pass_request_body off;"},
	} {
		text, err := os.ReadFile(filepath.Join(programs.root, "deploy", "nginx", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range settings {
			if !strings.Contains(string(text), "        "+setting+"\n") {
				t.Errorf("%s has no %s", file, setting)
			}
		}
		if upstream := string(text[strings.Index(string(text), "upstream keyward {"):]); !strings.Contains(upstream[:strings.Index(upstream, "}")], "keepalive 64;") {
			t.Errorf("%s has no keepalive to Keyward", file)
		}
	}
}
