package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// everyWord has all words of paths.allow, and a route that no other spelling
// may reach.
const everyWord = `
paths: {allow: [semicolon, encoded-slash, encoded-percent, encoded-unreserved, empty-segment, encoded-delimiter, encoded-backslash, look-alike, non-utf8]}
routes: [{path: /admin, scopes: [admin]}, {path: "/users/{subject}"}]
log: {level: debug, decisions: all}
`

// realPaths are paths of real APIs that are refused by default: Matrix,
// GitLab, S3, WebDAV, wikis, and links of pages in Latin-1 and Shift-JIS.
var realPaths = []string{
	"/_matrix/client/v3/directory/room/%23general%3Aexample.org", "/tags/c%23/info", "/bucket/what%3F.png", "/files/C%3A%5Ctemp%5Ca.txt",
	"/wiki/%E4%BD%95%EF%BC%9F", "/posts/to-be-continued%E2%80%A6", "/p/100%EF%BC%85", "/caf%E9", "/p/%93%FA%96%7B", "/p/%83%5C.html",
	"/projects/group%2Fname", "/p/100%25", "/map;v=1/x", "/proxy/https://example.com/a",
}

// refusedEscapes are those that a proxy refuses as shipped.
var refusedEscapes = map[string][]string{
	"": {"%2F", "%5C"}, "envoy-issuer": {"%2F", "%5C"}, "envoy-http": {"%2F", "%5C"},
	"envoy-module": {"%2F", "%5C"}, "envoy-module-alone": {"%2F", "%5C"},
	"traefik": {"%2F", "%5C", "%3B", "%25", "%3F", "%23"},
}

// TestRealPaths sends the paths through each proxy as shipped. Each is refused
// by default. With all words on, the upstream gets what was judged, unless the
// proxy itself refuses the path.
func TestRealPaths(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		strict := startSystem(t, options{proxy: proxy, config: "default: {auth: none}\n"})
		for _, target := range realPaths {
			if merged := strings.HasPrefix(target, "/proxy/") && mergesSlashes(proxy); merged {
				continue // the proxy makes a plain path of it
			}
			if a := strict.get(target); a.status == 200 {
				t.Errorf("by default %s: %d", target, a.status)
			}
		}
		if n := strict.arrived(); n > 0 {
			t.Errorf("by default %d requests reached the upstream", n)
		}
		s := newSystem(t, options{proxy: proxy, config: everyWord})
		s.realPaths(s.key("--name", "k", "--user", "alice"), refusedEscapes[proxy])
	})
}

func mergesSlashes(proxy string) bool {
	return proxy == "" || strings.HasPrefix(proxy, "envoy") || proxy == "traefik"
}

// realPaths starts the system and sends the paths with all words on. Those with
// one of the escapes get the proxy's own 400.
func (s *system) realPaths(key string, refused []string) {
	s.t.Helper()
	s.start()
	for _, target := range realPaths {
		a := s.get(target, bearer(key))
		switch own := slices.ContainsFunc(refused, func(escape string) bool { return strings.Contains(target, escape) }); {
		case own && (a.status != 400 || a.reason() != ""):
			s.t.Errorf("%s: %d %s, want the proxy's own 400", target, a.status, a.reason())
		case !own && a.status != 200:
			s.t.Errorf("%s: %d %s", target, a.status, a.reason())
		case !own && a.received(s.t).Path != target && !strings.HasPrefix(target, "/proxy/"):
			s.t.Errorf("%s reached the upstream as %s", target, a.received(s.t).Path)
		}
	}
	arrived := s.arrived()
	for _, target := range []string{
		"/admin%23x", "/admin%3Fx", "/x%5C..%5Cadmin", "/%5Cadmin", "/%EF%BD%81dmin", "/%EF%BC%8Fadmin/", "/adm%E9in/../admin", "/%FFadmin", "/adm%C1%A9n", "/%82%81dmin",
		"/files/...", "/p/%C0%AE%C0%AE/admin", "/p/..%2Fadmin", "/p/%E2%80%A6/x", "/admin;x", "/users/bob", "/users/alice%2Fx", "/users/bob%3F/alice", "/users/alice;x",
	} {
		if a := s.get(target, bearer(key)); a.status == 200 {
			s.t.Errorf("%s reached the upstream as %s", target, a.received(s.t).Path)
		}
	}
	if n := s.arrived() - arrived; n != 0 {
		s.t.Errorf("%d requests for other paths reached the upstream", n)
	}
	for _, target := range []string{"/users/alice", "/users/alice/files/c%23", "/users/%61lice"} {
		if a := s.get(target, bearer(key)); a.status != 200 && !(strings.Contains(target, "%23") && slices.Contains(refused, "%23")) {
			s.t.Errorf("%s: %d %s", target, a.status, a.reason())
		}
	}
	s.judgedArrived()
}

// judgedArrived wants the paths that Keyward allowed, according to its log, to
// be those that reached the upstream, in order.
func (s *system) judgedArrived() {
	s.t.Helper()
	var judged, passed []string
	for line := range strings.Lines(s.decisionLog()) {
		var decision struct{ Decision, Path string }
		if json.Unmarshal([]byte(line), &decision) == nil && decision.Decision == "allow" {
			judged = append(judged, decision.Path)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.received {
		path, _, _ := strings.Cut(r.Path, "?")
		passed = append(passed, path)
	}
	if !slices.Equal(judged, passed) {
		s.t.Errorf("allowed: %q\nat the upstream: %q", judged, passed)
	}
}

// TestEscapedSlashesThroughEnvoy changes the line of the shipped files that
// docs/proxies.md names. The line alone lets nothing through; with the words,
// all of the paths pass.
func TestEscapedSlashesThroughEnvoy(t *testing.T) {
	for _, proxy := range []string{"", "envoy-http"} {
		t.Run("proxy "+proxy, func(t *testing.T) {
			strict := startSystem(t, options{proxy: proxy, config: "default: {auth: none}\n", envoy: keepEscapedSlashes})
			for _, target := range []string{"/projects/group%2Fname", "/p/%5Cx"} {
				if a := strict.get(target); a.status != 400 || a.reason() != "ambiguous_path" {
					t.Errorf("with the line alone %s: %d %s", target, a.status, a.reason())
				}
			}
			s := newSystem(t, options{proxy: proxy, config: everyWord, envoy: func(t *testing.T, c *stack.EnvoyConfig) {
				keepEscapedSlashes(t, c)
				all := c.Find("all")
				all["routes"] = append([]any{object{"match": object{"prefix": "/picked/"}, "direct_response": object{"status": 418}}}, all["routes"].([]any)...)
			}})
			key := s.key("--name", "k", "--user", "alice")
			s.realPaths(key, nil)
			if below, escaped := s.get("/picked/x", bearer(key)), s.get("/picked%2Fx", bearer(key)); below.status != 418 || escaped.status != 200 {
				t.Errorf("a route of Envoy: %d, with an escaped slash %d", below.status, escaped.status)
			}
		})
	}
}

func keepEscapedSlashes(t *testing.T, c *stack.EnvoyConfig) {
	manager := c.Find("envoy.filters.network.http_connection_manager")["typed_config"].(object)
	if manager["path_with_escaped_slashes_action"] != "REJECT_REQUEST" {
		t.Fatal("docs/proxies.md names a line that the file does not have")
	}
	manager["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
}

// TestEnvoyLogsEscapedSlashes: an operator finds the refusal in Envoy's log by
// the details that docs/proxies.md names.
func TestEnvoyLogsEscapedSlashes(t *testing.T) {
	s := startSystem(t, options{config: everyWord})
	if a := s.get("/projects/group%2Fname"); a.status != 400 || a.reason() != "" {
		t.Fatalf("%d %s", a.status, a.reason())
	}
	s.Stop() // which writes the log
	if log := fullLog(s.Proxy); !strings.Contains(log, "path_normalization_failed") {
		t.Errorf("Envoy's log: %s", log)
	}
}

// TestEncodedCharactersThroughTraefik does the same with Traefik's lines.
func TestEncodedCharactersThroughTraefik(t *testing.T) {
	s := newSystem(t, options{proxy: "traefik", config: everyWord, text: func(text string) string {
		for _, name := range []string{"Slash", "BackSlash", "Semicolon", "Percent", "QuestionMark", "Hash"} {
			line := fmt.Sprintf("allowEncoded%s: ", name)
			if strings.Contains(text, "encodedCharacters:") && !strings.Contains(text, line+"false") {
				t.Fatalf("the shipped file has no %sfalse", line)
			}
			text = strings.ReplaceAll(text, line+"false", line+"true")
		}
		return text
	}})
	s.realPaths(s.key("--name", "k", "--user", "alice"), nil)
}
