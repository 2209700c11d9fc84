package e2e

import (
	"strings"
	"testing"

	"keyward/e2e/stack"

	"go.yaml.in/yaml/v3"
)

// TestHeaderWithUnderscore: with the lines of docs/proxies.md, a key in the
// header api_key is accepted, and no header with an underscore becomes an
// identity.
func TestHeaderWithUnderscore(t *testing.T) {
	lines := proxyLines(t, "A header with an underscore, such as api_key", 2)
	envoy := func(t *testing.T, c *stack.EnvoyConfig) {
		acceptUnderscores(t, c)
		var filter map[string]any
		if err := yaml.Unmarshal([]byte(lines[0]), &filter); err != nil {
			t.Fatal(err)
		}
		manager := c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)
		manager["http_filters"] = append([]any{filter}, manager["http_filters"].([]any)...)
	}
	const ask = "    http-request lua.keyward unless verify\n"
	text := strings.NewReplacer(ask, lines[1]+ask).Replace
	for name, proxy := range map[string]string{"Envoy": "", "haproxy": "haproxy"} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, options{proxy: proxy, config: "credentials: {header: X-API-Key}\n", envoy: envoy, text: text})
			key := s.key("--name", "k", "--user", "alice")
			s.start()
			got := s.get("/any", "api_key: "+key, "X_Auth_Subject: root", "x-auth_subject: root").received(t)
			if subject := got.Headers["x-auth-subject"]; len(subject) != 1 || subject[0] != "alice" {
				t.Errorf("the subject is %q", subject)
			}
			for _, name := range []string{"api_key", "x-api-key", "x_auth_subject", "x-auth_subject"} {
				if got.Headers[name] != nil {
					t.Errorf("the upstream got %s", name)
				}
			}
			s.wantStatus("X-API-Key", 200, s.get("/any", "X-API-Key: "+key))
			before := s.arrived()
			s.wantStatus("none", 401, s.get("/any"))
			s.wantStatus("an empty one", 401, s.get("/any", "api_key:"))
			s.wantStatus("both", 401, s.get("/any", "api_key: "+key, "X-API-Key: "+key))
			if proxy == "haproxy" {
				s.wantStatus("twice", 401, s.get("/any", "api_key: "+key, "api_key: "+key))
			} else {
				s.wantStatus("the key second", 401, s.get("/any", "api_key: x"+key, "api_key: "+key))
			}
			s.wantStatus("another key", 401, s.get("/any", "api_key: "+key[:len(key)-1]+"_"))
			if n := s.arrived() - before; n != 0 {
				t.Errorf("%d requests reached the upstream", n)
			}
		})
	}
}

// TestQueryWithoutValues: what becomes of the rest of the query when the key is
// removed, as docs/proxies.md says.
func TestQueryWithoutValues(t *testing.T) {
	for name, c := range map[string]struct{ proxy, want string }{
		"Envoy": {"", "a=1&b=&wsdl="}, "nginx": {"nginx", "wsdl&a=1&b="}, "haproxy": {"haproxy", "wsdl&a=1&b="},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, options{proxy: c.proxy, config: "credentials: {query: key}\n"})
			key := s.key("--name", "k")
			s.start()
			if got := s.get("/any?wsdl&a=1&key=" + key + "&b=").received(t); got.Path != "/any?"+c.want {
				t.Errorf("the upstream got %s, want the query %s", got.Path, c.want)
			}
			if got := s.get("/any?wsdl", bearer(key)).received(t); got.Path != "/any?wsdl" {
				t.Errorf("without a key in the query the upstream got %s", got.Path)
			}
		})
	}
}
