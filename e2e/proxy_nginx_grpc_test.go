package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyward/internal/markdown"
)

// proxyLines returns the blocks of a section of docs/proxies.md.
func proxyLines(t *testing.T, heading string, blocks int) (lines []string) {
	t.Helper()
	for _, section := range markdown.Read(t, filepath.Join(programs.root, "docs", "proxies.md")) {
		if section.Heading != heading {
			continue
		}
		for _, block := range section.Blocks {
			lines = append(lines, block.Text)
		}
	}
	if len(lines) != blocks {
		t.Fatalf("docs/proxies.md, %s: %d blocks, want %d", heading, len(lines), blocks)
	}
	return lines
}

// withGRPC puts the settings of docs/proxies.md into nginx's configuration, and
// makes nginx speak HTTP/2.
func withGRPC(t *testing.T) func(string) string {
	t.Helper()
	settings := proxyLines(t, "gRPC behind nginx", 2) // for http and for server
	inServer := strings.Replace(settings[1], "location /shop. {", "location ~ ^/(shop|reports) {", 1)
	return strings.NewReplacer(
		"    server {\n", settings[0]+"    server {\n",
		"        location / {\n", inServer+"        location / {\n",
		"listen 127.0.0.1:10000;", "listen 127.0.0.1:10000 http2;",
	).Replace
}

// TestNginxPassesTheSameOverGRPC compares the settings for grpc_pass with those
// for proxy_pass: the API gets the same headers from Keyward, and the same ones
// are removed.
func TestNginxPassesTheSameOverGRPC(t *testing.T) {
	shipped, err := os.ReadFile(filepath.Join(programs.root, "deploy", "nginx", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	headers := func(text, directive string) (all []string) {
		for _, found := range regexp.MustCompile(`(?m)^ +`+directive+` +(\S+) +(\S+);$`).FindAllStringSubmatch(text, -1) {
			if found[1] != "Connection" && found[1] != "Upgrade" { // HTTP/2 has neither
				all = append(all, found[1]+" "+found[2])
			}
		}
		return all
	}
	_, server, _ := strings.Cut(string(shipped), "auth_request_set")
	server, _, _ = strings.Cut(server, "location ")
	want, got := headers(server, "proxy_set_header"), headers(withGRPC(t)(string(shipped)), "grpc_set_header")
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("to a gRPC API: %q\nto an HTTP API: %q", got, want)
	}
}

// TestNginxPassesGRPCOnlyAsJudged: grpc_pass forwards the target that was sent,
// and the API is only named if Keyward checked that very target.
func TestNginxPassesGRPCOnlyAsJudged(t *testing.T) {
	for name, asked := range map[string]string{
		"a key in the query":      "proxy_pass http://keyward/authz/nginx;",
		"a 200 of another server": "proxy_pass http://api;",
	} {
		text := func(text string) string {
			return strings.Replace(withGRPC(t)(text), "proxy_pass http://keyward/authz/nginx;", asked, 1)
		}
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, options{proxy: "nginx", config: routesConfig, text: text})
			key := s.key("--name", "k")
			s.start()
			a := s.getHTTP2(":path: /shop.Orders/Get?api_key="+key, "content-type: application/grpc")
			if a.header.Get("Grpc-Status") != "14" || a.header.Get("Content-Type") != "application/grpc" {
				t.Errorf("%d %v %s", a.status, a.header, a.body)
			}
			for _, r := range s.received {
				if strings.HasPrefix(r.Path, "/shop.") {
					t.Errorf("%s reached the API", r.Path)
				}
			}
		})
	}
}
