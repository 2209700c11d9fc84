package e2e

import (
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// TestIssuerOfPrivateCA: Keyward reads the keys of an issuer whose certificate
// is of a private authority, and asks a server about tokens there, if the
// environment names the authority as docs/configuration.md says. Otherwise the
// message says what to do.
func TestIssuerOfPrivateCA(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "company")
	signing := newECDSAKey(t)
	issuer := privateIssuer(t, ca.issue(t, dir, "localhost"), &signing.PublicKey)
	config := writeFile(t, dir, "keyward.yaml", fmt.Sprintf("keys: {file: ''}\njwt: [{issuer: %q, algorithms: [ES256]}]\nintrospection: [{url: '%s/introspect', timeout: 5s}]\n", issuer, issuer))
	token := sign(t, jwt.SigningMethodES256, signing, "k", "JWT", claims(jwt.MapClaims{"iss": issuer, "sub": "alice"}))

	// As Kubernetes mounts a ConfigMap.
	mounted, version := filepath.Join(dir, "mounted"), filepath.Join(dir, "mounted", "..2026_11_29")
	pem, err := os.ReadFile(ca.file)
	if err != nil || os.MkdirAll(version, 0o700) != nil || os.Symlink("..2026_11_29", filepath.Join(mounted, "..data")) != nil || os.Symlink("..data/ca.crt", filepath.Join(mounted, "ca.crt")) != nil {
		t.Fatal(err)
	}
	writeFile(t, version, "ca.crt", string(pem))
	other := newAuthority(t, t.TempDir(), "other")
	for name, c := range map[string]struct {
		env  string
		code int
	}{
		"a directory":         {"SSL_CERT_DIR=" + mounted, 0},
		"two directories":     {"SSL_CERT_DIR=" + filepath.Join(dir, "none") + ":" + mounted, 0},
		"a file":              {"SSL_CERT_FILE=" + ca.file, 0},
		"nothing":             {"NOTHING=", 3},
		"another authority":   {"SSL_CERT_FILE=" + other.file, 3},
		"an empty directory":  {"SSL_CERT_DIR=" + t.TempDir(), 3},
		"a file that is gone": {"SSL_CERT_FILE=" + filepath.Join(dir, "none"), 3},
	} {
		for kind, secret := range map[string]string{"JWT": token, "opaque token": "opaque"} {
			check := exec.Command(programs.keyward, "check", "--config", config, "--method", "GET", "--path", "/x", "--header", "Authorization: Bearer "+secret)
			check.Env = append(os.Environ(), c.env)
			out, _ := check.CombinedOutput()
			if code := check.ProcessState.ExitCode(); code != c.code {
				t.Errorf("%s, %s: exit code %d, want %d: %s", name, kind, code, c.code, out)
			}
			const remedy = "signed by an unknown authority): put the certificate of a private CA into a directory that the environment variable SSL_CERT_DIR names"
			if c.code != 0 && !strings.Contains(string(out), remedy) {
				t.Errorf("%s, %s: the message does not say what to do: %s", name, kind, out)
			}
		}
	}
}

// privateIssuer serves metadata, a key and introspection over TLS, and returns
// its URL.
func privateIssuer(t *testing.T, p *pair, key *ecdsa.PublicKey) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	var issuer string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, issuer, issuer)
		case "/keys":
			answerJSON(w, object{"keys": []any{publicJWK(key, "k")}})
		default:
			_, _ = io.WriteString(w, `{"active":true,"sub":"alice"}`)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // most handshakes must fail
	s.StartTLS()
	t.Cleanup(s.Close)
	issuer = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	return issuer
}
