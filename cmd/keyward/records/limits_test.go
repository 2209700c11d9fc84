package records

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/admin"
	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"

	"keyward/cmd/keyward/command"
)

const someID = "k_0123456789aB"

// fakeAdmin is an admin listener that knows one key.
type fakeAdmin struct {
	*httptest.Server
	err error
}

func newFakeAdmin(t *testing.T) *fakeAdmin {
	t.Helper()
	a := &fakeAdmin{}
	a.Server = httptest.NewUnstartedServer(admin.Handler(prometheus.NewRegistry(), func() error { return nil }, admin.Keys{
		Limit: func(_ context.Context, id string) (any, error) {
			if id != someID {
				return nil, a.err
			}
			return map[string]any{
				"limit": "api_key", "rate": "1000/h", "burst": 50, "remaining": 0, "reset_seconds": 176.4005, "retry_after_seconds": 0.25,
			}, a.err
		},
	}))
	t.Cleanup(a.Close)
	return a
}

// limits runs a limits command.
func limits(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &command.Env{
		Context: context.Background(), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) (string, bool) { return "", false }, Now: time.Now,
	}
	code = env.Run(&grammar{}, append([]string{"limits"}, args...))
	return code, out.String(), errs.String()
}

func (a *fakeAdmin) address() string { return a.Listener.Addr().String() }

func TestLimitsShow(t *testing.T) {
	a := newFakeAdmin(t)
	a.Start()
	code, stdout, stderr := limits("show", someID, "--admin", a.address())
	const want = `id           k_0123456789aB
limit        api_key
rate         1000/h
burst        50
remaining    0
retry after  250ms
reset after  2m56.401s
`
	if code != command.Done || stdout != want || stderr != "" {
		t.Errorf("%d %q\n%s", code, stderr, stdout)
	}
	code, stdout, _ = limits("show", someID, "--admin", a.address(), "--json")
	const asJSON = `{"id":"k_0123456789aB","limit":"api_key","rate":"1000/h","burst":50,"remaining":0,"reset_seconds":176.4005,"retry_after_seconds":0.25}` + "\n"
	if code != command.Done || stdout != asJSON {
		t.Errorf("%d %s", code, stdout)
	}
	code, stdout, stderr = limits("show", "k_zzzzzzzzzzzz", "--admin", a.address())
	if code != command.Refused || stdout != "" || !strings.Contains(stderr, "answers 404: no limit is set for such a key\n") {
		t.Errorf("no limit: %d %s%s", code, stdout, stderr)
	}
	a.err = errors.New("the store is down\x1b[31m")
	code, stdout, stderr = limits("show", someID, "--admin", a.address())
	if code != command.Refused || stdout != "" || !strings.Contains(stderr, `answers 503: "the store is down\x1b[31m"`) {
		t.Errorf("no answer: %d %s%q", code, stdout, stderr)
	}
}

// TestLimitsReset: the admin listener resets nothing, and has no part in it.
func TestLimitsReset(t *testing.T) {
	a := newFakeAdmin(t)
	a.Start()
	if code, stdout, stderr := limits("reset", someID); code != command.BadUsage || stdout != "" || !strings.Contains(stderr, "name it with --server") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	for _, flag := range []string{"--admin", "--config"} {
		if code, stdout, stderr := limits("reset", someID, flag, a.address()); code != command.BadUsage || stdout != "" || !strings.Contains(stderr, "unknown flag") {
			t.Errorf("%s: %d %s%s", flag, code, stdout, stderr)
		}
	}
}

// TestLimitsOfWhat: a key in place of its id is neither sent nor printed.
func TestLimitsOfWhat(t *testing.T) {
	a := newFakeAdmin(t)
	a.Start()
	key := authz.NewSecret("kw_4X8DKSS24K3yA5svpnIXoG1meypn3RUA19kNKA").Reveal()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{key, "", "k_", someID + "x", "x_0123456789aB", "ci", "k_/../../x?y#", "k_0123/56789a", "k_0123456789a?"} {
		for verb, place := range map[string][]string{"show": {"--admin", a.address()}, "reset": {"--server", "http://127.0.0.1:1", "--token-file", token}} {
			code, stdout, stderr := limits(append([]string{verb, id}, place...)...)
			if code != command.Refused || stdout != "" || !strings.Contains(stderr, "an id is k_ and 12 characters") || strings.Contains(stderr, key) {
				t.Errorf("%s %q: %d %s%s", verb, id, code, stdout, stderr)
			}
		}
	}
}

// TestNoKeywardThere: the answer of another program is not taken for a limit.
func TestNoKeywardThere(t *testing.T) {
	for _, body := range []string{"ok", "[]", "{}", `{"limit":1}`, ""} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		code, stdout, stderr := limits("show", someID, "--admin", s.Listener.Addr().String())
		if s.Close(); code != command.Refused || stdout != "" || !strings.Contains(stderr, "not a Keyward admin listener") {
			t.Errorf("%s: %d %s%s", body, code, stdout, stderr)
		}
	}
}

// TestLimitsOverTLS: only the certificate in the configuration is trusted, and a
// client certificate is sent if one is given.
func TestLimitsOverTLS(t *testing.T) {
	a := newFakeAdmin(t)
	a.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	a.StartTLS()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := write("cert", "CERTIFICATE", a.Certificate().Raw), write("key", "PRIVATE KEY", key)
	other := write("other", "CERTIFICATE", append([]byte{0x30}, a.Certificate().Raw[1:len(a.Certificate().Raw)-1]...))
	configure := func(certFile string) string {
		path := filepath.Join(dir, "keyward.yaml")
		text := "listen: {admin: \"" + a.address() + "\"}\ntls: {admin: {cert_file: " + certFile + ", key_file: " + keyFile + "}}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		about, certFile string // "": without a configuration
		args            []string
		code            int
		want            string
	}{
		{"the server's certificate", cert, nil, command.Done, ""},
		{"asked under another name", cert, []string{"--admin", strings.Replace(a.address(), "127.0.0.1", "localhost", 1)}, command.Done, ""},
		{"without TLS", "", []string{"--admin", a.address()}, command.Refused, "HTTP request to an HTTPS server"},
		{"none of one's own", cert, []string{"--cert", "nowhere", "--key", "nowhere"}, command.Refused, `loading certificate "nowhere"`},
		{"another certificate", other, nil, command.Refused, "its certificate is not the one in " + other},
		{"no certificate", keyFile, nil, command.Refused, keyFile + " has no certificate"},
	} {
		args := append([]string{"show", someID}, test.args...)
		if test.certFile != "" {
			args = append(args, "--config", configure(test.certFile))
		}
		code, stdout, stderr := limits(args...)
		if code != test.code || !strings.Contains(stderr, test.want) || (stdout != "") != (code == command.Done) {
			t.Errorf("%s: %d %s%s", test.about, code, stdout, stderr)
		}
	}
	seen := 0
	handler := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = len(r.TLS.PeerCertificates)
		handler.ServeHTTP(w, r)
	})
	config := configure(cert)
	for want, args := range [][]string{nil, {"--cert", cert, "--key", keyFile}} {
		code, stdout, stderr := limits(append([]string{"show", someID, "--json", "--config", config}, args...)...)
		if code != command.Done || !json.Valid([]byte(stdout)) || seen != want {
			t.Errorf("%d certificates shown, want %d: %d %s", seen, want, code, stderr)
		}
	}
}
