package issuerhttp

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestCertificateErrors checks that the error says what is wrong with a
// server's certificate.
func TestCertificateErrors(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is for 127.0.0.1 and example.com
	defer s.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	for _, c := range []struct {
		name, url string
		roots     *x509.CertPool
		now       time.Time
		want      error
	}{
		{"unknown authority", s.URL, x509.NewCertPool(), time.Time{}, errAuthority},
		{"another host", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), trusted, time.Time{}, errHostname},
		{"expired", s.URL, trusted, s.Certificate().NotAfter.Add(time.Hour), errExpired},
		{"not valid yet", s.URL, trusted, s.Certificate().NotBefore.Add(-time.Hour), errExpired},
		{"valid", s.URL, trusted, time.Time{}, StatusError(404)},
	} {
		client := NewClient(nil, NoRedirects)
		transport := client.Transport.(*http.Transport)
		transport.TLSClientConfig.RootCAs, transport.TLSClientConfig.Time = c.roots, func() time.Time {
			if c.now.IsZero() {
				return time.Now()
			}
			return c.now
		}
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Fetch(client, r, 100); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		client.CloseIdleConnections()
	}
}
