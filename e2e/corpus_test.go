package e2e

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/vectors"
)

// TestCorpus sends all vectors through each proxy, the real one, and wants the
// same verdict from all: whichever asks, one core decides. What a proxy makes
// different, by refusing or rewriting a request before it asks, stands in
// testdata/differences.txt with its reason.
func TestCorpus(t *testing.T) {
	known := readDifferences(t)
	for _, name := range []string{"", "envoy-http", "nginx", "haproxy", "caddy", "traefik"} {
		called := name
		if name == "" {
			called = "envoy"
		}
		t.Run(called, func(t *testing.T) {
			c := &corpus{t: t, proxy: called, known: known}
			s := newSystem(t, options{proxy: name, config: strings.Replace(allSources, "{header:", "{basic_key_usernames: [haplo], header:", 1)})
			keys := map[string]string{"": s.key("--name", "k")}
			for _, v := range vectors.Paths(t) {
				if keys[v.Prefix] == "" {
					keys[v.Prefix] = s.key("--name", "path "+v.Prefix, "--path", v.Prefix)
				}
			}
			s.start()
			c.paths(s, keys)
			c.authorizations(s, keys[""])
			s.judgedAsPassed()
			known.used(t, called)
		})
	}
}

// corpus is one proxy's run.
type corpus struct {
	t     *testing.T
	proxy string
	known *differences
}

func (c *corpus) paths(s *system, keys map[string]string) {
	for _, v := range vectors.Paths(c.t) {
		if strings.ContainsAny(v.Target, "\r\n") {
			continue // it is another request, or more than one, to any HTTP server
		}
		a, err := s.send("GET", "GET "+v.Target+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+bearer(keys[v.Prefix])+"\r\n\r\n")
		if err != nil {
			c.t.Errorf("%q: %v", v.Target, err)
			continue
		}
		want := map[string]string{"allow": "200", "deny": "403 path_not_allowed", "deny_ambiguous": "400 ambiguous_path"}[v.Expect]
		got := verdict(a)
		if a.status == 200 {
			if path := a.received(c.t).Path; path != v.Target {
				got = "200 rewritten"
				c.inside(v, path)
			}
		}
		c.compare("paths", fmt.Sprintf("%q in %s", v.Target, v.Prefix), want, got)
	}
}

// inside wants a rewritten path to be one that all servers read alike, and inside the key's.
func (c *corpus) inside(v vectors.Path, target string) {
	pattern, err := authz.ParsePattern(v.Prefix, authz.PathRules{})
	if err != nil {
		c.t.Fatal(err)
	}
	path, err := authz.ParsePath(target, authz.PathRules{})
	if err != nil || !pattern.Matches(path) {
		c.t.Errorf("%q came to the upstream as %q, which is not inside %s (%v)", v.Target, target, v.Prefix, err)
	}
}

func (c *corpus) authorizations(s *system, key string) {
	for _, v := range vectors.Authorizations(c.t) {
		v, real := withRealKey(v, key)
		raw := "GET " + v.Target + " HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"
		another := false
		for _, h := range v.Headers {
			raw += h[0] + ": " + h[1] + "\r\n"
			another = another || strings.ContainsAny(h[1], "\r\n") || h[0] == "transfer-encoding"
		}
		if another {
			continue // another request, to any HTTP server
		}
		a, err := s.send("GET", raw+"\r\n")
		if err != nil {
			c.t.Errorf("%s: %v", v.Why, err)
			continue
		}
		if a.status == 200 && findText(a.received(c.t), key) != "" {
			c.t.Errorf("%s %.200q: the key came to the upstream", v.Why, v.Headers)
		}
		want, got := wanted(v.Expect, real), verdict(a)
		if want == "401 unknown" && slices.Contains([]string{"401 invalid_token", "401 unknown_key", "401 wrong_password"}, got) {
			got = want
		}
		c.compare("authorization", fmt.Sprintf("%s %.120q %s", v.Why, v.Headers, v.Target), want, got)
	}
}

func wanted(expect string, real bool) string {
	switch expect {
	case "none":
		return "401 no_credential"
	case "deny_malformed", "deny_too_large":
		return "401 malformed_credential"
	case "deny_ambiguous":
		return "401 ambiguous_credential"
	case "deny_unsupported":
		return "401 unsupported_credential"
	}
	if real {
		return "200"
	}
	return "401 unknown"
}

// verdict is the status and Keyward's reason; "own" where the proxy itself
// refuses, whatever it calls that, or just hangs up.
func verdict(a answer) string {
	switch {
	case a.status == 200:
		return "200"
	case a.reason() != "":
		return fmt.Sprint(a.status, " ", a.reason())
	default:
		return "own"
	}
}

func (c *corpus) compare(part, what, want, got string) {
	c.t.Helper()
	if want == got {
		return
	}
	d := difference{c.proxy, part, want, got}
	if _, known := c.known.reasons[d]; !known {
		c.t.Errorf("%s: %s, want %s: no line %q in testdata/differences.txt", what, got, want, d)
		return
	}
	c.known.met[d] = true
}

// difference is that a proxy has one verdict come out as another.
type difference struct{ proxy, part, want, got string }

func (d difference) String() string {
	return strings.Join([]string{d.proxy, d.part, d.want, d.got}, " | ")
}

type differences struct {
	reasons map[difference]string
	met     map[difference]bool
}

// readDifferences reads the table. No line may say that what must be refused is
// let in as it came.
func readDifferences(t *testing.T) *differences {
	t.Helper()
	file, err := os.Open("testdata/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all := &differences{map[difference]string{}, map[difference]bool{}}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text := lines.Text()
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		fields := strings.Split(text, " | ")
		if len(fields) != 5 || fields[3] == "200" || fields[4] == "" {
			t.Fatalf("differences.txt: %q: want proxy | part | verdict | the proxy's | why, and never 200 in the fourth place", text)
		}
		all.reasons[difference{fields[0], fields[1], fields[2], fields[3]}] = fields[4]
	}
	return all
}

// used fails for each line that nothing needs any more.
func (d *differences) used(t *testing.T, proxy string) {
	t.Helper()
	for line := range d.reasons {
		if line.proxy == proxy && !d.met[line] {
			t.Errorf("differences.txt: %q is not the case", line)
		}
	}
}
