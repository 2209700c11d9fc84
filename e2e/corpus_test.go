package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/authz/urlpath"
	"keyward/internal/vectors"
)

// TestCorpus sends all vectors through each real proxy, and wants the same
// verdict from all, since one core decides for all of them.
// testdata/differences.txt lists the verdicts that a proxy changes, because it
// refuses or rewrites a request before it asks, with the reasons. The rest of
// the corpus are the transcripts (examples_test.go), which use the same table.
func TestCorpus(t *testing.T) {
	throughProxies(t, vectorsThrough, append(overHTTP, "envoy-module-alone")...)
}

func vectorsThrough(t *testing.T, proxy string) {
	c := &corpus{t: t, known: readDifferences(t), keys: map[string]string{}}
	c.system = newSystem(t, options{proxy: proxy, config: strings.Replace(allSources, "{header:", "{basic_key_usernames: [haplo], header:", 1)})
	unrestricted := c.key("--name", "k")
	for _, v := range vectors.Paths(t) {
		if c.keys[v.Prefix] == "" {
			c.keys[v.Prefix] = c.key("--name", "path "+v.Prefix, "--path", v.Prefix)
		}
	}
	c.start()
	c.paths()
	c.authorizations(unrestricted)
	c.judgedArrived()
	c.keepsKeys(unrestricted)
	c.known.used(t, proxy, "paths")
	c.known.used(t, proxy, "authorization")
}

// corpus is the run for one proxy.
type corpus struct {
	*system
	t     *testing.T
	known *differences
	keys  map[string]string // path → a key for it alone
}

// paths sends each target as it is, even if it ends the request line: the rest
// is then a header, or another request.
func (c *corpus) paths() {
	for _, v := range vectors.Paths(c.t) {
		what := fmt.Sprintf("%q in %s", v.Target, v.Prefix)
		a, got := c.verdict(what, "GET "+v.Target+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+bearer(c.keys[v.Prefix])+"\r\n\r\n")
		if got == "200" {
			target := a.received(c.t).Path
			if got = upstreamVerdict(v.Target, target); got != "200" {
				c.inside(v, target)
			}
		}
		want := map[string]string{"allow": "200", "deny": "403 path_not_allowed", "deny_ambiguous": "400 ambiguous_path"}[v.Expect]
		c.compare("paths", what, want, got)
	}
}

// inside wants a rewritten path to be unambiguous, and within the key's paths.
func (c *corpus) inside(v vectors.Path, target string) {
	pattern, err := urlpath.ParsePattern(v.Prefix, urlpath.Rules{})
	if err != nil {
		c.t.Fatal(err)
	}
	path, err := urlpath.Parse(target, urlpath.Rules{})
	if err != nil || !pattern.Matches(path) {
		c.t.Errorf("%q reached the upstream as %q, which is not inside %s (%v)", v.Target, target, v.Prefix, err)
	}
}

// upstreamVerdict returns the verdict for a target that reached the upstream,
// by how the proxy rewrote it. Each kind of rewriting may include those before
// it.
func upstreamVerdict(sent, got string) string {
	if sent == got {
		return "200"
	}
	line, _, _ := strings.Cut(sent, " HTTP/1.1\r\n") // the request line ends there
	line = withoutHost.ReplaceAllString(line, "")
	decoded, err := url.PathUnescape(line)
	decodedGot, errGot := url.PathUnescape(got)
	switch {
	case line == got:
		return "200 path only"
	case escaped.ReplaceAllStringFunc(line, decodeUnreserved) == got:
		return "200 unreserved"
	case errors.Join(err, errGot) == nil && decoded == decodedGot:
		return "200 respelt"
	default:
		return "200 cleaned"
	}
}

var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// decodeUnreserved decodes an escape of an unreserved character (RFC 3986
// section 2.3).
func decodeUnreserved(escape string) string {
	if decoded, err := url.PathUnescape(escape); err == nil && regexp.MustCompile(`^[A-Za-z0-9._~-]$`).MatchString(decoded) {
		return decoded
	}
	return escape
}

// withoutHost matches the part of a target before its path, if the target has a
// scheme.
var withoutHost = regexp.MustCompile(`^[A-Za-z]+:(//[^/]*)?`)

// authorizations sends each line with a real key for the token, so that
// everything that is read as a credential is allowed.
func (c *corpus) authorizations(key string) {
	for _, v := range vectors.Authorizations(c.t) {
		v, real := withRealKey(v, key)
		raw := "GET " + v.Target + " HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"
		another := false
		for _, h := range v.Headers {
			raw += h[0] + ": " + h[1] + "\r\n"
			another = another || strings.ContainsAny(h[1], "\r\n") || h[0] == "transfer-encoding"
		}
		what := fmt.Sprintf("%s %.120q %s", v.Why, v.Headers, v.Target)
		if another {
			// A proxy splits, unfolds or refuses this, so it no longer tests
			// what the line is about.
			c.verdict(what, raw+"\r\n0\r\n\r\n")
			continue
		}
		want := expectedVerdict(v.Expect, real)
		_, got := c.verdict(what, raw+"\r\n")
		if want == "401 unknown" && slices.Contains([]string{"401 invalid_token", "401 unknown_key", "401 wrong_password"}, got) {
			got = want
		}
		c.compare("authorization", what, want, got)
	}
}

// withRealKey replaces the tokens of the line with the key. real is true if
// there was one.
func withRealKey(v vectors.Authorization, key string) (_ vectors.Authorization, real bool) {
	const token, bare = "mF_9.B5f-4.1JqM", "k1"
	replace := func(text, old string) string {
		real = real || strings.Contains(text, old)
		return strings.ReplaceAll(text, old, key)
	}
	v.Target = replace(v.Target, token)
	v.Headers = slices.Clone(v.Headers)
	for i, h := range v.Headers {
		v.Headers[i][1] = replace(h[1], token)
		if strings.EqualFold(h[0], "x-api-key") {
			v.Headers[i][1] = replace(v.Headers[i][1], bare)
		}
	}
	return v, real
}

func expectedVerdict(expect string, real bool) string {
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

// verdict sends a request. It returns the status and Keyward's reason, or the
// proxy's own refusal, after which nothing may have reached the upstream. Some
// proxies just close the connection, or take the request for HTTP/0.9.
func (c *corpus) verdict(what, raw string) (a answer, verdict string) {
	c.t.Helper()
	before := c.arrived()
	a, err := c.send("GET", raw)
	switch {
	case err != nil && strings.Contains(err.Error(), "malformed HTTP"):
		verdict = "own headless"
	case err != nil:
		c.t.Errorf("%s: %v", what, err)
	case a.status == 200:
		return a, "200"
	case a.reason() != "":
		verdict = fmt.Sprint(a.status, " ", a.reason())
	case a.status == 0:
		verdict = "own closed"
	default:
		verdict = fmt.Sprint("own ", a.status)
	}
	if c.arrived() != before {
		c.t.Errorf("%s: %s, but it reached the upstream", what, verdict)
	}
	return a, verdict
}

func (c *corpus) compare(part, what, want, got string) {
	c.t.Helper()
	d := difference{inTable(c.opts.proxy), part, want, got}
	if want != got && !c.known.forced(d) {
		c.t.Errorf("%s: %s, want %s: no line %q in testdata/differences.txt", what, got, want, d)
	}
}

// keepsKeys wants no request that reached the upstream to contain a key.
func (c *corpus) keepsKeys(keys ...string) {
	c.t.Helper()
	for _, key := range c.keys {
		keys = append(keys, key)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.received {
		if where := findText(r, keys...); where != "" {
			c.t.Errorf("%s %.200s: the key reached the upstream in %s", r.Method, r.Path, where)
		}
	}
}
