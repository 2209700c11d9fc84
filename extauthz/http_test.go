package extauthz

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
)

// stubVerifier is a verifier that accepts one token, and records the client.
type stubVerifier struct {
	client string
	p      *authz.Principal
}

func (s *stubVerifier) Verify(_ context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	s.client = c.Client.Address().String()
	if c.Secret.Reveal() != "good" {
		return nil, &authz.CredentialError{Reason: authz.UnknownKey}
	}
	return s.p, nil
}

// denyAllPolicy is a policy that denies everything.
type denyAllPolicy struct{}

func (denyAllPolicy) Route(*authz.Request, urlpath.Path) (*authz.Route, authz.Reason) {
	return nil, authz.RouteDenied
}
func (denyAllPolicy) Authorize(*authz.Principal, urlpath.Path, *authz.Route) authz.Reason {
	return authz.PathNotAllowed
}

func newVerifyHandler(t *testing.T, v authz.Verifier, https bool, trusted ...string) *Handler {
	t.Helper()
	return newVerifyHandlerBehind(t, 1, v, https, trusted...)
}

func newVerifyHandlerBehind(t *testing.T, hops int, v authz.Verifier, https bool, trusted ...string) *Handler {
	t.Helper()
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject}, []string{"authorization"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: denyAllPolicy{}, Verifier: v, Identity: identity, RequireHTTPS: https,
		Sources: authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer), Cookie: "token"}, TrustedHops: hops,
		Now: time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &Handler{Checker: checker, Renderer: Renderer{Errors: authz.StyleGeneric, Challenge: challenge, Now: fixedNow}}
	for _, network := range trusted {
		c.Trusted = append(c.Trusted, netip.MustParsePrefix(network))
	}
	return c
}

func sendVerify(handler *Handler, method, remote string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, VerifyPath, nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	NewHTTP(func() *Handler { return handler }).ServeHTTP(w, r)
	return w
}

func TestVerify(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"write", "read"})
	if err != nil {
		t.Fatal(err)
	}
	s := &stubVerifier{p: &authz.Principal{
		AuthMethod: authz.AuthMethodJWT, User: "12345", Scopes: scopes, ExpiresAt: time.Date(2025, 1, 1, 0, 59, 59, 7e8, time.FixedZone("", 3600)),
	}}
	handler := newVerifyHandler(t, s, false)
	for _, test := range []struct {
		name    string
		method  string
		headers []string
		status  int
		body    string
	}{
		{"good", "GET", []string{"Authorization", "Bearer good"}, 200,
			`{"authenticated":true,"user_id":"12345","scopes":["read","write"],"expires_at":"2024-12-31T23:59:59Z"}`},
		{"in the cookie", "GET", []string{"Cookie", "a=b; token=good"}, 200,
			`{"authenticated":true,"user_id":"12345","scopes":["read","write"],"expires_at":"2024-12-31T23:59:59Z"}`},
		{"bad", "GET", []string{"Authorization", "Bearer bad"}, 401,
			`{"error":"invalid_token","message":"The provided token is invalid or has expired","code":401,"timestamp":"2024-01-15T10:30:00Z"}`},
		{"two", "GET", []string{"Authorization", "Bearer good", "Authorization", "Bearer good"}, 401,
			`{"error":"invalid_token","message":"The provided token is invalid or has expired","code":401,"timestamp":"2024-01-15T10:30:00Z"}`},
		{"none", "GET", nil, 401,
			`{"error":"invalid_token","message":"The provided token is invalid or has expired","code":401,"timestamp":"2024-01-15T10:30:00Z"}`},
	} {
		w := sendVerify(handler, test.method, "127.0.0.1:1", test.headers...)
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get("Cache-Control") != "no-store" ||
			w.Header().Get("Content-Type") != "application/json" || (w.Header().Get("WWW-Authenticate") != "") != (test.status == 401) {
			t.Errorf("%s: %d %s %v", test.name, w.Code, w.Body, w.Header())
		}
	}
	if w := sendVerify(handler, "POST", "127.0.0.1:1", "Authorization", "Bearer good"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	s.p = &authz.Principal{AuthMethod: authz.AuthMethodOAuth, ClientID: "app"}
	if w := sendVerify(handler, "GET", "127.0.0.1:1", "Authorization", "Bearer good"); w.Body.String() != `{"authenticated":true,"user_id":null,"client_id":"app","scopes":[],"expires_at":null}` {
		t.Errorf("a client's token: %s", w.Body)
	}
	s.p = &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1"}
	if w := sendVerify(handler, "GET", "127.0.0.1:1", "Authorization", "Bearer good"); w.Body.String() != `{"authenticated":true,"user_id":"k_1","scopes":[],"expires_at":null}` {
		t.Errorf("a key without user, scopes and expiry: %s", w.Body)
	}
	if w := sendVerify(nil, "GET", "127.0.0.1:1"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a handler: %d", w.Code)
	}
}

// TestTrustedProxies checks that only headers of a trusted proxy determine the
// client's address and scheme.
func TestTrustedProxies(t *testing.T) {
	for _, test := range []struct {
		remote  string
		trusted []string
		status  int
		client  string
	}{
		{"127.0.0.1:1", nil, 200, "192.0.2.1"},
		{"[::1]:1", nil, 200, "192.0.2.1"},
		{"@", nil, 200, "192.0.2.1"},
		{"10.0.0.1:1", nil, 403, ""},
		{"10.0.0.1:1", []string{"10.0.0.0/8"}, 200, "192.0.2.1"},
		{"[::ffff:10.0.0.1]:1", []string{"10.0.0.0/8"}, 200, "192.0.2.1"},
		{"127.0.0.1:1", []string{"10.0.0.0/8"}, 403, ""},
		{"nonsense:x", nil, 403, ""},
	} {
		s := &stubVerifier{p: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1"}}
		w := sendVerify(newVerifyHandler(t, s, true, test.trusted...), "GET", test.remote,
			"Authorization", "Bearer good", "X-Forwarded-Proto", "https", "X-Forwarded-For", "192.0.2.1")
		if w.Code != test.status || s.client != test.client {
			t.Errorf("%s, trusted %v: %d, client %q", test.remote, test.trusted, w.Code, s.client)
		}
	}
	s := &stubVerifier{p: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1"}}
	if sendVerify(newVerifyHandler(t, s, false), "GET", "10.0.0.1:1", "Authorization", "Bearer good", "X-Forwarded-For", "192.0.2.1"); s.client != "10.0.0.1" {
		t.Errorf("headers of a peer that is not trusted: client %q", s.client)
	}
}

// TestClientBehindProxy checks that the last entry of X-Forwarded-For, which
// the proxy adds, counts like the peer over gRPC.
func TestClientBehindProxy(t *testing.T) {
	for _, test := range []struct {
		hops      int
		forwarded []string
		want      string
	}{
		{0, nil, "127.0.0.1"},
		{0, []string{"192.0.2.1"}, "192.0.2.1"},
		{0, []string{"192.0.2.1:1024"}, "192.0.2.1"},
		{0, []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"}, // the client has sent the first entry
		{0, []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		{1, []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		{2, []string{"198.51.100.7,203.0.113.9, 192.0.2.1"}, "203.0.113.9"},
		{2, []string{"198.51.100.7", "203.0.113.9, 192.0.2.1"}, "203.0.113.9"},
		{0, []string{"192.0.2.1, unknown"}, ""}, // and not the proxy's address, which all clients share
		{2, []string{"unknown, 192.0.2.1"}, ""},
	} {
		s := &stubVerifier{}
		headers := []string{"Authorization", "Bearer bad"}
		for _, line := range test.forwarded {
			headers = append(headers, "X-Forwarded-For", line)
		}
		if sendVerify(newVerifyHandlerBehind(t, test.hops, s, false), "GET", "127.0.0.1:1", headers...); s.client != test.want {
			t.Errorf("%q, %d hops: %q, want %q", test.forwarded, test.hops, s.client, test.want)
		}
	}
}
