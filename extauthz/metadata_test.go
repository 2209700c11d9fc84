package extauthz

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"keyward/authz"
)

const metadataPath = "/.well-known/oauth-protected-resource/mcp"

func sendMetadata(documents map[string][]byte, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "203.0.113.9:1" // not a trusted proxy
	w := httptest.NewRecorder()
	NewHTTP(func() *Handler { return &Handler{Metadata: documents} }).ServeHTTP(w, r)
	return w
}

// TestMetadata: every client may read a document, and what it gets for other
// methods and paths.
func TestMetadata(t *testing.T) {
	documents := map[string][]byte{metadataPath: []byte(`{"resource":"https://api.example.com/mcp"}`)}
	origin := http.Header{"Access-Control-Allow-Origin": {"*"}}
	with := func(pairs ...string) http.Header {
		header := maps.Clone(origin)
		for i := 0; i < len(pairs); i += 2 {
			header[pairs[i]] = []string{pairs[i+1]}
		}
		return header
	}
	found := with("Content-Type", "application/json", "Cache-Control", "public, max-age=300")
	for _, test := range []struct {
		method, target string
		status         int
		body           string
		header         http.Header
	}{
		{"GET", metadataPath, 200, string(documents[metadataPath]), found},
		{"GET", metadataPath + "?tenant=1", 200, string(documents[metadataPath]), found},
		{"OPTIONS", metadataPath, 204, "", with("Access-Control-Allow-Methods", "GET, HEAD", "Access-Control-Allow-Headers", "*")},
		{"POST", metadataPath, 405, "", with("Allow", "GET, HEAD, OPTIONS")},
		{"GET", metadataPath + "/", 404, "", origin},
		{"GET", metadataPath + "/x", 404, "", origin},
		{"GET", "/.well-known/oauth-protected-resource", 404, "", origin},
		{"GET", "/.well-known/oauth-protected-resource/MCP", 404, "", origin},
		{"GET", "/.well-known/oauth-protected-resource/%6Dcp", 404, "", origin},
		{"GET", "/.well-known/oauth-protected-resource//mcp", 404, "", origin},
		{"GET", "/.well-known/oauth-protected-resource/x/../mcp", 404, "", origin},
	} {
		w := sendMetadata(documents, test.method, test.target)
		if w.Code != test.status || w.Body.String() != test.body || !maps.EqualFunc(w.Header(), test.header, equalValues) {
			t.Errorf("%s %s: %d %s %v", test.method, test.target, w.Code, w.Body, w.Header())
		}
	}
	if w := sendMetadata(documents, "HEAD", metadataPath); w.Code != 200 || !maps.EqualFunc(w.Header(), found, equalValues) {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	if w := sendMetadata(nil, "GET", metadataPath); w.Code != 404 || len(w.Header()) != 0 || w.Body.Len() != 0 {
		t.Errorf("without documents: %d %s %v", w.Code, w.Body, w.Header())
	}
}

func equalValues(a, b []string) bool { return len(a) == 1 && len(b) == 1 && a[0] == b[0] }

// TestChallengeNamesTheMetadata compares the challenges of a route that is part
// of a protected resource with those of one that is not, for each reason.
func TestChallengeNamesTheMetadata(t *testing.T) {
	const metadata = "https://api.example.com" + metadataPath
	scopes, err := authz.ParseScopes([]string{"write", "read"})
	if err != nil {
		t.Fatal(err)
	}
	c := Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer)}
	for _, reason := range authz.Reasons() {
		for i, required := range []authz.Scopes{{}, scopes, scopes} {
			route := authz.Route{Scopes: required}
			if i == 2 {
				route = authz.Route{ScopesAny: required}
			}
			plain := c.value(&authz.Decision{Reason: reason, Route: &route})
			want := ""
			if plain != "" {
				want = plain
				if required != (authz.Scopes{}) && reason != authz.InsufficientScope {
					want += `, scope="read write"`
				}
				want += `, resource_metadata="` + metadata + `"`
			}
			route.ResourceMetadata = metadata
			if got := c.value(&authz.Decision{Reason: reason, Route: &route}); got != want {
				t.Errorf("%s: %s\nwant %s", reason, got, want)
			}
		}
	}
	route := &authz.Route{Scopes: scopes, ResourceMetadata: metadata}
	c.Schemes = c.Schemes.With(authz.SchemeBasic, true)
	for reason, want := range map[authz.Reason]string{
		authz.NoCredential:      `Bearer realm="api", scope="read write", resource_metadata="` + metadata + `", Basic realm="api", charset="UTF-8"`,
		authz.InsufficientScope: `Bearer realm="api", error="insufficient_scope", scope="read write", resource_metadata="` + metadata + `"`,
	} {
		if got := c.value(&authz.Decision{Reason: reason, Route: route}); got != want {
			t.Errorf("%s: %s\nwant %s", reason, got, want)
		}
	}
	c.None = true
	if got := c.value(&authz.Decision{Reason: authz.NoCredential, Route: route}); got != "" {
		t.Errorf("without challenges: %s", got)
	}
}

// TestPlainChallenge: without resource metadata the challenges are these, byte
// for byte, and cost no more allocations than their parts.
func TestPlainChallenge(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	c := Challenge{Realm: "api", Schemes: authz.NewSchemeSet(authz.SchemeBearer)}
	for reason, want := range map[authz.Reason]string{
		authz.NoCredential:        `Bearer realm="api"`,
		authz.WrongPassword:       `Bearer realm="api"`,
		authz.MalformedCredential: `Bearer realm="api", error="invalid_request", error_description="The credential is malformed"`,
		authz.ExpiredToken:        `Bearer realm="api", error="invalid_token", error_description="The credential is not valid"`,
		authz.InsufficientScope:   `Bearer realm="api", error="insufficient_scope", scope="read"`,
		authz.PathNotAllowed:      "",
	} {
		d := &authz.Decision{Reason: reason, Route: &authz.Route{Scopes: scopes}}
		if got := c.value(d); got != want {
			t.Errorf("%s: %s", reason, got)
		}
	}
	d := &authz.Decision{Reason: authz.NoCredential, Route: &authz.Route{Scopes: scopes}}
	if n := testing.AllocsPerRun(100, func() { _ = c.value(d) }); n > 1 {
		t.Errorf("%v allocations for a challenge, want 1", n)
	}
}
