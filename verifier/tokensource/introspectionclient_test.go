package tokensource

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"keyward/verifier/issuerhttp"
)

// TestRequestsShareNoConnection checks that a server with HTTP/2 gets requests
// over HTTP/1.1, one per connection.
func TestRequestsShareNoConnection(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for want, client := range map[string]*http.Client{"HTTP/1.1": newIntrospectionClient(nil), "HTTP/2.0": issuerhttp.NewClient(nil, issuerhttp.NoRedirects)} {
		transport := client.Transport.(*http.Transport)
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AddCert(s.Certificate())
		response, err := client.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if _ = response.Body.Close(); err != nil || string(body) != want {
			t.Errorf("asked over %s, %v, want %s", body, err, want)
		}
		client.CloseIdleConnections()
	}
}
