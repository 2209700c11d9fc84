package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/e2e/stack"
)

// exampleFile says how an example of deploy/examples is started.
type exampleFile struct {
	name      string // of the file, without .yaml
	hosts     []string
	tls       string                   // the name that Envoy's certificate is for; "" is plain http
	edit      func(text string) string // changes that an operator has to make; nil for none
	mediaType string
	proxy     string // of those in proxies_test.go
	keyward   string // in place of the usual binary
}

// start copies the file, runs the commands in its head and returns a terminal,
// and what the commands printed, in order.
func (e exampleFile) start(t *testing.T) (_ *terminal, printed []string) {
	t.Helper()
	need(t, "curl")
	file := e.name + ".yaml"
	c := &terminal{hosts: e.hosts, keys: map[string]string{}, variables: map[string]string{}, mediaType: e.mediaType}
	opts := options{example: file, proxy: e.proxy, keyward: e.keyward}
	if e.tls != "" {
		certs := t.TempDir()
		a := newAuthority(t, certs, "edge")
		c.authority = &a
		c.tlsPort = proxies[e.proxy].tls(t, &opts, a.issue(t, certs, e.tls))
	}
	c.system = newSystem(t, opts)
	shipped, err := os.ReadFile(filepath.Join(programs.root, "deploy", "examples", file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(shipped)
	if e.edit != nil {
		text = e.edit(text)
	}
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range c.commandsToStart(text) {
		out, err := c.shell(command)
		if err != nil {
			t.Fatalf("%s: %s: %v", file, command, err)
		}
		printed = append(printed, out)
	}
	c.keyward("config", "validate", file)
	c.start()
	return c, printed
}

// commandsToStart returns the commands in the head of an example without the
// last one, which starts the server.
func (c *terminal) commandsToStart(text string) (commands []string) {
	c.t.Helper()
	for line := range strings.Lines(text) {
		command, indented := strings.CutPrefix(line, "#   ")
		if indented {
			commands = append(commands, strings.TrimSpace(command))
		} else if !strings.HasPrefix(line, "#") {
			break
		}
	}
	last := len(commands) - 1
	if want := "keyward serve --config " + c.opts.example; last < 0 || commands[last] != want {
		c.t.Fatalf("the commands in the head of %s do not end in %s: %q", c.opts.example, want, commands)
	}
	return commands[:last]
}

// speakTLS makes Envoy accept TLS, and still plain HTTP, at one port.
func speakTLS(p *pair) func(*testing.T, *stack.EnvoyConfig) {
	return func(_ *testing.T, c *stack.EnvoyConfig) {
		edge := c.Find("edge")
		edge["listener_filters"] = []any{object{
			"name": "envoy.filters.listener.tls_inspector",
			"typed_config": object{
				"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
			},
		}}
		filters := edge["filter_chains"].([]any)[0].(object)["filters"]
		edge["filter_chains"] = []any{
			object{"name": "tls", "filters": filters, "filter_chain_match": object{"transport_protocol": "tls"}, "transport_socket": object{
				"name": "envoy.transport_sockets.tls",
				"typed_config": object{
					"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
					"common_tls_context": object{
						"alpn_protocols": []any{"h2", "http/1.1"},
						"tls_certificates": []any{object{
							"certificate_chain": object{"filename": p.cert}, "private_key": object{"filename": p.key},
						}},
					},
				},
			}},
			object{"name": "plain", "filters": filters, "filter_chain_match": object{"transport_protocol": "raw_buffer"}},
		}
	}
}

// TestHalo runs the commands of Halo's page.
func TestHalo(t *testing.T) { throughProxies(t, runHalo, overHTTP...) }

func runHalo(t *testing.T, proxy string) {
	c, printed := exampleFile{name: "halo", hosts: []string{"localhost:8091"}, mediaType: "application/json", proxy: proxy}.start(t)
	pat := printed[2]
	jti := rand.Text()
	c.keys["pat_1234567890abcdef"], c.keys["your-token"] = pat, pat
	c.variables = map[string]string{
		"ID": c.idOf(pat), "PAT_ENDS": c.endOf(pat), "MISTYPED": misconfigured(pat), "JTI": jti,
		"JWT":                c.login(jwt.MapClaims{"iss": "halo", "sub": "admin", "jti": jti}),
		"JWT_WITHOUT_SCOPES": c.login(jwt.MapClaims{"iss": "halo", "sub": "admin", "scope": ""}),
		"JWT_OF_UNKNOWN":     c.login(jwt.MapClaims{"iss": "halo", "sub": "mallory"}),
		"JWT_EXPIRED":        c.login(jwt.MapClaims{"iss": "halo", "sub": "admin", "exp": time.Now().Add(-time.Minute).Unix()}),
		"JWT_FORGED": sign(t, jwt.SigningMethodHS256, bytes.Repeat([]byte("x"), 64), "", "JWT",
			claims(jwt.MapClaims{"iss": "halo", "sub": "admin"})),
	}
	c.run(t, "halo")
	c.keepsSecrets(t)
}

// TestHalfred runs the commands of Halfred's page.
func TestHalfred(t *testing.T) { throughProxies(t, runHalfred, overHTTP...) }

func runHalfred(t *testing.T, proxy string) {
	c, printed := exampleFile{
		name: "halfred", hosts: []string{"api.halfred.ai:443"}, tls: "api.halfred.ai", mediaType: "application/json", proxy: proxy,
	}.start(t)
	key := printed[0]
	c.keys["halfred_"+strings.Repeat("x", 28)] = key
	c.variables = map[string]string{
		"ID": c.idOf(key), "HINT": key[len("halfred_") : len("halfred_")+4],
		"WITHOUT_PREFIX": strings.TrimPrefix(key, "halfred_"), "MISTYPED": misconfigured(key),
	}
	c.run(t, "halfred")
	c.Keyward.Stop()
	c.variables["NEW_HINT"] = c.variables["NEW"][len("halfred_") : len("halfred_")+4]
	c.run(t, "halfred-usage")
	c.keepsSecrets(t)
}

// TestHaplo runs the command of Haplo's page.
func TestHaplo(t *testing.T) { throughProxies(t, runHaplo, overHTTP...) }

func runHaplo(t *testing.T, proxy string) {
	c, printed := exampleFile{
		name: "haplo", hosts: []string{"application.example.com:443"}, tls: "application.example.com", mediaType: "application/problem+json", proxy: proxy,
	}.start(t)
	c.keys["0123456789ABCDEF0123456789ABCDEF0123456789AB"] = printed[1]
	c.variables["ID"] = c.idOf(printed[1])
	c.run(t, "haplo")
	c.keepsSecrets(t)
}

// TestGenericAPI runs the commands of the Generic API's page, with the test's
// authorization server and then without one.
func TestGenericAPI(t *testing.T) { throughProxies(t, runGenericAPI, overHTTP...) }

func runGenericAPI(t *testing.T, proxy string) {
	server := startAuthorizationServer(t, "keyward:from your authorization server")
	c, printed := exampleFile{
		name: "generic-api", hosts: []string{"api.example.com:443", "api.example.com:80"}, tls: "api.example.com", mediaType: "application/json", proxy: proxy,
		edit: func(text string) string { return strings.ReplaceAll(text, "https://auth.example.com", server.URL) },
	}.start(t)
	key := printed[2]
	c.variables = c.genericTokens(server)
	c.variables["ID"], c.variables["KEY_ENDS"], c.variables["MISTYPED"] = c.idOf(key), c.endOf(key), misconfigured(key)
	c.keys["YOUR_API_KEY"], c.keys["your_api_key_here"] = key, key
	c.keys["YOUR_JWT_TOKEN"] = c.variables["JWT"]
	c.keys["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."] = c.variables["JWT"]
	c.run(t, "generic-api")
	c.keepsSecrets(t)
	server.Close()
	c.run(t, "generic-api-away")
}

// genericTokens returns tokens of the Generic API's login endpoint and of the
// authorization server, valid and invalid.
func (s *system) genericTokens(server *authorizationServer) map[string]string {
	s.t.Helper()
	const issuer = "https://api.example.com"
	now := time.Now()
	ends := now.Add(50 * time.Minute).UTC()
	jti := rand.Text()
	user := func(given jwt.MapClaims) jwt.MapClaims {
		c := claims(jwt.MapClaims{"iss": issuer, "aud": issuer, "sub": "12345", "scope": "write read", "exp": ends.Unix()})
		maps.Copy(c, given)
		return c
	}
	reader := jwt.MapClaims{"sub": "12345", "scope": "read"}
	return map[string]string{
		"JWT": s.login(user(jwt.MapClaims{"jti": jti})), "JTI": jti, "JWT_ENDS": ends.Format(time.RFC3339),
		"JWT_NEW":               s.login(user(nil)),
		"JWT_EXPIRED":           s.login(user(jwt.MapClaims{"exp": now.Add(-time.Minute).Unix()})),
		"JWT_OF_TWO_HOURS":      s.login(user(jwt.MapClaims{"exp": now.Add(2 * time.Hour).Unix()})),
		"JWT_FOR_ANOTHER_API":   s.login(user(jwt.MapClaims{"aud": "https://other.example.com"})),
		"JWT_OF_ANOTHER_ISSUER": s.login(user(jwt.MapClaims{"iss": server.URL})),
		"JWT_FORGED":            sign(s.t, jwt.SigningMethodHS256, bytes.Repeat([]byte("x"), 64), "", "JWT", user(nil)),
		"ACCESS_RS256":          server.accessToken(jwt.SigningMethodRS256, reader),
		"ACCESS_ES256":          server.accessToken(jwt.SigningMethodES256, reader),
		"ACCESS_NEW":            server.accessToken(jwt.SigningMethodRS256, reader),
		"OPAQUE":                server.opaque(jwt.MapClaims{"sub": "12345", "scope": "read write", "exp": ends.Unix()}),
		"OPAQUE_EXPIRED":        server.opaque(jwt.MapClaims{"sub": "12345", "exp": now.Add(-time.Minute).Unix()}),
		"OPAQUE_KNOWN":          server.opaque(reader),
		"OPAQUE_NEW":            server.opaque(reader),
	}
}

// endOf returns when a key expires.
func (s *system) endOf(key string) string {
	s.t.Helper()
	var view struct{ Expires string }
	if err := json.Unmarshal(s.run(key, "key", "verify", "--file", "keys.jsonl", "--json"), &view); err != nil || view.Expires == "" {
		s.t.Fatalf("key verify prints no expiry: %v", err)
	}
	return view.Expires
}

// misconfigured returns the key with its last character replaced.
func misconfigured(key string) string {
	last := "0"
	if strings.HasSuffix(key, last) {
		last = "1"
	}
	return key[:len(key)-1] + last
}
