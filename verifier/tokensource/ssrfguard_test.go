package tokensource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAddressClass(t *testing.T) {
	for text, want := range map[string]addressClass{
		"192.0.2.1": remoteAddress, "10.0.0.1": remoteAddress, "172.16.0.1": remoteAddress, "192.168.1.1": remoteAddress, "2001:db8::1": remoteAddress, "fd00::1": remoteAddress, "100.64.0.1": remoteAddress,
		"127.0.0.1": loopbackAddress, "127.8.9.10": loopbackAddress, "::1": loopbackAddress, "0.0.0.0": loopbackAddress, "0.1.2.3": loopbackAddress, "::": loopbackAddress,
		"::ffff:127.0.0.1": loopbackAddress, "64:ff9b::127.0.0.1": loopbackAddress,
		"169.254.169.254": linkLocalAddress, "::ffff:169.254.169.254": linkLocalAddress, "64:ff9b::a9fe:a9fe": linkLocalAddress, "fe80::1": linkLocalAddress, "fe80::1%eth0": linkLocalAddress,
		"224.0.0.1": linkLocalAddress, "ff02::1": linkLocalAddress,
		"fd00:ec2::254": metadataAddress, "168.63.129.16": metadataAddress, "100.100.100.200": metadataAddress,
	} {
		if got := classOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
		if got := classOfHost(text); got != want {
			t.Errorf("host %s: %d, want %d", text, got, want)
		}
	}
	for host, want := range map[string]addressClass{
		"localhost": loopbackAddress, "LOCALHOST.": loopbackAddress, "id.localhost": loopbackAddress, "localhost.example.com": remoteAddress, "id.example.com": remoteAddress, "": remoteAddress,
	} {
		if got := classOfHost(host); got != want {
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
}

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
	client := newDocumentClient(nil, source.guard)
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
	if err := f.load("http://id.test", ""); !errors.Is(err, errForbiddenAddress) {
		t.Errorf("error %v, want errForbiddenAddress", err)
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
	if err := f.load(here, ""); err == nil || errors.Is(err, errForbiddenAddress) || f.requests.Load() != 1 {
		t.Errorf("an issuer on localhost: %v, %d requests", err, f.requests.Load())
	}
	if err := f.load("", f.private.URL); err == nil || errors.Is(err, errForbiddenAddress) || f.requests.Load() != 2 {
		t.Errorf("jwks_url: %v, %d requests", err, f.requests.Load())
	}
	u, err := url.Parse("http://keys.internal/jwks")
	if err != nil {
		t.Fatal(err)
	}
	r := newSSRFGuard(u, true)
	if _, err := r.dial(t.Context(), "tcp", "keys.internal:1"); errors.Is(err, errForbiddenAddress) {
		t.Errorf("the host of jwks_url: %v", err)
	}
}

// TestOperatorsProxy checks that a proxy from the environment may be on this
// machine.
func TestOperatorsProxy(t *testing.T) {
	f := newSSRFFixture(t)
	u, err := url.Parse("https://id.test")
	if err != nil {
		t.Fatal(err)
	}
	r := newSSRFGuard(u, false)
	address := f.private.Listener.Addr().String()
	if _, err := r.dial(t.Context(), "tcp", address); !errors.Is(err, errForbiddenAddress) {
		t.Errorf("no proxy: %v", err)
	}
	r.proxies[address] = true
	conn, err := r.dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
