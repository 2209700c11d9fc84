package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"keyward/authz"
)

// Config is what a Client is made of. URL and Token are required.
type Config struct {
	// URL is that of the console listener, as https://keyward.example.com. A scheme,
	// a host and a port are all that it may have.
	URL string
	// Token is a key with scopes of the managing half.
	Token authz.Secret
	// CAFile has the certificates, in PEM, of which one must have signed the server's;
	// "": those of the system.
	CAFile string
	// Pause waits before a request is sent again; nil waits that long.
	Pause func(context.Context, time.Duration) error
}

// Client calls one server. Its methods may be called at the same time.
type Client struct {
	base  string
	token authz.Secret
	http  *http.Client
	pause func(context.Context, time.Duration) error
}

const (
	// timeout bounds one attempt of a request. The server takes up to 25 seconds.
	timeout     = 40 * time.Second
	dialTimeout = 10 * time.Second
)

// New returns a Client. It connects when it is first used.
func New(cfg Config) (*Client, error) {
	base, err := parseServer(cfg.URL)
	if err != nil {
		return nil, err
	}
	// Everything that a header can carry as one credential, and nothing else.
	if authz.CheckKey(cfg.Token.Reveal(), false) != nil {
		return nil, errors.New("the token is not a key")
	}
	roots, err := readRoots(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: dialTimeout,
		DisableCompression:  true, // a small answer must not become a large one
		ForceAttemptHTTP2:   true,
	}
	if base.Scheme == "http" {
		// A name such as localhost may resolve to any address.
		transport.Proxy, dialer.Control = nil, loopbackOnly
	}
	transport.DialContext = dialer.DialContext
	c := &Client{base: base.String() + "/api/v1", token: cfg.Token, pause: cfg.Pause}
	if c.pause == nil {
		c.pause = pause
	}
	c.http = &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close closes the connections to the server.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Server returns the URL of the server.
func (c *Client) Server() string { return c.base[:len(c.base)-len("/api/v1")] }

// ErrServer is a URL by which no server can be called.
var ErrServer = errors.New("want https://HOST or https://HOST:PORT, or http:// with localhost or a loopback address")

// parseServer reads the URL of a server. The error does not repeat it: it may have a
// password.
func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || u.Path != "" && u.Path != "/" {
		return nil, ErrServer
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, ErrServer
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

var errNotLoopback = errors.New("without TLS the server must be at a loopback address")

// loopbackOnly is a net.Dialer.Control that refuses other addresses.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Unmap().IsLoopback() {
		return errNotLoopback
	}
	return nil
}

// readRoots reads the certificates of the file; nil stands for those of the system.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return roots, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
