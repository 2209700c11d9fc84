package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	c := &terminal{hosts: e.hosts, keys: map[string]string{}, variables: map[string]string{}, verified: map[string]bool{}, mediaType: e.mediaType}
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

// TestHalo runs the commands of Halo's page, and with the proxies that have the issuer's
// endpoints those of its login.
func TestHalo(t *testing.T) { throughEvery(t, runHalo) }

// throughEvery runs a test with every proxy, Envoy and nginx with the issuer's endpoints, and
// with the module.
func throughEvery(t *testing.T, test func(t *testing.T, proxy string)) {
	for _, proxy := range slices.Concat(issuerProxies, inEnvoy, overHTTP) {
		t.Run(proxy, func(t *testing.T) { test(t, proxy) })
	}
}

func runHalo(t *testing.T, proxy string) {
	const api = "http://localhost:8091"
	c, printed := exampleFile{
		name: "halo", hosts: []string{"localhost:8091"}, mediaType: "application/json", proxy: proxy,
		edit: func(text string) string { return strings.Replace(text, "'a long password'", "password", 1) }, // the page's
	}.start(t)
	pat := printed[1]
	issuer := c.pastProxy(api)
	token, other := issuer.logIn("admin", "password").Token, issuer.logIn("admin", "password").Token
	own, forger := c.signer(), signer{newECDSAKey(t)}
	c.keys["pat_1234567890abcdef"], c.keys["your-token"] = pat, pat
	c.variables = map[string]string{
		"ID": c.idOf(pat), "PAT_ENDS": c.endOf(pat), "MISTYPED": misconfigured(pat),
		"JWT": token, "JWT_TO_REVOKE": other, "JTI": c.idOfToken(other),
		"JWT_WITHOUT_SCOPES": own.sign(t, token, map[string]any{"scope": ""}),
		"JWT_OF_UNKNOWN":     own.sign(t, token, map[string]any{"sub": "mallory"}),
		"JWT_EXPIRED":        own.sign(t, token, expiredClaims()),
		"JWT_FORGED":         forger.sign(t, token, nil),
	}
	c.run(t, "halo")
	if slices.Contains(issuerProxies, proxy) {
		c.run(t, "halo-login")
	}
	c.keepsSecrets(t)
}

// expiredClaims are those of a token that was valid until a minute ago.
func expiredClaims() map[string]any {
	ended := time.Now().Add(-time.Minute)
	return map[string]any{"iat": ended.Add(-time.Hour).Unix(), "exp": ended.Unix()}
}

// TestHalfred runs the commands of Halfred's page.
func TestHalfred(t *testing.T) {
	throughProxies(t, runHalfred, append(overHTTP, "envoy-module-alone")...)
}

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
	if c.moduleAdmin != 0 {
		c.Proxy.Stop() // it has the uses that were checked within it
	}
	c.Keyward.Stop()
	c.variables["NEW_HINT"] = c.variables["NEW"][len("halfred_") : len("halfred_")+4]
	c.run(t, "halfred-usage")
	c.keepsSecrets(t)
}

// TestHaplo runs the command of Haplo's page.
func TestHaplo(t *testing.T) { throughProxies(t, runHaplo, append(overHTTP, "envoy-module-alone")...) }

func runHaplo(t *testing.T, proxy string) {
	c, printed := exampleFile{
		name: "haplo", hosts: []string{"application.example.com:443"}, tls: "application.example.com", mediaType: "application/problem+json", proxy: proxy,
	}.start(t)
	c.keys["0123456789ABCDEF0123456789ABCDEF0123456789AB"] = printed[1]
	c.variables["ID"] = c.idOf(printed[1])
	c.run(t, "haplo")
	c.keepsSecrets(t)
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
