// Package adminclient asks the admin listener of a running server. It trusts the
// certificate that the server's configuration names and no other.
package adminclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"keyward/config"
	"keyward/store/confusable"
)

// Client asks one admin listener.
type Client struct {
	Address string         // host:port or unix:///path
	Server  config.KeyPair // of the listener; the zero KeyPair is one without TLS

	CertFile, KeyFile string // the client's certificate; "": none
}

const (
	timeout   = 5 * time.Second
	maxAnswer = 1 << 16 // bytes
)

// Get returns the body of a response with status 200. Any other response is an error.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	client, base, err := c.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error // its text has the URL of the request
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("no server answers at %s: %w; is it running, and is that its listen.admin?", c.Address, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.Address, err)
	}
	if response.StatusCode != http.StatusOK {
		line, _, _ := strings.Cut(string(body), "\n")
		return nil, fmt.Errorf("the server at %s answers %d: %s", c.Address, response.StatusCode, confusable.Shown(line))
	}
	return body, nil
}

// client returns an HTTP client of the listener, and the base of its URLs.
func (c *Client) client() (*http.Client, string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: timeout}
	base := "http://" + c.Address
	if path, isUnix := strings.CutPrefix(c.Address, "unix://"); isUnix {
		base = "http://admin"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if !c.Server.Enabled() {
		return client, base, nil
	}
	var err error
	transport.TLSClientConfig, err = c.security()
	return client, "https" + strings.TrimPrefix(base, "http"), err
}

// security trusts the certificate in the configuration's file and no other,
// regardless of its name: the server may be reached at an address that no
// certificate names.
func (c *Client) security() (*tls.Config, error) {
	text, err := os.ReadFile(c.Server.CertFile)
	if err != nil {
		return nil, fmt.Errorf("reading the server's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no certificate", c.Server.CertFile)
	}
	security := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection compares the certificate instead
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("its certificate is not the one in %s", c.Server.CertFile)
			}
			return nil
		},
	}
	if c.CertFile != "" {
		own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading certificate %q: %w", c.CertFile, err)
		}
		security.Certificates = []tls.Certificate{own}
	}
	return security, nil
}
