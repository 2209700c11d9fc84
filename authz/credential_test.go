package authz

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"keyward/authz/urlquery"
	"keyward/internal/vectors"
)

// vectorSources are the sources that authorization.jsonl assumes.
var vectorSources = CredentialSources{
	Schemes: NewSchemeSet(SchemeBearer, SchemeBasic), Headers: []string{"x-api-key"}, Cookie: "session",
	Query: urlquery.Names{Reserved: []string{"access_token", "api_key"}},
}

func TestAuthorizationVectors(t *testing.T) {
	for _, v := range vectors.Authorizations(t) {
		r := Request{Target: v.Target}
		for _, h := range v.Headers {
			r.Headers = append(r.Headers, Header{strings.ToLower(h[0]), h[1]})
		}
		reason := vectorSources.read(&r)
		if got := readAs(&r, reason, v.Expect); got != v.Expect {
			t.Errorf("%.80q: %s, want %s (%s)", v.Headers, got, v.Expect, v.Why)
			continue
		}
		if v.Expect == "basic" && (r.credential.User != v.User || r.credential.Secret.Reveal() != v.Password) {
			t.Errorf("%s: wrong user or password", v.Why)
		}
		if v.Credential != "" && r.credential.Secret.Reveal() != v.Credential {
			t.Errorf("%s: wrong credential", v.Why)
		}
	}
}

// readAs returns the outcome in the terms of the vectors, which distinguish
// "too large" from "malformed"; both have the same reason.
func readAs(r *Request, reason Reason, expect string) string {
	switch reason {
	case MalformedCredential:
		if expect == "deny_too_large" {
			return expect
		}
		return "deny_malformed"
	case AmbiguousCredential:
		return "deny_ambiguous"
	case UnsupportedCredential:
		return "deny_unsupported"
	case NoCredential:
		return "none"
	}
	return map[CredentialScheme]string{SchemeBearer: "bearer", SchemeBasic: "basic", SchemeBare: "apikey"}[r.credential.Scheme]
}

// TestCredentialText has a line for each rule about the parts of a credential.
func TestCredentialText(t *testing.T) {
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for value, want := range map[string]Reason{
		basic("al:pw"): OK, basic("al:"): OK, basic("al:p:w"): OK, basic("a\u200db\u200c:p"): OK, basic("é:ü"): OK,
		basic("al"): MalformedCredential, basic(":pw"): MalformedCredential, basic(strings.Repeat("a", 256) + ":p"): MalformedCredential,
		basic("a\x1f:p"): MalformedCredential, basic("a\x7f:p"): MalformedCredential, basic("a\u0085:p"): MalformedCredential,
		basic("a\u202e:p"): MalformedCredential, basic("a\u2028:p"): MalformedCredential, basic("a\u2029:p"): MalformedCredential, basic("a\xff:p"): MalformedCredential,
		basic("a:p\x00"): MalformedCredential, basic("a:p\x7f"): MalformedCredential, basic("a:p\u2029"): MalformedCredential, basic("a:p\xff"): MalformedCredential,
		"Basic YTpi; x": AmbiguousCredential, "Basic YTpi, x": AmbiguousCredential, "Basic Basic YTpi": AmbiguousCredential, "Basic bearer x": AmbiguousCredential,
		"Digest x": UnsupportedCredential, "Basicx YTpi": UnsupportedCredential, "Bearers x": UnsupportedCredential, "Digest x\x80": MalformedCredential, "Digest x\x01": MalformedCredential,
	} {
		if _, got := vectorSources.parseAuthorization(value); got != want {
			t.Errorf("Authorization %.60q: %s, want %s", value, got, want)
		}
	}
	long := strings.Repeat("k", maxCredential)
	for value, want := range map[string]Reason{
		long: OK, long + "k": MalformedCredential, "k=": OK, "=": MalformedCredential, "k\x80": MalformedCredential, "a b": MalformedCredential,
		"a,b": AmbiguousCredential, "a;b": AmbiguousCredential,
	} {
		if _, got := vectorSources.parseHeader(value); got != want {
			t.Errorf("key %.20q: %s, want %s", value, got, want)
		}
		if _, got := vectorSources.parseCookie(value); got != want && value != "a b" { // two words in a cookie are two tokens
			t.Errorf("cookie %.20q: %s, want %s", value, got, want)
		}
	}
}

func TestQuerySource(t *testing.T) {
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer), Query: urlquery.Names{Credential: []string{"api_key"}, Reserved: []string{"access_token", "api_key"}}}
	tests := []struct {
		target string
		want   Reason
	}{
		{"/?api_key=k1", OK},
		{"/?a=b&api_key=k1&c", OK},
		{"/", NoCredential},
		{"/?api_key=", NoCredential},
		{"/?api_key", NoCredential},
		{"/?access_token=k1", NoCredential},
		{"/?API_KEY=k1", NoCredential},
		{"/?api_key=k1&api_key=k1", AmbiguousCredential},
		{"/?api_key=k1&access_token=k2", AmbiguousCredential},
		{"/?access_token=k1&access_token=k2", AmbiguousCredential},
		{"/?api%5fkey=k1", AmbiguousCredential},
		{"/?%61pi_key=k1", AmbiguousCredential},
		{"/?a=b;api_key=k1", AmbiguousCredential},
		{"/?+api_key=k1", AmbiguousCredential},
		{"/?%20api_key=k1", AmbiguousCredential},
		{"/?api_key=k1;a=b", AmbiguousCredential},
		{"/?api_key=a%20b", MalformedCredential},
		{"/?access_token=x;api_key=k1", AmbiguousCredential},
		{"/?api_key=a,b", AmbiguousCredential},
	}
	for _, test := range tests {
		r := Request{Target: test.target}
		if got := sources.read(&r); got != test.want {
			t.Errorf("%s: %s, want %s", test.target, got, test.want)
		}
	}
	for _, target := range []string{"/?api%5fkey=k1", "/?a=b;api_key=k1"} {
		off := CredentialSources{Schemes: NewSchemeSet(SchemeBearer), Query: urlquery.Names{Reserved: []string{"api_key"}}}
		r := Request{Target: target, Headers: []Header{{"authorization", "Bearer t"}}}
		if got := off.read(&r); got != AmbiguousCredential {
			t.Errorf("query off, token and %s: %s, want ambiguous_credential", target, got)
		}
	}
}

func TestDisabledSchemesAreUnsupported(t *testing.T) {
	for value, enabled := range map[string]CredentialScheme{"Bearer abc": SchemeBasic, "Basic YTpi": SchemeBearer} {
		r := Request{Headers: []Header{{"authorization", value}}}
		if got := (&CredentialSources{Schemes: NewSchemeSet(enabled)}).read(&r); got != UnsupportedCredential {
			t.Errorf("%s with another scheme enabled: %s, want unsupported_credential", value, got)
		}
	}
	nameless := Request{Target: "/?=k", Headers: []Header{{"cookie", "=k"}, {"", "k"}}}
	if got := (&CredentialSources{}).read(&nameless); got != NoCredential {
		t.Errorf("nothing enabled, and values without names: %s, want no_credential", got)
	}
	if _, found := cutCookies(&nameless, ""); found || len((&CredentialSources{}).Query.Present(nameless.Target)) > 0 {
		t.Error("nothing is enabled, but a query parameter is removed")
	}
	blank := Request{Headers: []Header{{"cookie", "session="}, {"authorization", "Bearer abc"}}}
	if got := (&CredentialSources{Schemes: NewSchemeSet(SchemeBasic), Cookie: "session"}).read(&blank); got != UnsupportedCredential {
		t.Errorf("a blank cookie and a token, with bearer off: %s, want unsupported_credential", got)
	}
	r := Request{Headers: []Header{{"cookie", "session=abc"}}}
	if got := (&CredentialSources{Cookie: "session"}).read(&r); got != OK {
		t.Errorf("the cookie with bearer off: %s, want ok", got)
	}
}

func TestCutCookie(t *testing.T) {
	tests := []struct{ line, rest string }{
		{"session=s", ""},
		{"a=1; session=s; b=2", "a=1; b=2"},
		{"session=s;session=t; a=1", "a=1"},
		{"session =s; a=1", "a=1"},
		{"session=s; a=\xff; b=\x01; c=é", "c=é"},
		{"xsession=s", "xsession=s"},
		{"a=1;b=2", "a=1;b=2"},
	}
	for _, test := range tests {
		r := Request{Headers: []Header{{"cookie", test.line}}}
		rest, found := cutCookies(&r, vectorSources.Cookie)
		if !found {
			rest = test.line
		}
		if rest != test.rest {
			t.Errorf("%q: left %q, want %q", test.line, rest, test.rest)
		}
	}
}

func TestCutCookieOfSeveralLines(t *testing.T) {
	r := Request{Headers: []Header{{"cookie", "a=1; session="}, {"x", "session=s"}, {"cookie", "session=s; b=2"}}}
	if rest, found := cutCookies(&r, vectorSources.Cookie); !found || rest != "a=1; b=2" {
		t.Errorf("left %q, %v", rest, found)
	}
}

// FuzzAuthorization: an accepted value follows the grammar, and parses to the
// same credential again.
func FuzzAuthorization(f *testing.F) {
	for _, v := range vectors.Authorizations(f) {
		for _, h := range v.Headers {
			f.Add(h[1])
		}
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, reason := vectorSources.parseAuthorization(value)
		if reason != OK {
			if c != (Credential{}) {
				t.Fatalf("%s, but a credential was returned", reason)
			}
			return
		}
		secret := c.Secret.Reveal()
		switch c.Scheme {
		case SchemeBearer:
			if !isToken68(secret) || len(secret) > maxCredential {
				t.Fatalf("accepted a token that is not a token68")
			}
			if again, reason := vectorSources.parseAuthorization("Bearer " + secret); reason != OK || again != c {
				t.Fatalf("the token parses differently the second time: %s", reason)
			}
		case SchemeBasic:
			if c.User == "" || strings.Contains(c.User, ":") || !utf8.ValidString(c.User) || len(c.User) > maxUser {
				t.Fatalf("accepted the user %q", c.User)
			}
		default:
			t.Fatalf("accepted a credential with scheme %d", c.Scheme)
		}
	})
}

// FuzzSources never panics, and never returns a credential if two places have
// one.
func FuzzSources(f *testing.F) {
	f.Add("Bearer a", "", "session=b", "/?api_key=c")
	f.Add("", "k1", "", "/")
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer, SchemeBasic), Headers: []string{"x-api-key"}, Cookie: "session", Query: urlquery.Names{Credential: []string{"api_key"}}}
	f.Fuzz(func(t *testing.T, authorization, key, cookie, target string) {
		r := Request{Target: target, Headers: []Header{{"authorization", authorization}, {"x-api-key", key}, {"cookie", cookie}}}
		reason := sources.read(&r)
		present := 0
		for _, value := range []string{authorization, key} {
			if strings.Trim(value, " \t") != "" {
				present++
			}
		}
		if present > 1 && reason != AmbiguousCredential {
			t.Fatalf("two credentials: %s", reason)
		}
		if reason == OK && r.credential.Scheme == SchemeNone {
			t.Fatal("ok without a credential")
		}
	})
}

// FuzzCheckKey: CheckKey accepts a key for a key file exactly if every place of
// a request can carry it.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"kw_abc", "7|AbC", "a b", "a\tb", "é", "\x00", "a,b", "a;b", "=", "ab==", "a=b", "", "\xff", "a\u200db", strings.Repeat("x", 8192), strings.Repeat("x", 8193), strings.Repeat("|", 6142), strings.Repeat("|", 6143)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		_, bearer := vectorSources.parseAuthorization("Bearer " + key)
		_, header := vectorSources.parseHeader(key)
		_, cookie := vectorSources.parseCookie(key)
		c, basic := vectorSources.parseAuthorization("Basic " + base64.StdEncoding.EncodeToString([]byte("k:"+key)))
		carried := func(c Credential, r Reason) bool { return r == OK && c.Secret.Reveal() == key }
		for place, reason := range map[string]Reason{"Bearer": bearer, "header": header, "cookie": cookie} {
			if fit := CheckKey(key, false) == nil; fit && reason != OK {
				t.Errorf("%q can't be carried in %s: %s", key, place, reason)
			} else if c, again := vectorSources.parseHeader(key); !fit && carried(c, again) {
				t.Errorf("%q is accepted from a request", key)
			}
		}
		if fit := CheckKey(key, true) == nil; key != "" && fit != (carried(c, basic) || CheckKey(key, false) == nil) {
			t.Errorf("%q in Basic: %v, %s", key, fit, basic)
		}
		if err := CheckKey(key, false); err != nil && len(key) > 20 && strings.Contains(err.Error(), key) {
			t.Errorf("the error quotes the key: %v", err)
		}
	})
}

// TestTarget: a credential knows the request that it was presented for, and
// Bind allocates nothing.
func TestTarget(t *testing.T) {
	if c := new(Credential); c.Target() != (Target{}) || c.Scratch() != nil {
		t.Errorf("without a request: %+v, %p", c.Target(), c.Scratch())
	}
	r := Request{Method: "POST", Scheme: "https", Host: "api.example.com:8443", Target: "/a%2Fb?api_key=k", Peer: "192.0.2.1:4711"}
	c := &r.credential
	c.Bind(&r)
	if got, want := c.Target(), (Target{"POST", "https", "api.example.com:8443", "/a%2Fb"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if c.Client != "192.0.2.1:4711" || c.Scratch() != &r.principal {
		t.Errorf("client %q, scratch %p", c.Client, c.Scratch())
	}
	w := newFakeDeps()
	w.verify = func(c *Credential) (*Principal, error) {
		if got, want := c.Target(), (Target{"GET", "https", "api.example.com", "/a"}); got != want {
			t.Errorf("the verifier got %+v, want %+v", got, want)
		}
		return alice(), nil
	}
	checked := &Request{Method: "GET", Scheme: "https", Host: "api.example.com", Target: "/a?q=1", Headers: []Header{{"authorization", "Bearer t"}}}
	if d := w.checker(t).Check(t.Context(), checked); d.Reason != OK {
		t.Error(d.Reason)
	}
	if n := testing.AllocsPerRun(10, func() { c.Bind(&r); _ = c.Target() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.Reset()
	if got := c.Target(); got != (Target{}) {
		t.Errorf("after Reset: %+v", got)
	}
}
