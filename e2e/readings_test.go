package e2e

import (
	"crypto/tls"
	"maps"
	"slices"
	"testing"

	"keyward/e2e/stack"
)

// everyProxy runs a test with each proxy and each shipped file.
func everyProxy(t *testing.T, test func(t *testing.T, proxy string)) {
	for _, name := range slices.Sorted(maps.Keys(proxies)) {
		t.Run("proxy "+name, func(t *testing.T) { test(t, name) })
	}
}

// TestCredentialGivenTwice: a credential next to an empty one in the same place
// is refused. nginx itself refuses two Authorization lines. Envoy merges them
// before it asks, without an empty one, and the upstream only gets the result.
func TestCredentialGivenTwice(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: routesConfig})
		key := s.key("--name", "k")
		s.start()
		want, special := map[string]int{
			"": 200, "envoy-http": 200, "envoy-issuer": 200, "envoy-module": 200, "envoy-module-alone": 200, "nginx": 400, "nginx-plain": 400, "nginx-issuer": 400,
		}[proxy]
		if !special {
			want = 401
		}
		for _, lines := range [][]string{{bearer(key), "Authorization:"}, {"Authorization:", bearer(key)}} {
			if a := s.get("/any", lines...); a.status != want {
				t.Errorf("%q: %d %s, want %d", lines, a.status, a.reason(), want)
			}
		}
		before := s.arrived()
		for _, lines := range [][]string{
			{"X-API-Key: " + key, "X-API-Key:"},
			{"X-API-Key:", "X-API-Key: " + key},
			{"Cookie: session=" + key + "; session="},
			{"Cookie: session=", "Cookie: session=" + key},
		} {
			if a := s.get("/any", lines...); a.status != 401 {
				t.Errorf("%q: %d %s", lines, a.status, a.reason())
			}
		}
		if n := s.arrived() - before; n != 0 {
			t.Errorf("%d requests reached the upstream", n)
		}
	})
}

// hostsConfig has an open host with letters that Unicode folds other characters
// to.
const hostsConfig = `
routes:
- {name: open, path: /, hosts: [kiosk.example.com, "*.kiosk.example.com"], auth: none}
default: {auth: required}
`

// kioskLookalikes are hosts outside ASCII that strings.ToLower or NFKC turns
// into kiosk.example.com.
var kioskLookalikes = []string{"\u212aiosk.example.com", "k\u0130osk.example.com", "\uff4biosk.example.com", "kio\u017fk.example.com", "a.\u212aiosk.example.com"}

// TestHostsOutsideASCII: no such host matches the route's, whether the proxy or
// Keyward refuses it.
func TestHostsOutsideASCII(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := startSystem(t, options{proxy: proxy, config: hostsConfig})
		for _, host := range kioskLookalikes {
			a, err := s.send("GET", "GET /x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if err != nil || a.status == 200 {
				t.Errorf("%s: %d (%v)", host, a.status, err)
			}
		}
		if n := s.arrived(); n != 0 {
			t.Errorf("%d requests reached the upstream", n)
		}
		if a, err := s.send("GET", "GET /x HTTP/1.1\r\nHost: KIOSK.example.com:80\r\nConnection: close\r\n\r\n"); err != nil || a.status != 200 {
			t.Errorf("the host itself: %d (%v)", a.status, err)
		}
	})
}

// TestAuthorityOutsideASCII is the same over HTTP/2, where Traefik passes any
// authority on to Keyward, and another one to the upstream.
func TestAuthorityOutsideASCII(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, dir, "edge")
	opts := options{proxy: "traefik", config: hostsConfig}
	port := proxies[opts.proxy].tls(t, &opts, a.issue(t, dir, "kiosk.example.com"))
	s := startSystem(t, opts)
	get := func(authority string) answer {
		conn, err := tls.Dial("tcp", stack.Address(port), &tls.Config{InsecureSkipVerify: true, ServerName: "kiosk.example.com", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		return s.sendHTTP2On(conn, http2Request{fields: []string{":scheme: https", ":path: /x", ":authority: " + authority}})
	}
	for _, authority := range kioskLookalikes {
		if a := get(authority); a.status == 200 {
			t.Errorf("%s: %d", authority, a.status)
		}
	}
	if n := s.arrived(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	if a := get("kiosk.example.com"); a.status != 200 {
		t.Errorf("the host itself: %d", a.status)
	}
}

// TestOtherSpellingsOfARoute: a path that Express or IIS would map to another
// route is refused, whatever a proxy does to it first.
func TestOtherSpellingsOfARoute(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: "routes: [{path: /admin, scopes: [admin]}, {path: /public, auth: none}]\n"})
		key := s.key("--name", "k")
		s.start()
		for _, target := range []string{
			"/ADMIN/users", "/Admin", "/admin.", "/admin%20", "/admin%20/users", "/admin..%20/users", "/%20admin", "/adm%C4%B1n", "/%EF%BD%81dmin", "/%E2%93%90dmin",
			"/public/..%20", "/public/..%20/admin", "/PUBLIC/x",
		} {
			if a := s.get(target, bearer(key)); a.status == 200 {
				t.Errorf("%s: %d", target, a.status)
			}
		}
		if n := s.arrived(); n != 0 {
			t.Errorf("%d requests reached the upstream", n)
		}
		for _, target := range []string{"/wiki/Foo_Inc.", "/Wiki", "/public/Foo%20Bar."} {
			if a := s.get(target, bearer(key)); a.status != 200 {
				t.Errorf("%s: %d %s", target, a.status, a.reason())
			}
		}
	})
}
