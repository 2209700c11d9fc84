package oidclogin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"keyward/verifier/issuerhttp"
)

const (
	// requestTimeout bounds each request to the provider, and loginTimeout all those of
	// one step of a login.
	requestTimeout = 5 * time.Second
	loginTimeout   = 8 * time.Second
	// maxBody bounds what the provider sends, in bytes.
	maxBody = 512 << 10
)

// transport is how the libraries ask the provider: over TLS unless the provider is on
// this machine without it, and with bounded answers.
type transport struct {
	next  http.RoundTripper
	plain bool // the issuer has an http URL of this machine
}

// transportError is why there is no answer. Its cause quotes nothing.
type transportError struct{ cause error }

func (e *transportError) Error() string { return e.cause.Error() }

var errPlain = errors.New("a URL without TLS")

// RoundTrip implements http.RoundTripper. A document is there only with status 200.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.permits(r) {
		return nil, &transportError{errPlain}
	}
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, &transportError{issuerhttp.Sanitize(r.Context(), err)}
	}
	body, err := readBody(r.Context(), response)
	if err == nil && r.Method == http.MethodGet && response.StatusCode != http.StatusOK {
		err = issuerhttp.StatusError(response.StatusCode)
	}
	if err != nil {
		return nil, &transportError{err}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

func (t *transport) permits(r *http.Request) bool {
	return r.URL.Scheme == "https" || t.plain && r.URL.Scheme == "http" && isLoopback(r.URL.Hostname())
}

func readBody(ctx context.Context, response *http.Response) ([]byte, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, issuerhttp.Sanitize(ctx, err)
	case len(body) > maxBody:
		return nil, issuerhttp.ErrTooLarge
	}
	return body, nil
}
