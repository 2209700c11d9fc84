package tokensource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/verifier/issuerhttp"
)

// ssrfFixture has an issuer with the name id.test, which is not on this
// machine, and a service on this machine.
type ssrfFixture struct {
	t        *testing.T
	issuer   *httptest.Server
	handler  atomic.Pointer[http.HandlerFunc]
	private  *httptest.Server
	requests atomic.Int64 // requests to the service
}

func newSSRFFixture(t *testing.T) *ssrfFixture {
	f := &ssrfFixture{t: t}
	f.issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*f.handler.Load())(w, r) }))
	f.private = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { f.requests.Add(1) }))
	t.Cleanup(f.issuer.Close)
	t.Cleanup(f.private.Close)
	return f
}

// load fetches the keys. Connections to id.test go to the issuer's server.
func (f *ssrfFixture) load(issuer, jwksURL string) error {
	f.t.Helper()
	source, err := newJWKSLocation(issuer, jwksURL)
	if err != nil {
		f.t.Fatal(err)
	}
	client := issuerhttp.NewDocumentClient(nil, source.guard)
	defer client.CloseIdleConnections()
	transport := client.Transport.(*http.Transport)
	own := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "id.test:80" {
			return net.Dial("tcp", f.issuer.Listener.Addr().String())
		}
		return own(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	_, err = source.load(ctx, client, true)
	return err
}

// localURLs returns URLs of the service, with each form of its host that works
// here.
func (f *ssrfFixture) localURLs() []string {
	port := f.private.Listener.Addr().(*net.TCPAddr).Port
	urls := []string{}
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1", "2130706433", "\u24dbocalhost", "169.254.169.254", "[fd00:ec2::254]"} {
		urls = append(urls, fmt.Sprintf("http://%s:%d/latest/meta-data", host, port))
	}
	return urls
}

// TestIssuerCannotReachLocalAddresses checks that neither an issuer's metadata
// nor a redirect of its documents leads to this machine or its link.
func TestIssuerCannotReachLocalAddresses(t *testing.T) {
	f := newSSRFFixture(t)
	for _, target := range f.localURLs() {
		metadata := func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"issuer":"http://id.test","jwks_uri":%q}`, target)
		}
		redirect := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusFound)
		}
		keysRedirect := func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/.well-known/") {
				_, _ = fmt.Fprint(w, `{"issuer":"http://id.test","jwks_uri":"http://id.test/keys"}`)
				return
			}
			redirect(w, r)
		}
		for what, handler := range map[string]http.HandlerFunc{"jwks_uri": metadata, "redirect of the metadata": redirect, "redirect of the keys": keysRedirect} {
			f.handler.Store(&handler)
			if err := f.load("http://id.test", ""); err == nil {
				t.Errorf("%s to %s: no error", what, target)
			}
		}
		handler := http.HandlerFunc(redirect)
		f.handler.Store(&handler)
		if err := f.load("", "http://id.test/keys"); err == nil {
			t.Errorf("redirect of jwks_url to %s: no error", target)
		}
	}
	if n := f.requests.Load(); n != 0 {
		t.Errorf("%d requests to the service of this machine", n)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":"http://id.test","jwks_uri":%q}`, f.private.URL)
	})
	f.handler.Store(&handler)
	if err := f.load("http://id.test", ""); !errors.Is(err, issuerhttp.ErrForbiddenAddress) {
		t.Errorf("error %v, want issuerhttp.ErrForbiddenAddress", err)
	}
}

// TestOperatorsURL checks that the operator's own URL is permitted at any
// address, and that an issuer on this machine may lead to other addresses of
// it.
func TestOperatorsURL(t *testing.T) {
	f := newSSRFFixture(t)
	here := strings.Replace(f.issuer.URL, "127.0.0.1", "localhost", 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, here, f.private.URL)
	})
	f.handler.Store(&handler)
	if err := f.load(here, ""); err == nil || errors.Is(err, issuerhttp.ErrForbiddenAddress) || f.requests.Load() != 1 {
		t.Errorf("an issuer on localhost: %v, %d requests", err, f.requests.Load())
	}
	if err := f.load("", f.private.URL); err == nil || errors.Is(err, issuerhttp.ErrForbiddenAddress) || f.requests.Load() != 2 {
		t.Errorf("jwks_url: %v, %d requests", err, f.requests.Load())
	}
}
