package extauthz

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/authz/urlquery"
)

// recordingPolicy is a policy with one route. It records the request.
type recordingPolicy struct {
	route    authz.Route
	recorded authz.Request
}

func (p *recordingPolicy) Route(r *authz.Request, _ urlpath.Path) (*authz.Route, authz.Reason) {
	p.recorded = authz.Request{Method: r.Method, Host: r.Host, Target: r.Target, Scheme: r.Scheme, Peer: r.Peer, Transport: r.Transport}
	return &p.route, authz.OK
}

func (*recordingPolicy) Authorize(*authz.Principal, urlpath.Path, *authz.Route) authz.Reason {
	return authz.OK
}

func newTestHandler(t testing.TB, p *recordingPolicy) *Handler {
	t.Helper()
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject, "x-auth-project": authz.AttributeProject}, []string{"authorization", "x-api-key", "cookie"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: p, Identity: identity,
		Verifier: &stubVerifier{p: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", KeyID: "k_1", Paths: urlpath.Any(), UserPaths: urlpath.Any()}},
		Sources:  authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer), Headers: []string{"x-api-key"}, Cookie: "token", Query: urlquery.Names{Credential: []string{"key"}}},
		Now:      time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{
		Checker: checker, Renderer: Renderer{Challenge: challenge, Now: fixedNow},
		Trusted: TrustedProxies{netip.MustParsePrefix("127.0.0.1/32")}, CredentialHeaders: []string{"authorization", "x-api-key", "cookie", "sec-websocket-protocol"},
	}
}

// sendCheck sends a request to the HTTP listener, with the target unchanged.
func sendCheck(handler *Handler, method, target, remote string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.RequestURI, r.RemoteAddr, r.Host = target, remote, "proxy.internal"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	NewHTTP(func() *Handler { return handler }).ServeHTTP(w, r)
	return w
}

// TestProxyProfiles checks that each path reads its own headers and no others.
func TestProxyProfiles(t *testing.T) {
	original := []string{"X-Original-Method", "DELETE", "X-Original-URI", "/n//a?q=1"}
	forwarded := []string{"X-Forwarded-Method", "PUT", "X-Forwarded-Uri", "/f?q=2", "X-Forwarded-Host", "f.example.com"}
	const proxy = "127.0.0.1:1"
	for _, test := range []struct {
		name, at, remote string
		headers          []string
		status           int
		want             authz.Request
	}{
		{"nginx", "/authz/nginx", proxy, original, 200, authz.Request{Method: "DELETE", Target: "/n//a?q=1", Host: "proxy.internal", Transport: authz.TransportNginx}},
		{"nginx, a client's other headers", "/authz/nginx", proxy, append(original, forwarded...), 200,
			authz.Request{Method: "DELETE", Target: "/n//a?q=1", Host: "proxy.internal", Transport: authz.TransportNginx}},
		{"nginx, a query of its own", "/authz/nginx?x", proxy, original, 200, authz.Request{Method: "DELETE", Target: "/n//a?q=1", Host: "proxy.internal", Transport: authz.TransportNginx}},
		{"Caddy", "/authz/forward", proxy, append(forwarded, original...), 200,
			authz.Request{Method: "PUT", Target: "/f?q=2", Host: "f.example.com", Transport: authz.TransportForward}},
		{"Envoy", "/authz/envoy/e//%61?q=3", proxy, append(forwarded, original...), 200,
			authz.Request{Method: "GET", Target: "/e//%61?q=3", Host: "proxy.internal", Transport: authz.TransportEnvoyHTTP}},
		{"not trusted", "/authz/nginx", "127.0.0.2:1", original, 403, authz.Request{}},
		{"not trusted", "/authz/forward", "10.0.0.1:1", forwarded, 403, authz.Request{}},
		{"not trusted", "/authz/envoy/", "[::1]:1", nil, 403, authz.Request{}},
		{"no target", "/authz/nginx", proxy, forwarded, 403, authz.Request{}},
		{"no target", "/authz/forward", proxy, original, 403, authz.Request{}},
		{"no target", "/authz/envoy", proxy, nil, 403, authz.Request{}},
		{"no target", "/authz/envoy?/x", proxy, nil, 403, authz.Request{}},
		{"no method", "/authz/nginx", proxy, original[2:], 403, authz.Request{}},
		{"no host", "/authz/forward", proxy, forwarded[:4], 403, authz.Request{}},
		{"two targets", "/authz/nginx", proxy, append(original, "X-Original-URI", "/n"), 403, authz.Request{}},
		{"two methods", "/authz/nginx", proxy, append(original, "X-Original-Method", "GET"), 403, authz.Request{}},
		{"two hosts", "/authz/forward", proxy, append(forwarded, "X-Forwarded-Host", "a"), 403, authz.Request{}},
		{"no such path", "/authz/envoyx/", proxy, nil, 404, authz.Request{}},
		{"no such path", "/authz/", proxy, original, 404, authz.Request{}},
		{"no such path", "/AUTHZ/nginx", proxy, original, 404, authz.Request{}},
		{"no such path", "/x/../authz/nginx", proxy, original, 404, authz.Request{}},
	} {
		// Without authentication every request reaches the policy, which
		// records it.
		p := &recordingPolicy{route: authz.Route{Auth: authz.AuthNone}}
		handler := newTestHandler(t, p)
		handler = withPermissivePaths(t, handler, p)
		w := sendCheck(handler, "GET", test.at, test.remote, test.headers...)
		test.want.Scheme, test.want.Peer = "http", "127.0.0.1"
		if test.status != 200 {
			test.want = authz.Request{}
		}
		if got := p.recorded; w.Code != test.status || got.Method != test.want.Method || got.Target != test.want.Target ||
			got.Host != test.want.Host || got.Transport != test.want.Transport || got.Peer != test.want.Peer {
			t.Errorf("%s: %d, read %s %s %s over %s by %s", test.name, w.Code, got.Method, got.Host, got.Target, got.Transport, got.Peer)
		}
	}
}

// withPermissivePaths replaces the checker by one that allows all optional
// forms of paths.
func withPermissivePaths(t *testing.T, handler *Handler, p *recordingPolicy) *Handler {
	t.Helper()
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject}, handler.CredentialHeaders, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler.Checker, err = authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: p, Identity: identity, Verifier: &stubVerifier{},
		Paths: urlpath.Rules{EncodedUnreserved: true, EmptySegment: true}, Now: time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// TestAllowResponseHeaders checks the headers by which a proxy replaces the
// client's.
func TestAllowResponseHeaders(t *testing.T) {
	nginx := []string{"X-Original-Method", "GET", "X-Original-Uri"}
	for _, test := range []struct {
		name    string
		keep    bool
		target  string
		headers []string
		want    map[string]string
	}{
		{"a key", false, "/a?b=1", []string{"Authorization", "Bearer good", "Cookie", "a=b", "X-Auth-Subject", "evil"},
			map[string]string{"X-Auth-Subject": "alice", "X-Auth-Project": "", "Authorization": "", "Cookie": "a=b", "X-Keyward-Uri": "/a?b=1"}},
		{"in the cookie", false, "/", []string{"Cookie", "a=b; token=good; c=d"},
			map[string]string{"X-Auth-Subject": "alice", "Cookie": "a=b; c=d"}},
		{"cookies on two lines", false, "/", []string{"Authorization", "Bearer good", "Cookie", "a=b", "Cookie", "c=d"}, map[string]string{"Cookie": "a=b; c=d"}},
		{"in the cookie alone", false, "/", []string{"Cookie", "token=good"}, map[string]string{"X-Auth-Subject": "alice", "Cookie": ""}},
		{"in a header", false, "/", []string{"X-Api-Key", "good"}, map[string]string{"X-Auth-Subject": "alice", "X-Api-Key": ""}},
		{"in the query", false, "/a?x=1&key=good&y=%2F", nil, map[string]string{"X-Auth-Subject": "alice", "X-Keyward-Uri": "/a?x=1&y=%2F"}},
		{"in the query alone", false, "/a?key=good", nil, map[string]string{"X-Keyward-Uri": "/a"}},
		{"an alias", false, "/", []string{"Authorization", "Bearer good", "X.auth.subject", "evil"},
			map[string]string{"X-Envoy-Auth-Headers-To-Remove": "x.auth.subject"}},
		{"subprotocols", false, "/", []string{"Authorization", "Bearer good", "Sec-WebSocket-Protocol", "chat, superchat", "Sec-WebSocket-Protocol", "other"},
			map[string]string{"Sec-WebSocket-Protocol": "chat, superchat, other"}},
		{"no subprotocol", false, "/", []string{"Authorization", "Bearer good"}, map[string]string{"Sec-WebSocket-Protocol": ""}},
		{"forwarded", true, "/a?key=", []string{"Authorization", "Bearer good", "Cookie", "token="},
			map[string]string{"Authorization": "Bearer good", "Cookie": "token=", "X-Keyward-Uri": "/a?key="}},
	} {
		handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired, ForwardCredentials: test.keep}})
		w := sendCheck(handler, "GET", "/authz/nginx", "127.0.0.1:1", append(append(append([]string{}, nginx...), test.target), test.headers...)...)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		for name, want := range test.want {
			if got := strings.Join(w.Header().Values(name), " and "); got != want { // proxies read one line
				t.Errorf("%s: %s is %q, want %q", test.name, name, got, want)
			}
		}
	}
}

// TestEnvoyGetsAllRemovals checks that Envoy's configuration need not name a
// header.
func TestEnvoyGetsAllRemovals(t *testing.T) {
	handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}})
	w := sendCheck(handler, "GET", "/authz/envoy/", "127.0.0.1:1", "Authorization", "Bearer good", "X.auth.subject", "evil")
	if got := w.Header().Get(removeHeader); got != "x-auth-project,x.auth.subject,authorization,x-api-key" {
		t.Errorf("%s is %q", removeHeader, got)
	}
	w = sendCheck(handler, "GET", "/authz/nginx", "127.0.0.1:1", "Authorization", "Bearer good", "X-Original-Uri", "/", "X-Original-Method", "GET")
	if got := w.Header().Get(removeHeader); got != "" {
		t.Errorf("%s for nginx is %q, which its configuration replaces", removeHeader, got)
	}
}

// TestUnsupportedChangesAreDenied checks that a change that a proxy cannot make
// is a denial.
func TestUnsupportedChangesAreDenied(t *testing.T) {
	forwarded := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Host", "h", "X-Forwarded-Uri"}
	for _, test := range []struct {
		at      string
		auth    authz.AuthMode
		keep    bool
		headers []string
		status  int
	}{
		{"/authz/forward", authz.AuthRequired, false, append(forwarded, "/a?key=good"), 401},
		{"/authz/forward", authz.AuthNone, false, append(forwarded, "/a?key=good"), 401},
		{"/authz/forward", authz.AuthRequired, true, append(forwarded, "/a?key=good"), 200},
		{"/authz/envoy/a?key=good", authz.AuthRequired, false, nil, 401},
		{"/authz/forward", authz.AuthNone, false, append(forwarded, "/a", "X_auth_subject", "evil"), 400},
		{"/authz/forward", authz.AuthNone, false, append(forwarded, "/a", "X_other", "fine"), 200},
		{"/authz/envoy/a", authz.AuthNone, false, []string{"X_auth_subject", "evil"}, 200}, // Envoy removes it
	} {
		handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: test.auth, ForwardCredentials: test.keep}})
		if w := sendCheck(handler, "GET", test.at, "127.0.0.1:1", test.headers...); w.Code != test.status {
			t.Errorf("%s %q: %d, want %d", test.at, test.headers, w.Code, test.status)
		}
	}
}

// TestReplayedDenial checks that through nginx, which keeps two statuses and no
// body, a client gets the same denial as directly.
func TestReplayedDenial(t *testing.T) {
	handler := newTestHandler(t, &recordingPolicy{})
	r := &authz.Request{Method: "GET", Target: "/api/posts?q=1", Transport: authz.TransportNginx}
	for _, style := range authz.ErrorStyles() {
		for _, reason := range authz.Reasons() {
			d := authz.Decision{Reason: reason, ID: "decision", Route: &authz.Route{Errors: style}}
			if d.Allowed() {
				continue
			}
			direct := handler.Renderer.Denial(r, &d)
			replayed := handler.Renderer.withReplayHeaders(handler.Renderer.Denial(r, &d), &d)
			if replayed.Status != 401 && replayed.Status != 403 {
				t.Errorf("%s: nginx would turn %d into 500", reason, replayed.Status)
			}
			// The headers that nginx's configuration passes on.
			headers := []string{"X-Original-Method", "GET", "X-Original-URI", r.Target}
			for _, name := range []string{codeHeader, reasonHeader, styleHeader, challengeHeader, decisionHeader} {
				if value := headerValueOf(replayed.Headers, name); value != "" {
					headers = append(headers, name, value)
				}
			}
			w := sendCheck(handler, "GET", "/authz/denial", "127.0.0.1:1", headers...)
			if w.Code != direct.Status || w.Body.String() != string(direct.Body) {
				t.Errorf("style %s, %s: %d %s, directly %d %s", style, reason, w.Code, w.Body, direct.Status, direct.Body)
			}
			for _, h := range direct.Headers {
				if got := w.Header().Get(h.Name); got != h.Value {
					t.Errorf("style %s, %s: %s is %q, directly %q", style, reason, h.Name, got, h.Value)
				}
			}
		}
	}
}

// TestReplayWithoutDenial repeats the request without a reason, with one
// that allows, and from a peer that is not trusted.
func TestReplayWithoutDenial(t *testing.T) {
	handler := newTestHandler(t, &recordingPolicy{})
	for _, test := range []struct {
		remote  string
		headers []string
		status  int
	}{
		{"127.0.0.1:1", nil, 503},
		{"127.0.0.1:1", []string{"X-Auth-Reason", "ok"}, 503},
		{"127.0.0.1:1", []string{"X-Auth-Reason", "nonsense", "X-Auth-Code", "200"}, 503},
		{"10.0.0.1:1", []string{"X-Auth-Reason", "no_credential", "X-Auth-Challenge", "Basic"}, 403},
	} {
		w := sendCheck(handler, "GET", "/authz/denial", test.remote, test.headers...)
		if w.Code != test.status || w.Header().Get("WWW-Authenticate") != "" && test.status == 403 {
			t.Errorf("%s %q: %d %v", test.remote, test.headers, w.Code, w.Header())
		}
	}
}

// BenchmarkHTTP measures a check over HTTP without the network.
func BenchmarkHTTP(b *testing.B) {
	handler := newTestHandler(b, &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}})
	h := NewHTTP(func() *Handler { return handler })
	r := httptest.NewRequestWithContext(context.Background(), "GET", "/authz/nginx", nil)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header = http.Header{
		"X-Original-Method": {"GET"}, "X-Original-Uri": {"/api/v1/items"}, "Authorization": {"Bearer good"},
		"User-Agent": {"curl"}, "Accept": {"*/*"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
