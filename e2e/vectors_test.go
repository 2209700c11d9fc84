package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/vectors"
)

// TestPathVectors sends each target as it is. Envoy normalises, so a target is
// either refused by Envoy or judged as Envoy rewrote it; what comes to the
// upstream is what was judged, and inside the key's path.
func TestPathVectors(t *testing.T) {
	s := newSystem(t, options{config: allSources})
	keys := map[string]string{}
	all := vectors.Paths(t)
	for _, v := range all {
		if keys[v.Prefix] == "" {
			keys[v.Prefix] = s.key("--name", "path "+v.Prefix, "--path", v.Prefix)
		}
	}
	s.start()
	refused := 0
	for _, v := range all {
		a, err := s.send("GET", "GET "+v.Target+" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"+bearer(keys[v.Prefix])+"\r\n\r\n")
		if err != nil {
			t.Errorf("%q: %v", v.Target, err)
			continue
		}
		if a.status != 200 && a.reason() == "" {
			refused++
		}
		checkPath(t, v, a)
	}
	t.Logf("%d targets: %d came to the upstream, %d were refused by Envoy itself", len(all), s.arrived(), refused)
	s.judgedAsPassed()
}

// envoyRefuses are the statuses of Envoy's own refusals: 403 is for a target
// https://… over plain text, 404 for the target *, 426 for a request line that
// ends where the target does.
var envoyRefuses = []int{0, 400, 403, 404, 426}

func checkPath(t *testing.T, v vectors.Path, a answer) {
	t.Helper()
	reason := a.reason()
	switch v.Expect {
	case "allow":
		// Envoy decodes the unreserved ~ and leaves the rest as it is.
		if a.status != 200 || a.received(t).Path != strings.ReplaceAll(v.Target, "%7E", "~") {
			t.Errorf("%q in %s: %d %s %s, want it at the upstream as sent", v.Target, v.Prefix, a.status, reason, a.body)
		}
		return
	case "deny":
		if a.status != 403 || reason != "path_not_allowed" {
			t.Errorf("%q in %s: %d %s, want 403 path_not_allowed", v.Target, v.Prefix, a.status, reason)
		}
		return
	}
	switch {
	case a.status == 200:
		checkInside(t, v, a.received(t).Path)
	case reason == "" && slices.Contains(envoyRefuses, a.status):
	case a.status == 400 && reason == "ambiguous_path", a.status == 403 && reason == "path_not_allowed":
	default:
		t.Errorf("%q in %s: %d %s, want a refusal or a rewritten path", v.Target, v.Prefix, a.status, reason)
	}
}

// checkInside wants a rewritten path to be one that all servers read alike, and inside the key's.
func checkInside(t *testing.T, v vectors.Path, target string) {
	t.Helper()
	pattern, err := authz.ParsePattern(v.Prefix, authz.PathRules{})
	if err != nil {
		t.Fatal(err)
	}
	path, err := authz.ParsePath(target, authz.PathRules{})
	if err != nil || !pattern.Matches(path) {
		t.Errorf("%q came to the upstream as %q, which is not inside %s (%v)", v.Target, target, v.Prefix, err)
	}
}

// judgedAsPassed holds the paths that Keyward let through, by its log, to those
// that came to the upstream, in order.
func (s *system) judgedAsPassed() {
	s.t.Helper()
	var judged, passed []string
	for line := range strings.Lines(s.Keyward.Log()) {
		var decision struct{ Decision, Path string }
		if json.Unmarshal([]byte(line), &decision) == nil && decision.Decision == "allow" {
			judged = append(judged, decision.Path)
		}
	}
	for _, r := range s.received {
		path, _, _ := strings.Cut(r.Path, "?")
		passed = append(passed, path)
	}
	if !slices.Equal(judged, passed) {
		s.t.Errorf("let through: %q\nat the upstream: %q", judged, passed)
	}
}

// TestAuthorizationVectors sends each line, with a real key for the token, so
// that whatever is read as a credential at all is let in.
func TestAuthorizationVectors(t *testing.T) {
	s := newSystem(t, options{config: strings.Replace(allSources, "{header:", "{basic_key_usernames: [haplo], header:", 1)})
	key := s.key("--name", "k")
	s.start()
	for _, v := range vectors.Authorizations(t) {
		v, real := withRealKey(v, key)
		raw := "GET " + v.Target + " HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"
		rewritten := false
		for _, h := range v.Headers {
			raw += h[0] + ": " + h[1] + "\r\n"
			rewritten = rewritten || strings.ContainsAny(h[1], "\r\n") || h[0] == "transfer-encoding"
		}
		a, err := s.send("GET", raw+"\r\n")
		if err != nil {
			t.Errorf("%s %q: %v", v.Why, v.Headers, err)
			continue
		}
		if a.status == 200 && findText(a.received(t), key) != "" {
			t.Errorf("%s %.200q: the key came to the upstream", v.Why, v.Headers)
		}
		if rewritten {
			// Envoy splits, unfolds or refuses that: it is no longer what the line is about.
			continue
		}
		if !readAs(v.Expect, real, a) {
			t.Errorf("%s %.200q: %d %q, want it read as %s", v.Why, v.Headers, a.status, a.reason(), v.Expect)
		}
	}
}

// withRealKey puts the key in the place of the tokens that the lines use; real
// tells whether there was one.
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

func readAs(expect string, real bool, a answer) bool {
	envoyRefused := a.reason() == "" && (a.status == 400 || a.status == 431)
	switch expect {
	case "basic", "bearer", "apikey", "cookie":
		if real {
			return a.status == 200
		}
		return a.status == 401 && slices.Contains([]string{"invalid_token", "unknown_key", "wrong_password"}, a.reason())
	case "none":
		return a.status == 401 && a.reason() == "no_credential"
	case "deny_malformed", "deny_too_large":
		return envoyRefused || a.status == 401 && a.reason() == "malformed_credential"
	case "deny_ambiguous":
		return envoyRefused || a.status == 401 && a.reason() == "ambiguous_credential"
	case "deny_unsupported":
		return a.status == 401 && a.reason() == "unsupported_credential"
	default:
		return false
	}
}
