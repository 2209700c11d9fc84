package authz

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"keyward/authz/urlquery"
)

// TestCredentialGivenTwice: two header lines, cookie pairs or parameters count
// as two, even if they are empty or equal.
func TestCredentialGivenTwice(t *testing.T) {
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer, SchemeBasic), Headers: []string{"x-api-key", "api-key"}, Cookie: "session", Protocol: "key.", Query: urlquery.Names{Credential: []string{"key", "code"}}}
	for _, test := range []struct {
		target  string
		headers []Header
		want    Reason
	}{
		{"/", []Header{{"authorization", "Bearer k"}}, OK},
		{"/", []Header{{"authorization", "Bearer k"}, {"authorization", ""}}, AmbiguousCredential},
		{"/", []Header{{"authorization", " \t"}, {"authorization", "Bearer k"}}, AmbiguousCredential},
		{"/", []Header{{"authorization", ""}, {"authorization", ""}}, AmbiguousCredential},
		{"/", []Header{{"authorization", ""}}, NoCredential},
		{"/", []Header{{"x-api-key", "k"}, {"x-api-key", ""}}, AmbiguousCredential},
		{"/", []Header{{"x-api-key", ""}, {"x-api-key", "k"}}, AmbiguousCredential},
		{"/", []Header{{"x-api-key", ""}}, NoCredential},
		{"/", []Header{{"cookie", "session=k; session="}}, AmbiguousCredential},
		{"/", []Header{{"cookie", "session="}, {"cookie", "a=b; session=k"}}, AmbiguousCredential},
		{"/", []Header{{"cookie", "a=b"}, {"cookie", "session=k"}}, OK},
		{"/", []Header{{"cookie", "session="}}, NoCredential},
		{"/?key=k", nil, OK},
		{"/?key=k&key=", nil, AmbiguousCredential},
		{"/?key&a=b&key=k", nil, AmbiguousCredential},
		{"/?key=", nil, NoCredential},
		{"/", []Header{{"x-api-key", "k"}, {"api-key", "k"}}, AmbiguousCredential},
		{"/", []Header{{"sec-websocket-protocol", "key.k, key."}}, AmbiguousCredential},
		{"/", []Header{{"sec-websocket-protocol", "key.k"}, {"sec-websocket-protocol", "chat,key.k"}}, AmbiguousCredential},
		{"/", []Header{{"sec-websocket-protocol", "chat"}, {"sec-websocket-protocol", "key.k"}}, OK},
		{"/", []Header{{"sec-websocket-protocol", "key."}}, NoCredential},
		{"/?key=k&code=k", nil, AmbiguousCredential},
		// Of several places, only one is not blank.
		{"/?key=&code=k", []Header{{"x-api-key", ""}, {"sec-websocket-protocol", "key."}}, OK},
		{"/", []Header{{"x-api-key", ""}, {"api-key", "k"}}, OK},
		{"/", []Header{{"api-key", "k"}, {"sec-websocket-protocol", "key.k"}}, AmbiguousCredential},
		{"/?key=", []Header{{"authorization", ""}, {"x-api-key", "k"}, {"cookie", "session="}}, OK},
		{"/?key=k", []Header{{"x-api-key", "k"}}, AmbiguousCredential},
	} {
		r := Request{Target: test.target, Headers: test.headers}
		if got := sources.read(&r); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.target, test.headers, got, test.want)
		}
	}
}

// readOne returns how the sources read a request with one header, or with a
// query.
func readOne(s *CredentialSources, name, value string) (Credential, Reason) {
	r := Request{Target: "/", Headers: []Header{{name, value}}}
	if name == "query" {
		r = Request{Target: "/?" + value}
	}
	reason := s.read(&r)
	return r.credential, reason
}

// TestPlaces: each setting has its lines, with what the credential is under it,
// and what it is by default.
func TestPlaces(t *testing.T) {
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	long := strings.Repeat("k", maxCredential)
	bearer := NewSchemeSet(SchemeBearer)
	for _, test := range []struct {
		sources     CredentialSources
		name, value string
		want        Reason
		scheme      CredentialScheme
		secret      string
		strict      Reason // with Bearer alone
	}{
		// Further schemes carry what Bearer does, in any case of letters.
		{CredentialSources{TokenSchemes: []string{"Token", "ApiKey"}}, "authorization", "Token k", OK, SchemeBearer, "k", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token", "ApiKey"}}, "authorization", "apikey  k=", OK, SchemeBearer, "k=", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "ApiKey k", UnsupportedCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "Token", MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "Bearer k", UnsupportedCredential, 0, "", OK},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "Token Token k", AmbiguousCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "Token Bearer k", AmbiguousCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "Token k, Bearer k", AmbiguousCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", `Token token="k"`, MalformedCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{"Token"}}, "authorization", "k", MalformedCredential, 0, "", MalformedCredential},
		// A value without a scheme.
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", " kw_k ", OK, SchemeBearer, "kw_k", MalformedCredential},
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", long, OK, SchemeBearer, long, MalformedCredential},
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", long + "k", MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", "Bearer", MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{TokenSchemes: []string{"", "Token"}}, "authorization", "token", MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", "Digest k", UnsupportedCredential, 0, "", UnsupportedCredential},
		{CredentialSources{TokenSchemes: []string{""}}, "authorization", "k,k", AmbiguousCredential, 0, "", MalformedCredential},
		// Keys in Basic.
		{CredentialSources{BasicKeyUsers: []string{"haplo"}}, "authorization", basic("haplo:a b"), OK, SchemeBare, "a b", UnsupportedCredential},
		{CredentialSources{BasicKeyUsers: []string{"haplo"}}, "authorization", basic("Haplo:k"), OK, SchemeBasic, "k", UnsupportedCredential},
		{CredentialSources{BasicKeyUsers: []string{"haplo"}}, "authorization", basic("haplo:"), MalformedCredential, 0, "", UnsupportedCredential},
		{CredentialSources{BasicKeyUsers: []string{AnyUser}}, "authorization", basic("anystring:k"), OK, SchemeBare, "k", UnsupportedCredential},
		{CredentialSources{BasicKeyUsers: []string{AnyUser}}, "authorization", basic(":k"), OK, SchemeBare, "k", MalformedCredential},
		{CredentialSources{BasicKeyUsers: []string{AnyUser}}, "authorization", basic("k:"), MalformedCredential, 0, "", UnsupportedCredential},
		{CredentialSources{BasicKeyAsUser: true}, "authorization", basic("k:"), OK, SchemeBare, "k", UnsupportedCredential},
		{CredentialSources{BasicKeyAsUser: true}, "authorization", basic("k:x-oauth-basic"), OK, SchemeBare, "k", UnsupportedCredential},
		{CredentialSources{BasicKeyAsUser: true}, "authorization", basic("k:other"), OK, SchemeBasic, "other", UnsupportedCredential},
		{CredentialSources{BasicKeyAsUser: true}, "authorization", basic(":k"), MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{BasicKeyAsUser: true}, "authorization", basic(strings.Repeat("k", 300) + ":"), OK, SchemeBare, strings.Repeat("k", 300), MalformedCredential},
		// Latin-1, but not its control characters.
		{CredentialSources{BasicLatin1: true, Schemes: NewSchemeSet(SchemeBasic)}, "authorization", basic("bob:p\xe4ss"), OK, SchemeBasic, "p\u00e4ss", MalformedCredential},
		{CredentialSources{BasicLatin1: true, Schemes: NewSchemeSet(SchemeBasic)}, "authorization", basic("bob:p\u00e4ss"), OK, SchemeBasic, "p\u00e4ss", UnsupportedCredential},
		{CredentialSources{BasicLatin1: true, Schemes: NewSchemeSet(SchemeBasic)}, "authorization", basic("bob:p\x85"), MalformedCredential, 0, "", MalformedCredential},
		{CredentialSources{Schemes: NewSchemeSet(SchemeBasic)}, "authorization", basic("bob:p\xe4ss"), MalformedCredential, 0, "", MalformedCredential},
		// Headers of their own.
		{CredentialSources{Headers: []string{"x-api-key", "api-key"}}, "api-key", "k", OK, SchemeBare, "k", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}}, "x-api-key", "Bearer k", OK, SchemeBare, "k", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}}, "x-api-key", " bearer   a.b.c", OK, SchemeBare, "a.b.c", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}}, "x-api-key", "Bearer Bearer k", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}}, "x-api-key", "Basic azo=", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}}, "x-api-key", long + "k", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}, MaxBytes: 9000}, "x-api-key", long + "k", OK, SchemeBare, long + "k", NoCredential},
		{CredentialSources{Headers: []string{"x-api-key"}, MaxBytes: 1}, "x-api-key", long, OK, SchemeBare, long, NoCredential},
		{CredentialSources{Schemes: bearer, MaxBytes: 9000}, "authorization", "Bearer " + long + "k", OK, SchemeBearer, long + "k", MalformedCredential},
		{CredentialSources{Cookie: "c", MaxBytes: 9000}, "cookie", "c=" + long + "k", OK, SchemeBearer, long + "k", NoCredential},
		// Query parameters, decoded once.
		{CredentialSources{Query: urlquery.Names{Credential: []string{"key", "code"}}}, "query", "code=aB3+dE/fG==", OK, SchemeBare, "aB3+dE/fG==", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=aB3%2bdE%2FfG%3D%3D&a", OK, SchemeBare, "aB3+dE/fG==", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=a%252Bb", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=a%2", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=%20k", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=%20", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=a%2Cb", AmbiguousCredential, 0, "", NoCredential},
		{CredentialSources{Query: urlquery.Names{Credential: []string{"code"}}}, "query", "code=a%26code=b", MalformedCredential, 0, "", NoCredential},
		// A WebSocket subprotocol.
		{CredentialSources{Protocol: "openai-insecure-api-key."}, protocolHeader, "realtime, openai-insecure-api-key.k", OK, SchemeBare, "k", NoCredential},
		{CredentialSources{Protocol: "openai-insecure-api-key."}, protocolHeader, "OpenAI-insecure-api-key.k", NoCredential, 0, "", NoCredential},
		{CredentialSources{Protocol: "key."}, protocolHeader, "key.a=b", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Protocol: "base64url.bearer."}, protocolHeader, "base64url.bearer." + base64.RawURLEncoding.EncodeToString([]byte("a/b==")), OK, SchemeBare, "a/b==", NoCredential},
		{CredentialSources{Protocol: "base64url.bearer."}, protocolHeader, "base64url.bearer.a/b", MalformedCredential, 0, "", NoCredential},
		{CredentialSources{Protocol: "base64url.bearer."}, protocolHeader, "base64url.bearer." + base64.RawURLEncoding.EncodeToString([]byte("a b")), MalformedCredential, 0, "", NoCredential},
	} {
		if test.sources.KeysInBasic() { // as the configuration does
			test.sources.Schemes = test.sources.Schemes.With(SchemeBasic, true)
		}
		c, reason := readOne(&test.sources, test.name, test.value)
		if reason != test.want || c.Scheme != test.scheme || c.Secret.Reveal() != test.secret {
			t.Errorf("%s %.60q: %s, scheme %d; want %s, scheme %d", test.name, test.value, reason, c.Scheme, test.want, test.scheme)
		}
		if _, reason := readOne(&CredentialSources{Schemes: bearer}, test.name, test.value); reason != test.strict {
			t.Errorf("%s %.60q by default: %s, want %s", test.name, test.value, reason, test.strict)
		}
	}
}

// TestAuthorizationIsTheUpstreams: where nothing of Authorization is on, it is
// not looked at, and not removed.
func TestAuthorizationIsTheUpstreams(t *testing.T) {
	for _, theirs := range []string{"Bearer theirs", "Basic dXA6cHc=", "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws4_request, SignedHeaders=host, Signature=0", "", "\x01"} {
		w, r := newFakeDeps(), request()
		w.sources = &CredentialSources{Headers: []string{"x-api-key"}}
		r.Headers = []Header{{"authorization", theirs}, {"x-api-key", "k"}}
		if d := w.checker(t).Check(t.Context(), r); d.Reason != OK || slices.Contains(d.Remove, "authorization") || !slices.Contains(d.Remove, "x-api-key") {
			t.Errorf("%q: %s, removed %v", theirs, d.Reason, d.Remove)
		}
		for _, sources := range []CredentialSources{{Schemes: NewSchemeSet(SchemeBasic)}, {TokenSchemes: []string{"Token"}}} {
			w, r := newFakeDeps(), request()
			w.sources, w.route.Auth, r.Headers = &sources, AuthNone, []Header{{"authorization", theirs}}
			if d := w.checker(t).Check(t.Context(), r); !slices.Contains(d.Remove, "authorization") {
				t.Errorf("%q with a scheme on: removed %v", theirs, d.Remove)
			}
		}
	}
}

// TestCutProtocols: the upstream gets the other subprotocols, also on public
// routes, and the credential only if the route forwards it.
func TestCutProtocols(t *testing.T) {
	for _, test := range []struct {
		lines   []string
		set     string
		removed bool
	}{
		{[]string{"realtime, key.k, v1"}, "realtime, v1", false},
		{[]string{"key.k"}, "", true},
		{[]string{"realtime", "key.k", "v1"}, "realtime, v1", false},
		{[]string{"realtime", "v1"}, "", false},
		{[]string{"xkey.k"}, "", false},
		{[]string{"chat,, v1"}, "", false},
	} {
		for _, mode := range []AuthMode{AuthNone, AuthRequired} {
			w, r := newFakeDeps(), request()
			w.sources, w.route.Auth = &CredentialSources{Protocol: "key.", Headers: []string{"x-api-key"}}, mode
			r.Headers = nil
			for _, line := range test.lines {
				r.Headers = append(r.Headers, Header{protocolHeader, line})
			}
			if !strings.Contains(strings.Join(test.lines, ", "), " key.") && !strings.HasPrefix(test.lines[0], "key.") {
				r.Headers = append(r.Headers, Header{"x-api-key", "k"})
			}
			d := w.checker(t).Check(t.Context(), r)
			set := ""
			for _, h := range d.Set {
				if h.Name == protocolHeader {
					set = h.Value
				}
			}
			if !d.Allowed() || set != test.set || slices.Contains(d.Remove, protocolHeader) != test.removed {
				t.Errorf("%q: %s, set %q, removed %v", test.lines, d.Reason, set, d.Remove)
			}
			r.set, r.remove, w.route.ForwardCredentials = r.set[:0], r.remove[:0], true
			if d := w.checker(t).Check(t.Context(), r); slices.Contains(d.Remove, protocolHeader) || slices.ContainsFunc(d.Set, func(h Header) bool { return h.Name == protocolHeader }) {
				t.Errorf("%q forwarded: set %v, removed %v", test.lines, d.Set, d.Remove)
			}
		}
	}
}
