package e2e

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// proxied is a proxy that asks over HTTP, and what it cannot do that Envoy does
// over gRPC. Each difference is in docs/proxies.md.
type proxied struct {
	proxy         string
	dead, garbage int  // the status without Keyward, and with another server at its port
	fixedTarget   bool // it cannot remove a credential from the query, and therefore refuses it
	anyOK         bool // it takes any 2xx as an allow
	waitsLong     bool // it waits half a minute for a Keyward that hangs
}

func (p proxied) test(t *testing.T) {
	t.Run("decisions", p.decides)
	t.Run("credentials", p.cutsCredentials)
	t.Run("identity", p.cutsIdentity)
	t.Run("target", p.believesItselfAlone)
	t.Run("dead", p.withoutKeyward)
	t.Run("frozen", p.withKeywardFrozen)
	t.Run("garbage", p.withAnotherInKeywardsPlace)
	t.Run("revoked", p.forgetsRevoked)
}

// decides is a table of the policy. Exactly the allowed requests must reach the
// upstream.
func (p proxied) decides(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig})
	key := s.key("--name", "k", "--user", "alice", "--path", "/hello", "--path", "/reports")
	s.start()
	for _, c := range []struct {
		lines             []string
		target            string
		status            int
		reason, challenge string
	}{
		{[]string{bearer(key)}, "/hello?x=1", 200, "", ""},
		{[]string{"X-API-Key: " + key}, "/hello", 200, "", ""},
		{[]string{"Cookie: a=b; session=" + key}, "/hello", 200, "", ""},
		{nil, "/public", 200, "", ""},
		{nil, "/hello", 401, "no_credential", `Bearer realm="api"`},
		{[]string{bearer("kw_junk")}, "/hello", 401, "invalid_token", `Bearer realm="api", error="invalid_token"`},
		{[]string{bearer(key), bearer(key)}, "/hello", 401, "ambiguous_credential", `Bearer realm="api", error="invalid_request"`},
		{[]string{bearer(key), "X-API-Key: " + key}, "/hello", 401, "ambiguous_credential", `Bearer realm="api"`},
		{[]string{bearer(key)}, "/admin", 403, "path_not_allowed", ""},
		{[]string{bearer(key)}, "/reports", 403, "insufficient_scope", `Bearer realm="api", error="insufficient_scope"`},
		{[]string{bearer(key)}, "/hello;x=1", 400, "ambiguous_path", ""},
	} {
		before := s.arrived()
		a := s.get(c.target, c.lines...)
		if a.status != c.status || a.reason() != c.reason {
			t.Errorf("%q %s: %d %s, want %d %s", c.lines, c.target, a.status, a.reason(), c.status, c.reason)
		}
		if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, c.challenge) || c.challenge == "" && got != "" {
			t.Errorf("%q %s: WWW-Authenticate %q, want one that begins with %q", c.lines, c.target, got, c.challenge)
		}
		if c.status != 200 && (a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store") {
			t.Errorf("%q %s: headers %v", c.lines, c.target, a.header)
		}
		if passed := s.arrived() > before; passed != (c.status == 200) {
			t.Errorf("%q %s: status %d, and reached the upstream: %v", c.lines, c.target, a.status, passed)
		}
	}
	// With a body, which Keyward does not see.
	a, err := s.send("POST", "POST /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+bearer(key)+"\r\nContent-Length: 5\r\n\r\nhello")
	if err != nil {
		t.Fatal(err)
	}
	if got := a.received(t); got.Method != "POST" || got.Headers["x-auth-subject"] == nil {
		t.Errorf("with a body: %+v", got)
	}
	if a := s.request("HEAD", "/hello"); a.status != 401 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
	if a := s.get("/v1/auth/verify", bearer(key)); a.status != 200 || !strings.Contains(a.body, `"user_id":"alice"`) {
		t.Errorf("verify: %d %s", a.status, a.body)
	}
}

// ownCookie is the value of a cookie of the console.
const ownCookie = "a-session-of-the-console"

// cutsCredentials searches everything that the upstream receives for the key, and for
// cookies of the console.
func (p proxied) cutsCredentials(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: strings.Replace(routesConfig, "query:", "basic_key_usernames: [haplo], query:", 1)})
	key := s.key("--name", "k")
	s.start()
	basic := base64.StdEncoding.EncodeToString([]byte("haplo:" + key))
	for _, c := range []struct {
		target string
		lines  []string
		cookie []string
	}{
		{"/any", []string{bearer(key)}, nil},
		{"/any", []string{"Authorization: Basic " + basic}, nil},
		{"/any", []string{"X-API-Key: " + key}, nil},
		{"/any", []string{bearer(key), "Cookie: a=b"}, []string{"a=b"}},
		{"/any", []string{"Cookie: a=b; session=" + key + "; c=d"}, []string{"a=b; c=d"}},
		{"/any", []string{"Cookie: a=b", "Cookie: session=" + key}, []string{"a=b"}},
		{"/any", []string{"Cookie: session=" + key}, nil},
		{"/public", []string{bearer(key), "X-API-Key: " + key, "Cookie: session=" + key}, nil},
		{"/public", []string{"Cookie: a=b", "Cookie: session=" + key}, []string{"a=b"}},
		// The console's cookies, should it share the host.
		{"/any", []string{bearer(key), "Cookie: a=b; __Host-keyward-console=" + ownCookie + "; c=d"}, []string{"a=b; c=d"}},
		{"/public", []string{"Cookie: __Host-keyward-console=" + ownCookie + "; __Host-keyward-login=" + ownCookie}, nil},
	} {
		got := s.get(c.target, c.lines...).received(t)
		if got.Path != c.target || !slices.Equal(got.Headers["cookie"], c.cookie) {
			t.Errorf("%s %q: path %q, cookie %q; want cookie %q", c.target, c.lines, got.Path, got.Headers["cookie"], c.cookie)
		}
		if where := findText(got, key, basic, ownCookie); where != "" {
			t.Errorf("%s %q: the key reached the upstream in %s", c.target, c.lines, where)
		}
	}
	for _, path := range []string{"/any", "/public"} {
		before := s.arrived()
		a := s.get(path + "?a=1&api_key=" + key + "&b=%2F")
		if p.fixedTarget {
			if a.status != 401 || a.reason() != "unsupported_credential" || s.arrived() != before {
				t.Errorf("%s, in the query: %d %s", path, a.status, a.reason())
			}
		} else if got := a.received(t); got.Path != path+"?a=1&b=%2F" {
			t.Errorf("%s, in the query: the upstream sees %s", path, got.Path)
		}
	}
}

// cutsIdentity sends headers with which a client would impersonate another
// user. The upstream sees the real identity only, or the request is refused.
func (p proxied) cutsIdentity(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig})
	key := s.key("--name", "k", "--user", "alice", "--scope", "b", "--scope", "a")
	s.start()
	id := s.get("/any", bearer(key)).received(t).Headers["x-auth-key-id"]
	for _, spoof := range [][]string{
		{"x-auth-subject: evil"},
		{"X-Auth-Subject: evil"},
		{"x-auth-subject: evil", "X-Auth-Subject: evil2"},
		{"x-auth-subject:"},
		{"x-auth-subject: evil", "x-auth-scopes: admin", "x-auth-method: basic", "x-auth-key-id: k_evil"},
		{"x.auth.subject: evil"},
		{"X.Auth-Subject: evil", "x-auth.scopes: admin"},
		{"X_Auth_Subject: evil"},
		{"x_auth-subject: evil"},
		{"x!auth!subject: evil"},
		{"x~auth|subject: evil"},
		{"Connection: x-auth-subject, x-auth-method"},
		{"Connection: x-auth-subject", "x-auth-subject: evil"},
		{"Connection: keep-alive, X-Auth-Subject"},
		{"Connection: authorization"},
		{"X-Envoy-Auth-Headers-To-Remove: x-auth-subject"},
	} {
		for target, want := range map[string]map[string][]string{
			"/any":    {"x-auth-subject": {"alice"}, "x-auth-scopes": {"a b"}, "x-auth-method": {"api_key"}, "x-auth-key-id": id},
			"/public": {"x-auth-method": {"anonymous"}},
		} {
			lines := spoof
			if target == "/any" {
				lines = append(slices.Clone(spoof), bearer(key))
			}
			before := s.arrived()
			a := s.get(target, lines...)
			if a.status == 200 {
				wantIdentity(t, lines, a.received(t), want)
			} else if a.status < 400 || a.status >= 500 || s.arrived() != before {
				t.Errorf("%s %q: %d", target, lines, a.status)
			}
		}
	}
}

// wantIdentity wants these headers, and no others whose names an upstream could
// take for one of Keyward's.
func wantIdentity(t *testing.T, sent []string, got stack.Received, want map[string][]string) {
	t.Helper()
	for name, values := range want {
		if !slices.Equal(got.Headers[name], values) {
			t.Errorf("%q: the upstream sees %s %q, want %q", sent, name, got.Headers[name], values)
		}
	}
	for name, values := range got.Headers {
		alike := strings.NewReplacer("_", "-", ".", "-", "!", "-", "~", "-", "|", "-").Replace(name)
		if strings.HasPrefix(alike, "x-auth-") && want[name] == nil {
			t.Errorf("%q: the upstream sees %s %q", sent, name, values)
		}
	}
}

// believesItselfAlone has a client claim another target. Whatever the proxy
// does to the path, it only forwards what the key may use.
func (p proxied) believesItselfAlone(t *testing.T) {
	s := newSystem(t, options{proxy: p.proxy, config: routesConfig})
	key := s.key("--name", "k", "--path", "/hello")
	s.start()
	said := []string{
		"X-Forwarded-Uri: /hello", "X-Forwarded-Method: GET", "X-Forwarded-Host: other", "X-Original-URI: /hello", "X-Original-Method: GET",
		"X-Keyward-Uri: /hello", "X-Envoy-Original-Path: /hello", "X-Rewrite-URL: /hello", "X-Auth-Code: 200",
	}
	for _, lines := range [][]string{
		said,
		append(said, "Connection: x-forwarded-uri, x-forwarded-method, x-original-uri, x-original-method"),
		append(said, "X_Forwarded_Uri: /hello", "X_Original_URI: /hello"),
	} {
		if a := s.get("/admin", append([]string{bearer(key)}, lines...)...); a.status != 403 && a.status != 400 {
			t.Errorf("%q: %d %s", lines, a.status, a.body)
		}
	}
	if n := s.arrived(); n != 0 {
		t.Fatalf("%d requests reached the upstream", n)
	}
	got := s.get("/hello", append(said, bearer(key))...).received(t)
	for _, name := range []string{"x-forwarded-uri", "x-forwarded-method", "x-original-uri", "x-original-method", "x-rewrite-url"} {
		if got.Headers[name] != nil {
			t.Errorf("the upstream sees the client's target in %s", name)
		}
	}
	for _, target := range []string{
		"/hello/../admin", "/hello/%2e%2e/admin", "/hello/.%2e/admin", "/hello%2f..%2fadmin", "/hello/..%2fadmin", "/hello/..%5cadmin", "/hello\\..\\admin",
		"/hello//../admin", "//admin/../hello", "/hello;/../admin", "/admin#/hello", "/admin%23/hello", "/admin?/hello", "/hello/%252e%252e/admin", "/admin%00/hello",
		"/%68ello", "/hell%6f/../admin", "http://api.example.com/admin", "http://api.example.com/hello", "*", "hello", "/HELLO", "/hello/./x", "/hello//x",
	} {
		a := s.get(target, bearer(key))
		if a.status != 200 {
			continue
		}
		got := a.received(t).Path
		path, _, _ := strings.Cut(got, "?")
		if path != "/hello" && !strings.HasPrefix(path, "/hello/") || strings.ContainsAny(path, "%\\;#") || strings.Contains(path, "..") {
			t.Errorf("%s reached the upstream as %s", target, got)
		}
	}
}
