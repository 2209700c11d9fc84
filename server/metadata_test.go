package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"keyward/internal/eventually"
	"keyward/internal/markdown"
	"keyward/store"
)

// answered is a response of the HTTP listener.
type answered struct {
	status int
	header http.Header
	body   string
}

// fetch requests a path of the HTTP listener.
func (r *running) fetch(path string, headers ...string) answered {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dialUnix(r.path("http.sock")), DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(context.Background(), "GET", "http://keyward"+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, string(body)}
}

// challengeOf returns the status of a request behind a proxy, and its challenge.
func (r *running) challengeOf(target, key string) string {
	r.t.Helper()
	headers := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Uri", target, "X-Forwarded-Host", "api.example.com"}
	if key != "" {
		headers = append(headers, "Authorization", "Bearer "+key)
	}
	a := r.fetch("/authz/forward", headers...)
	return fmt.Sprint(a.status, " ", a.header.Get("WWW-Authenticate"))
}

// TestResourceMetadata runs the example of docs/configuration.md: it has the
// challenge and the document that the page shows, until a reload ends them.
func TestResourceMetadata(t *testing.T) {
	var config, challenge, document string
	for _, s := range markdown.Read(t, "../docs/configuration.md") {
		if s.Heading == "resource_metadata" && len(s.Blocks) == 3 {
			config, challenge, document = s.Blocks[0].Text, strings.TrimSpace(s.Blocks[1].Text), strings.TrimSpace(s.Blocks[2].Text)
		}
	}
	base := strings.Replace(baseConfig, `http: ""`, `http: "unix://DIR/http.sock"`, 1)
	var key string
	text := base + strings.Replace(config, "id.jwks", "DIR/id.jwks", 1)
	r := start(t, text, func(r *running) {
		key = r.create(store.KeyParams{Scopes: &[]string{}})
		r.write("id.jwks", newSigner(t, "a").set)
	})
	r.becomes("/elsewhere", key, 200)
	const (
		root      = "https://api.example.com/.well-known/oauth-protected-resource"
		wellKnown = "/.well-known/oauth-protected-resource"
	)
	if got := r.challengeOf("/mcp/x?y=1", ""); "WWW-Authenticate: "+strings.TrimPrefix(got, "401 ") != challenge {
		t.Errorf("%s, but the page shows %q", got, challenge)
	}
	for _, test := range [][3]string{
		{"/mcp", key, `403 Bearer realm="api", error="insufficient_scope", scope="tools:call", resource_metadata="` + root + `/mcp"`},
		{"/mcp", "kw_", `401 Bearer realm="api", error="invalid_token", error_description="The credential is not valid", scope="tools:call", resource_metadata="` + root + `/mcp"`},
		{"/posts", "", `401 Bearer realm="api", scope="posts:read", resource_metadata="` + root + `"`},
		{"/elsewhere", "", `401 Bearer realm="api", resource_metadata="` + root + `"`},
		{"/mcp/%2e", "", "400 "},
	} {
		if got := r.challengeOf(test[0], test[1]); got != test[2] {
			t.Errorf("%s: %s, want %s", test[0], got, test[2])
		}
	}
	a := r.fetch(wellKnown + "/mcp")
	if a.status != 200 || a.body != document || a.header.Get("Content-Type") != "application/json" ||
		a.header.Get("Cache-Control") != "public, max-age=300" || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%+v, but the page shows %s", a, document)
	}
	if a := r.fetch(wellKnown); a.status != 200 || !strings.HasPrefix(a.body, `{"resource":"https://api.example.com","authorization_servers":["https://id.example.com"],"scopes_supported":["posts:read"],`) {
		t.Errorf("the document of the API: %+v", a)
	}
	for _, path := range []string{"/posts", "/mcp/", "/mcp/x", "/MCP", "/%6Dcp", "/mcp;a", "x"} {
		if a := r.fetch(wellKnown + path); a.status != 404 || a.body != "" {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if a := r.fetch("/v1/auth/verify"); a.status != 401 || a.header.Get("WWW-Authenticate") != `Bearer realm="api"` {
		t.Errorf("/v1/auth/verify: %+v", a)
	}
	r.withoutMetadata(base, wellKnown)
}

// withoutMetadata takes the section out: the challenges and the paths are those
// of a server that knows nothing of it.
func (r *running) withoutMetadata(config, path string) {
	r.t.Helper()
	r.reloaded(config + "routes: [{path: /mcp, scopes: [tools:call]}]\n")
	eventually.Succeeds(r.t, func() error {
		if got := r.challengeOf("/mcp", ""); got != `401 Bearer realm="api"` {
			return fmt.Errorf("without the section: %s", got)
		}
		return nil
	})
	for _, each := range []string{path, path + "/mcp"} {
		a := r.fetch(each)
		a.header.Del("Date")
		if a.status != 404 || a.body != "" || len(a.header) != 1 || a.header.Get("Content-Length") != "0" {
			r.t.Errorf("without the section: %+v", a)
		}
	}
}
