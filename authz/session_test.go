package authz

import (
	"errors"
	"slices"
	"testing"
)

// TestSessionCookie: a session's cookie is a credential of its own scheme, and one
// beside another credential is ambiguous.
func TestSessionCookie(t *testing.T) {
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer), Session: "__Host-s"}
	for _, test := range []struct {
		headers []Header
		want    Reason
		scheme  CredentialScheme
	}{
		{[]Header{{"cookie", "__Host-s=token"}}, OK, SchemeSession},
		{[]Header{{"cookie", "a=b; __Host-s=token"}}, OK, SchemeSession},
		{[]Header{{"authorization", "Bearer token"}}, OK, SchemeBearer},
		{[]Header{{"authorization", "Bearer token"}, {"cookie", "__Host-s=token"}}, AmbiguousCredential, SchemeNone},
		{[]Header{{"authorization", "Basic Zm9vOmJhcg=="}, {"cookie", "__Host-s=token"}}, AmbiguousCredential, SchemeNone},
		{[]Header{{"cookie", "__Host-s=token; __Host-s=token"}}, AmbiguousCredential, SchemeNone},
		{[]Header{{"cookie", "__Host-s=a b"}}, AmbiguousCredential, SchemeNone},
		{[]Header{{"cookie", "__host-s=token"}}, NoCredential, SchemeNone},
		{[]Header{{"cookie", "__Host-s=\"token\""}}, MalformedCredential, SchemeNone},
	} {
		r := Request{Target: "/", Headers: test.headers}
		if got := sources.read(&r); got != test.want || r.Credential().Scheme != test.scheme {
			t.Errorf("%q: %s in scheme %d, want %s in %d", test.headers, got, r.Credential().Scheme, test.want, test.scheme)
		}
	}
	r := Request{Target: "/", Headers: []Header{{"cookie", "__Host-s=token"}}}
	if got := (&CredentialSources{}).read(&r); got != NoCredential {
		t.Errorf("where sessions are not accepted: %s", got)
	}
}

// TestAuthenticateSecret: a secret that is verified by itself is limited, counted and
// observed as a credential is.
func TestAuthenticateSecret(t *testing.T) {
	right := func(c *Credential) (*Principal, error) {
		if c.Secret.Reveal() != "code" || c.Scheme != SchemeNone {
			t.Errorf("verified: %q", c.Secret.Reveal())
		}
		return &Principal{AuthMethod: AuthMethodAnonymous}, nil
	}
	wrong := func(*Credential) (*Principal, error) { return nil, &CredentialError{Reason: InvalidToken} }
	for _, test := range []struct {
		what   string
		verify func(*Credential) (*Principal, error)
		limit  fakeLimiter
		ready  error
		want   Reason
		calls  int
	}{
		{"the right one", right, fakeLimiter{}, nil, OK, 1},
		{"a wrong one", wrong, fakeLimiter{}, nil, InvalidToken, 2},
		{"one of a client that failed too often", right, fakeLimiter{attempt: Quota{Refused: true}}, nil, RateLimited, 1},
		{"one that cannot be verified", func(*Credential) (*Principal, error) { return nil, errors.New("unavailable") }, fakeLimiter{}, nil, Unavailable, 1},
		{"before keys are loaded", right, fakeLimiter{}, errors.New("not loaded"), OK, 1},
		{"a panic", func(*Credential) (*Principal, error) { panic("test") }, fakeLimiter{}, nil, Internal, 1},
	} {
		w := newFakeDeps()
		w.ready = test.ready
		v := newFakeDeps()
		v.verify = test.verify
		r := Request{Target: "/password/"}
		d := w.limited(t, &test.limit).AuthenticateSecret(t.Context(), &r, NewSecret("code"), v)
		if d.Reason != test.want || len(test.limit.calls) != test.calls || len(w.observed) != 1 || d.Allowed() == (d.ID != "") {
			t.Errorf("%s: %s, %d observed, %q", test.what, d.Reason, len(w.observed), test.limit.calls)
		}
	}
}

// TestOwnCookies: no upstream gets a cookie of the console's, whatever its route says;
// other cookies stay as they are.
func TestOwnCookies(t *testing.T) {
	for _, test := range []struct {
		lines   []string
		forward bool
		set     string
		removed bool
	}{
		{[]string{"a=1; b=2"}, false, "", false},
		{[]string{"__Host-keyward-console=secret"}, false, "", true},
		{[]string{"a=1; __Host-keyward-console=secret; b=2"}, false, "a=1; b=2", false},
		{[]string{"a=1; __Host-keyward-console = secret"}, false, "a=1", false},
		{[]string{"__Host-keyward-login=secret", "a=1"}, false, "a=1", false},
		{[]string{"a=1; __Host-keyward-console=secret"}, true, "a=1", false},
		{[]string{"session=; __Host-keyward-console=secret; a=1"}, true, "session=; a=1", false},
		{[]string{"x=__Host-keyward-console"}, false, "", false},
		{[]string{"Host-keyward-console=1"}, false, "", false},
	} {
		w := newFakeDeps()
		w.route.ForwardCredentials = test.forward
		r := request()
		for _, line := range test.lines {
			r.Headers = append(r.Headers, Header{"cookie", line})
		}
		d := w.checker(t).Check(t.Context(), r)
		set := ""
		for _, h := range d.Set {
			if h.Name == "cookie" {
				set = h.Value
			}
		}
		if removed := slices.Contains(d.Remove, "cookie"); !d.Allowed() || set != test.set || removed != test.removed {
			t.Errorf("%q: %s, cookie set to %q, removed: %t", test.lines, d.Reason, set, removed)
		}
	}
}

// TestOwnCookiesOfPublicRoutes: nor on a route that reads no credential.
func TestOwnCookiesOfPublicRoutes(t *testing.T) {
	w := newFakeDeps()
	w.route = Route{Auth: AuthNone}
	r := &Request{Method: "GET", Target: "/a", Headers: []Header{{"cookie", "__Host-keyward-console=secret"}}}
	if d := w.checker(t).Check(t.Context(), r); !d.Allowed() || !slices.Contains(d.Remove, "cookie") {
		t.Errorf("%s: removed %v", d.Reason, d.Remove)
	}
}
