package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keyward/e2e/stack"
)

func TestUnixSocket(t *testing.T) {
	// t.TempDir is too long a name for a socket.
	dir, err := os.MkdirTemp("", "kw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "grpc.sock")
	s := newSystem(t, options{grpc: "unix://" + socket, envoy: throughSocket(socket)})
	s.allowsAndDenies()
	s.Keyward.Kill() // leaves its socket behind
	if a := s.get("/"); a.status != 503 {
		t.Errorf("without Keyward: %d", a.status)
	}
	if err := s.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("asked again", func() (answer, bool) { a := s.get("/"); return a, a.status == 401 })
}

func TestMutualTLS(t *testing.T) {
	certs := t.TempDir()
	ours, theirs := newAuthority(t, certs, "ours"), newAuthority(t, certs, "theirs")
	server := ours.issue(t, certs, "keyward.test")
	config := fmt.Sprintf("tls: {grpc: {cert_file: %q, key_file: %q, client_ca_file: %q}}\n%s",
		server.cert, server.key, ours.file, allSources)
	for name, c := range map[string]struct {
		client *pair // nil is none
		trust  authority
		works  bool
	}{
		"with our certificates":           {ours.issue(t, certs, "envoy.test"), ours, true},
		"without a client certificate":    {nil, ours, false},
		"with somebody else's":            {theirs.issue(t, certs, "evil.test"), ours, false},
		"Keyward is not whom Envoy wants": {ours.issue(t, certs, "envoy2.test"), theirs, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t, options{config: config, envoy: encrypted(c.client, c.trust.file)})
			if c.works {
				s.allowsAndDenies()
				return
			}
			key := s.key("--name", "k")
			s.start()
			s.nobodyGetsIn(key)
		})
	}
}

// allowsAndDenies starts the system and tries both.
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

// encrypted has Envoy show the certificate to Keyward and trust one authority.
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
