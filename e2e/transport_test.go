package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/e2e/stack"
)

// TestUnixSocket makes Envoy and nginx ask on a socket.
func TestUnixSocket(t *testing.T) {
	socket := socketName(t)
	for name, o := range map[string]options{
		"Envoy": {grpc: "unix://" + socket, envoy: throughSocket(socket)},
		"nginx": {proxy: "nginx", http: "unix://" + socket, text: func(text string) string {
			return strings.Replace(text, "server 127.0.0.1:9192;", "server unix:"+socket+";", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) { answersOnSocket(t, o) })
	}
}

func answersOnSocket(t *testing.T, o options) {
	s := newSystem(t, o)
	s.allowsAndDenies()
	s.Keyward.Kill() // leaves its socket file
	if a := s.get("/"); a.status != 503 {
		t.Errorf("without Keyward: %d", a.status)
	}
	if err := s.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("asked again", func() (answer, bool) { a := s.get("/"); return a, a.status == 401 })
}

// socketName returns a path in a directory of its own.
func socketName(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kw") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "keyward.sock")
}

// TestMutualTLS makes Envoy and nginx ask over TLS, with certificates on both
// sides.
func TestMutualTLS(t *testing.T) {
	for name, proxy := range map[string]struct {
		listener string
		options  func(client *pair, trusted string) options
	}{
		"Envoy": {"grpc", func(client *pair, trusted string) options { return options{envoy: encrypted(client, trusted)} }},
		"nginx": {"http", func(client *pair, trusted string) options {
			return options{proxy: "nginx", text: nginxEncrypted(client, trusted)}
		}},
	} {
		t.Run(name, func(t *testing.T) { mutualTLS(t, proxy.listener, proxy.options) })
	}
}

func mutualTLS(t *testing.T, listener string, opts func(client *pair, trusted string) options) {
	certs := t.TempDir()
	trustedCA, otherCA := newAuthority(t, certs, "trustedCA"), newAuthority(t, certs, "otherCA")
	server := trustedCA.issue(t, certs, "keyward.test")
	config := fmt.Sprintf("tls: {%s: {cert_file: %q, key_file: %q, client_ca_file: %q}}\n%s",
		listener, server.cert, server.key, trustedCA.file, allSources)
	for name, c := range map[string]struct {
		client *pair // nil for none
		trust  authority
		works  bool
	}{
		"with valid certificates":                                 {trustedCA.issue(t, certs, "proxy.test"), trustedCA, true},
		"without a client certificate":                            {nil, trustedCA, false},
		"with a certificate of another authority":                 {otherCA.issue(t, certs, "evil.test"), trustedCA, false},
		"Keyward has a certificate that the proxy does not trust": {trustedCA.issue(t, certs, "proxy2.test"), otherCA, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := opts(c.client, c.trust.file)
			o.config = config
			s := newSystem(t, o)
			if c.works {
				s.allowsAndDenies()
				return
			}
			key := s.key("--name", "k")
			s.start()
			s.deniesAll(key)
		})
	}
}

// allowsAndDenies starts the system and tries an allow and a denial.
func (s *system) allowsAndDenies() {
	s.t.Helper()
	key := s.key("--name", "k")
	s.start()
	if a := s.get("/", bearer(key)); a.status != 200 {
		s.t.Errorf("with a key: %d %s", a.status, a.reason())
	}
	if a := s.get("/"); a.status != 401 || a.reason() != "no_credential" {
		s.t.Errorf("without: %d %s", a.status, a.reason())
	}
}

// encrypted makes Envoy present the certificate to Keyward, and trust one
// authority.
func encrypted(client *pair, trusted string) func(*testing.T, *stack.EnvoyConfig) {
	return func(_ *testing.T, c *stack.EnvoyConfig) {
		context := object{
			"alpn_protocols": []any{"h2"},
			"validation_context": object{
				"trusted_ca": object{"filename": trusted},
				"match_typed_subject_alt_names": []any{
					object{"san_type": "DNS", "matcher": object{"exact": "keyward.test"}},
				},
			},
		}
		if client != nil {
			context["tls_certificates"] = []any{object{
				"certificate_chain": object{"filename": client.cert},
				"private_key":       object{"filename": client.key},
			}}
		}
		c.Find("keyward")["transport_socket"] = object{
			"name": "envoy.transport_sockets.tls",
			"typed_config": object{
				"@type":              "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
				"sni":                "keyward.test",
				"common_tls_context": context,
			},
		}
	}
}

// nginxEncrypted is encrypted for nginx.
func nginxEncrypted(client *pair, trusted string) func(string) string {
	settings := fmt.Sprintf("    proxy_ssl_verify on;\n    proxy_ssl_trusted_certificate %s;\n    proxy_ssl_name keyward.test;\n", trusted)
	if client != nil {
		settings += fmt.Sprintf("    proxy_ssl_certificate %s;\n    proxy_ssl_certificate_key %s;\n", client.cert, client.key)
	}
	return strings.NewReplacer("    server {\n", settings+"    server {\n", "proxy_pass http://keyward/", "proxy_pass https://keyward/").Replace
}

// TestHTTPListenerSpeaksHTTP2 uses HTTP/2 in plaintext and over TLS, and
// HTTP/1.1 as the proxies do, at one port.
func TestHTTPListenerSpeaksHTTP2(t *testing.T) {
	certs := t.TempDir()
	trustedCA := newAuthority(t, certs, "trustedCA")
	server := trustedCA.issue(t, certs, "keyward.test")
	authority, err := os.ReadFile(trustedCA.file)
	if err != nil {
		t.Fatal(err)
	}
	for scheme, config := range map[string]string{
		"http":  allSources,
		"https": fmt.Sprintf("tls: {http: {cert_file: %q, key_file: %q}}\n%s", server.cert, server.key, allSources),
	} {
		t.Run(scheme, func(t *testing.T) {
			s := newSystem(t, options{config: config})
			key := s.key("--name", "k")
			s.start()
			for major := 1; major <= 2; major++ {
				s.askOver(scheme, major, authority, key)
			}
		})
	}
}

// askOver asks as nginx does, over one version of HTTP only.
func (s *system) askOver(scheme string, major int, authority []byte, key string) {
	s.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "keyward.test"}}
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(authority)
	transport.Protocols.SetHTTP1(major == 1)
	transport.Protocols.SetHTTP2(major == 2)
	transport.Protocols.SetUnencryptedHTTP2(major == 2)
	for authorization, status := range map[string]int{"Bearer " + key: http.StatusOK, "": http.StatusUnauthorized} {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, scheme+"://"+stack.Address(s.Ports().HTTP)+"/authz/nginx", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		request.Header = http.Header{"X-Original-Uri": {"/any"}, "X-Original-Method": {"GET"}, "Authorization": {authorization}}
		response, err := transport.RoundTrip(request)
		if err != nil {
			s.t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status || response.ProtoMajor != major || (response.Header.Get("X-Keyward-Uri") == "/any") != (status == http.StatusOK) {
			s.t.Errorf("%s: %d %v, want %d over HTTP/%d", response.Proto, response.StatusCode, response.Header, status, major)
		}
	}
}
