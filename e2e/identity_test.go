package e2e

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// TestSpoofedIdentityNeverArrives sends headers with which a client would
// impersonate another user, with a key, and on routes that need none.
func TestSpoofedIdentityNeverArrives(t *testing.T) {
	throughProxies(t, spoofedIdentityNeverArrives, "nginx-plain")
}

func spoofedIdentityNeverArrives(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	key := s.key("--name", "k", "--user", "alice", "--scope", "b", "--scope", "a")
	s.start()
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
		{"Connection: x-auth-subject", "x-auth-subject: evil"},
	} {
		for target, want := range map[string]map[string][]string{
			"/any":    {"x-auth-subject": {"alice"}, "x-auth-scopes": {"a b"}, "x-auth-method": {"api_key"}},
			"/public": {"x-auth-method": {"anonymous"}},
		} {
			lines := spoof
			if target == "/any" {
				lines = append(slices.Clone(spoof), bearer(key))
			}
			s.checkIdentity(target, lines, want)
		}
	}
}

// checkIdentity wants the upstream to see exactly this identity, or Envoy to
// refuse the request.
func (s *system) checkIdentity(target string, lines []string, want map[string][]string) {
	s.t.Helper()
	a := s.get(target, lines...)
	if a.status == 400 && a.reason() == "" {
		if !strings.Contains(strings.Join(lines, "\n"), "_") {
			s.t.Errorf("%s %q: Envoy refuses more than underscores", target, lines)
		}
		return
	}
	for name, values := range a.received(s.t).Headers {
		alike := strings.NewReplacer("_", "-", ".", "-").Replace(name)
		if !strings.HasPrefix(alike, "x-auth-") {
			continue
		}
		if name == "x-auth-key-id" && len(values) == 1 && strings.HasPrefix(values[0], "k_") && values[0] != "k_evil" && len(want) > 1 {
			continue // the id is not known in advance
		}
		if !slices.Equal(values, want[name]) {
			s.t.Errorf("%s %q: the upstream sees %s %q, want %q", target, lines, name, values, want[name])
		}
	}
}

// TestUnderscoresAreRemovedByKeyward disables Envoy's refusal of underscores,
// as an operator may.
func TestUnderscoresAreRemovedByKeyward(t *testing.T) {
	s := newSystem(t, options{config: routesConfig, envoy: acceptUnderscores})
	key := s.key("--name", "k", "--user", "alice")
	s.start()
	got := s.get("/any", bearer(key), "X_Auth_Subject: evil", "x_auth-subject: evil", "x_api_key: zzz", "other_header: stays").received(t)
	for name := range got.Headers {
		if strings.Contains(name, "_") && name != "other_header" {
			t.Errorf("the upstream sees %s %q", name, got.Headers[name])
		}
	}
	if got.Headers["other_header"] == nil {
		t.Error("an unrelated header was removed")
	}
}

// TestCredentialsNeverArrive searches everything that the upstream receives for
// the key.
func TestCredentialsNeverArrive(t *testing.T) {
	throughProxies(t, credentialsNeverArrive, "nginx-plain")
}

func credentialsNeverArrive(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: strings.Replace(routesConfig, "query:", "basic_key_usernames: [haplo], query:", 1)})
	key := s.key("--name", "k")
	s.start()
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("haplo:"+key))
	for _, c := range []struct {
		target string
		lines  []string
		path   string
		cookie []string
	}{
		{"/any", []string{bearer(key)}, "/any", nil},
		{"/any", []string{basic}, "/any", nil},
		{"/any", []string{"X-API-Key: " + key}, "/any", nil},
		{"/any?a=1&api_key=" + key + "&b=%2F", nil, "/any?a=1&b=%2F", nil},
		{"/any?api_key=" + key, nil, "/any", nil},
		{"/any", []string{"Cookie: a=b; session=" + key + "; c=d"}, "/any", []string{"a=b; c=d"}},
		{"/any", []string{"Cookie: a=b", "Cookie: session=" + key}, "/any", []string{"a=b"}},
		{"/any", []string{"Cookie: session=" + key}, "/any", nil},
		{"/any", []string{bearer(key), "Cookie: a=b; __Host-keyward-console=" + ownCookie + "; c=d"}, "/any", []string{"a=b; c=d"}},
		// Where no credential is needed, it is ignored but still removed.
		{"/public", []string{bearer(key), "X-API-Key: " + key, "x.api.key: " + key, "Cookie: session=" + key}, "/public", nil},
		{"/public?api_key=" + key, nil, "/public", nil},
	} {
		got := s.get(c.target, c.lines...).received(t)
		if got.Path != c.path || !slices.Equal(got.Headers["cookie"], c.cookie) {
			t.Errorf("%s %q: path %q, cookie %q; want %q, %q", c.target, c.lines, got.Path, got.Headers["cookie"], c.path, c.cookie)
		}
		if where := findText(got, key, ownCookie, strings.TrimPrefix(basic, "Authorization: Basic ")); where != "" {
			t.Errorf("%s %q: the key reached the upstream in %s", c.target, c.lines, where)
		}
	}
}

// findText returns the part of a request that contains one of the texts.
func findText(r stack.Received, texts ...string) string {
	for _, text := range texts {
		if strings.Contains(r.Path, text) {
			return "the path"
		}
		for name, values := range r.Headers {
			if strings.Contains(name, strings.ToLower(text)) || strings.Contains(strings.Join(values, "\n"), text) {
				return name
			}
		}
	}
	return ""
}

// TestTwoCredentialsAreRefused: two credentials are refused although each would
// do, and although they are equal.
func TestTwoCredentialsAreRefused(t *testing.T) { throughProxies(t, twoCredentialsAreRefused) }

func twoCredentialsAreRefused(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: routesConfig})
	one, two := s.key("--name", "one"), s.key("--name", "two")
	s.start()
	places := map[string]func(string) (line, query string){
		"Authorization": func(k string) (string, string) { return bearer(k), "" },
		"X-API-Key":     func(k string) (string, string) { return "X-API-Key: " + k, "" },
		"cookie":        func(k string) (string, string) { return "Cookie: session=" + k, "" },
		"query":         func(k string) (string, string) { return "", "api_key=" + k },
		"reserved":      func(k string) (string, string) { return "", "access_token=" + k },
	}
	for first, put := range places {
		for second, putOther := range places {
			for _, other := range []string{one, two} {
				line, query := put(one)
				otherLine, otherQuery := putOther(other)
				a := s.get("/any?"+query+"&"+otherQuery, headerLines(line, otherLine)...)
				if proxy == "nginx" && first == "Authorization" && second == first && a.status == 400 && a.reason() == "" {
					continue // it takes one Authorization line
				}
				if a.status != 401 || a.reason() != "ambiguous_credential" {
					t.Errorf("%s and %s: %d %s", first, second, a.status, a.reason())
				}
			}
		}
	}
	if n := s.arrived(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
