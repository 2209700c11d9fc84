package tokensource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The errors of a request. None quotes what the server sent; those of net/http
// would.
var (
	errTimeout     = errors.New("no answer in time")
	errCanceled    = errors.New("canceled before there was an answer")
	errRefused     = errors.New("connection refused")
	errResolve     = errors.New("the host name cannot be resolved")
	errCertificate = errors.New("its certificate is not trusted")
	errRedirects   = errors.New("too many redirects")
	errDowngrade   = errors.New("a redirect from https to http")
	errTooLarge    = errors.New("the answer is too large")
	errBroken      = errors.New("the answer broke off, or is not HTTP")
)

// statusError is an answer other than 200.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }

const maxRedirects = 3

// newClient returns a client with the given one's transport (nil:
// newTransport's) that keeps no cookies and follows redirects by the given
// rule.
func newClient(given *http.Client, redirect func(*http.Request, []*http.Request) error) *http.Client {
	if given != nil && given.Transport != nil {
		return &http.Client{Transport: given.Transport, CheckRedirect: redirect}
	}
	return &http.Client{Transport: newTransport(), CheckRedirect: redirect}
}

// newTransport returns a transport with short timeouts. The context bounds the
// entire request; these bounds show which phase was slow.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            newDialer().DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		ResponseHeaderTimeout:  5 * time.Second,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    maxInFlight,
		MaxResponseHeaderBytes: 32 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
	}
}

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
}

// allowSafeRedirects is the redirect rule for public documents.
func allowSafeRedirects(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	if via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return errDowngrade
	}
	return nil
}

// noRedirects is the redirect rule for requests that carry secrets: the
// redirect itself is the response.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// fetch sends the request and returns the body of a 200 response, at most limit
// bytes.
func fetch(client *http.Client, r *http.Request, limit int64) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, sanitizeError(r.Context(), err)
	}
	defer response.Body.Close()
	// Other responses are read too, or the connection could not be reused.
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, sanitizeError(r.Context(), err)
	case response.StatusCode != http.StatusOK:
		return nil, statusError(response.StatusCode)
	case int64(len(body)) > limit:
		return nil, errTooLarge
	default:
		return body, nil
	}
}

// sanitizeError maps an error of net/http to one that quotes nothing.
func sanitizeError(ctx context.Context, err error) error {
	for _, own := range []error{errRedirects, errDowngrade, errForbiddenAddress} {
		if errors.Is(err, own) {
			return own
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return errCanceled
	}
	if timed, ok := errors.AsType[net.Error](err); ok && timed.Timeout() || ctx.Err() != nil {
		return errTimeout
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errRefused
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errResolve
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errCertificate
	}
	return errBroken
}
