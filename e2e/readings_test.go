package e2e

import (
	"maps"
	"slices"
	"testing"
)

// everyProxy runs a test with each proxy and each shipped file.
func everyProxy(t *testing.T, test func(t *testing.T, proxy string)) {
	for _, name := range slices.Sorted(maps.Keys(proxies)) {
		t.Run("proxy "+name, func(t *testing.T) { test(t, name) })
	}
}

// TestCarrierGivenTwice: a credential beside an empty one of the same place is
// refused. nginx refuses two Authorization lines itself. Envoy makes one of them
// before it asks, an empty one left out, and the upstream gets no more than that.
func TestCarrierGivenTwice(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		s := newSystem(t, options{proxy: proxy, config: routesConfig})
		key := s.key("--name", "k")
		s.start()
		want, special := map[string]int{"": 200, "envoy-http": 200, "nginx": 400, "nginx-plain": 400}[proxy]
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
			t.Errorf("%d requests came to the upstream", n)
		}
	})
}
