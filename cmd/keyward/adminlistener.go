package main

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
	"keyward/store"
)

// adminListener has the flags that name the running server to ask.
type adminListener struct {
	Config string `placeholder:"FILE" help:"Configuration of the server, for the address and TLS settings of its admin listener."`
	Admin  string `placeholder:"ADDRESS" help:"host:port or unix:///path of the admin listener (default 127.0.0.1:9193, or the configuration's listen.admin)."`
	Cert   string `and:"cert" placeholder:"FILE" help:"Client certificate, required if tls.admin.client_ca_file is set."`
	Key    string `and:"cert" placeholder:"FILE" help:"Private key of the client certificate."`
}

const (
	adminTimeout = 5 * time.Second
	maxAnswer    = 1 << 16 // bytes
)

// ask returns the body of a response with status 200. Any other response is an error.
func (l *adminListener) ask(env *environment, method, path string) ([]byte, error) {
	cfg, err := loadConfig(l.Config, env)
	if err != nil {
		return nil, err
	}
	address, err := l.address(cfg)
	if err != nil {
		return nil, err
	}
	client, base, err := l.client(address, cfg.TLS.Admin)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(env.ctx, method, base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		var wrapped *url.Error // its text has the URL of the request
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("no server answers at %s: %w; is it running, and is that its listen.admin?", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		line, _, _ := strings.Cut(string(body), "\n")
		return nil, fmt.Errorf("the server at %s answers %d: %s", address, response.StatusCode, store.Shown(line))
	}
	return body, nil
}

// address returns the address of the admin listener, in the form of listen.admin.
func (l *adminListener) address(cfg *config.Config) (string, error) {
	address := cfg.Listen.Admin
	if l.Admin != "" {
		address = l.Admin
	}
	if address == "" {
		return "", fmt.Errorf("%s has no admin listener: listen.admin is empty", l.Config)
	}
	if strings.HasPrefix(address, "unix:///") {
		return address, nil
	}
	_, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || strings.Contains(address, "/"):
		return "", usagef("--admin %q: want host:port or unix:///path", l.Admin)
	case port == "0":
		return "", usagef("the admin listener has whatever port was free; give it with --admin")
	}
	return address, nil
}

// client returns a client of the listener, and the base of its URLs.
func (l *adminListener) client(address string, pair config.KeyPair) (*http.Client, string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: adminTimeout}
	base := "http://" + address
	if path, isUnix := strings.CutPrefix(address, "unix://"); isUnix {
		base = "http://admin"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if !pair.Enabled() {
		return client, base, nil
	}
	var err error
	transport.TLSClientConfig, err = l.security(pair)
	return client, "https" + strings.TrimPrefix(base, "http"), err
}

// security trusts the certificate in the configuration's file and no other,
// regardless of its name: the server may be reached at an address that no
// certificate names.
func (l *adminListener) security(pair config.KeyPair) (*tls.Config, error) {
	text, err := os.ReadFile(pair.CertFile)
	if err != nil {
		return nil, fmt.Errorf("reading the server's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no certificate", pair.CertFile)
	}
	security := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection compares the certificate instead
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("its certificate is not the one in %s", pair.CertFile)
			}
			return nil
		},
	}
	if l.Cert != "" {
		own, err := tls.LoadX509KeyPair(l.Cert, l.Key)
		if err != nil {
			return nil, fmt.Errorf("loading certificate %q: %w", l.Cert, err)
		}
		security.Certificates = []tls.Certificate{own}
	}
	return security, nil
}
