package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// The shipped configurations of the proxies are for plaintext. Each of these
// functions makes a proxy speak TLS too, at the port that it returns.

func haproxyTLS(t *testing.T, o *options, p *pair) int {
	t.Helper()
	var both []byte
	for _, file := range []string{p.cert, p.key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	file := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	o.text = func(text string) string {
		const plain = "    bind 127.0.0.1:10000\n"
		return strings.Replace(text, plain, fmt.Sprintf("%s    bind %s ssl crt %s\n", plain, stack.Address(port), file), 1)
	}
	return port
}

// caddyTLS writes each site twice, because Caddy accepts no tls directive in a
// plaintext site.
func caddyTLS(t *testing.T, o *options, p *pair) int {
	t.Helper()
	port := freePort(t)
	o.text = func(text string) string {
		return strings.Replace(text, "\nhttp://:10000 {\n", "\n(edge) {\n", 1) + fmt.Sprintf(
			"\nhttp://:10000 {\n\timport edge\n}\n\nhttps://:%d {\n\timport edge\n\ttls %q %q\n}\n", port, p.cert, p.key)
	}
	return port
}

func traefikTLS(t *testing.T, o *options, p *pair) int {
	t.Helper()
	port := freePort(t)
	o.text = func(text string) string {
		text = strings.Replace(text, "\nproviders:\n", fmt.Sprintf("\n  edgetls: {address: %q, http: {tls: {}, aliasHeadersStrategy: delete, sanitizePath: true}}\nproviders:\n", stack.Address(port)), 1)
		if strings.Contains(text, "entryPoints: [edge]") {
			text = strings.ReplaceAll(text, "entryPoints: [edge]", "entryPoints: [edge, edgetls]") +
				fmt.Sprintf("\ntls: {certificates: [{certFile: %q, keyFile: %q}]}\n", p.cert, p.key)
		}
		return text
	}
	return port
}

func freePort(t *testing.T) int {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	return ports.Envoy
}
