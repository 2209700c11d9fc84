package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

const (
	publicHost = "console.example.com"
	// remote is the address of the client: another than that of the proxy.
	remote = "127.0.0.2"
)

// TestBehindProxies: the console behind nginx and Envoy, by the shipped files: users log in and
// change things by its public name, the audit log has their address and not one that they
// choose, and no log of the proxy has the code of a link.
func TestBehindProxies(t *testing.T) {
	for name, proxy := range map[string]func(*testing.T, string, stack.Ports) stack.Proxy{"nginx": consoleNginx, "envoy": consoleEnvoy} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, setup{
				style: "generic", prefix: "kw_", more: "  public_url: https://" + publicHost + "\ntrusted_proxies: [127.0.0.1/32]\n", users: [][]string{{"alice"}}, proxy: proxy,
			})
			c := publicClient(t, s)
			login := c.send(http.MethodGet, "/", nil)
			if login.StatusCode != http.StatusSeeOther || login.Header.Get("Location") != "/login" || login.Header.Get("Strict-Transport-Security") == "" {
				t.Fatalf("without a session: %s, %v", login.Status, login.Header)
			}
			c.send(http.MethodPost, "/login", url.Values{"username": {"alice"}, "password": {"a wrong password"}})
			if in := c.send(http.MethodPost, "/login", url.Values{"username": {"alice"}, "password": {password}}); in.StatusCode != http.StatusSeeOther || len(in.Cookies()) != 1 {
				t.Fatalf("login: %s", in.Status)
			}
			if made := c.send(http.MethodPost, "/me/keys", url.Values{"name": {"by proxy"}, "expires": {"30d"}, "scopes": {"user"}, "idempotency_key": {"one"}}); made.StatusCode != http.StatusOK || made.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("a new key: %s", made.Status)
			}
			if forged := c.send(http.MethodPost, "/me/keys", url.Values{"name": {"forged"}, "idempotency_key": {"two"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); forged.StatusCode != http.StatusForbidden {
				t.Errorf("a form of another site: %s", forged.Status)
			}
			if other := c.send(http.MethodGet, "/login", nil, "Host", "other.example.com"); other.StatusCode/100 != 4 {
				t.Errorf("another host: %s", other.Status)
			}
			code := "CODE" + rand.Text()
			c.send(http.MethodGet, "/password/"+code, nil)
			c.send(http.MethodGet, "/setup/"+code, nil)
			s.wantAddress("key.create")
			s.wantNoLogOf(code)
		})
	}
}

// wantAddress holds the entry of the audit log to the client's address.
func (s *site) wantAddress(action string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"action":"`+action+`"`) && strings.Contains(line, `"via":"console"`) {
			if found = true; !strings.Contains(line, `"address":"`+remote+`"`) {
				s.t.Errorf("the entry has another address: %s", line)
			}
		}
	}
	if !found {
		s.t.Errorf("the audit log has no %s: %s", action, text)
	}
}

// wantNoLogOf searches all that the programs have logged, which are requests at least.
func (s *site) wantNoLogOf(code string) {
	s.t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	all := ""
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(all, `"/login"`) && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		all = ""
		for _, file := range logs {
			text, err := os.ReadFile(file)
			if err != nil {
				s.t.Fatal(err)
			}
			all += string(text)
		}
	}
	if !strings.Contains(all, `"/login"`) {
		s.t.Error("the proxy logs no request")
	}
	if strings.Contains(all, code) {
		s.t.Error("a log has the code of a link")
	}
}

// consoleNginx is nginx with the shipped file for the console.
func consoleNginx(t *testing.T, dir string, ports stack.Ports) stack.Proxy {
	t.Helper()
	binary, err := stack.NginxBinary()
	if err != nil {
		t.Fatal(err)
	}
	return stack.Nginx{Binary: binary, Config: consoleConfig(t, dir, "nginx.conf", "listen 443 ssl;", "listen "+stack.Address(ports.Envoy)+" ssl;")}
}

// consoleEnvoy is Envoy with the shipped file for the console.
func consoleEnvoy(t *testing.T, dir string, ports stack.Ports) stack.Proxy {
	t.Helper()
	text := consoleConfig(t, dir, "envoy.yaml",
		"address: 0.0.0.0, port_value: 443", fmt.Sprint("address: 127.0.0.1, port_value: ", ports.Envoy),
		"port_value: 9194", fmt.Sprint("port_value: ", ports.Console), "port_value: 9901", fmt.Sprint("port_value: ", ports.EnvoyAdmin))
	file := filepath.Join(dir, "console-envoy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return stack.EnvoyArgs{Binary: programs.envoy, Args: []string{"-c", file, "--disable-hot-restart"}}
}

// consoleConfig returns a file of deploy/console with a certificate that is in the directory,
// and each of the texts replaced, which the file has once.
func consoleConfig(t *testing.T, dir, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(programs.root, "deploy", "console", name))
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := newCertificate(t, dir)
	replace = append(replace, "/etc/ssl/certs/"+publicHost+".pem", certificate, "/etc/ssl/private/"+publicHost+".key", key)
	config := string(text)
	for i := 0; i < len(replace); i += 2 {
		if strings.Count(config, replace[i]) != 1 {
			t.Fatalf("%s does not have exactly once: %s", name, replace[i])
		}
		config = strings.Replace(config, replace[i], replace[i+1], 1)
	}
	return config
}

// newCertificate writes a certificate that signs itself.
func newCertificate(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{publicHost}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "console.pem"), filepath.Join(dir, "console.key")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// client is a browser of another machine, which finds the console by its public name.
type client struct {
	t       *testing.T
	http    http.Client
	cookies []*http.Cookie
}

func publicClient(t *testing.T, s *site) *client {
	t.Helper()
	certificate, err := os.ReadFile(filepath.Join(s.dir, "console.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(remote)}}
	return &client{t: t, http: http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: publicHost},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, strings.TrimPrefix(s.api, "http://"))
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send sends a request with the cookies that the client has, from a page of the console, and
// with an address that the client chooses itself.
func (c *client) send(method, path string, form url.Values, header ...string) *http.Response {
	c.t.Helper()
	r, err := http.NewRequest(method, "https://"+publicHost+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	got, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = got.Body.Close()
	if set := got.Cookies(); len(set) > 0 {
		c.cookies = set
	}
	return got
}
