package issuerhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// maxIdle bounds the idle connections to one server.
const maxIdle = 64

// The errors of a request. None quotes what the server sent; those of net/http
// would.
var (
	ErrTimeout     = errors.New("no answer in time")
	ErrCanceled    = errors.New("canceled before there was an answer")
	errRefused     = errors.New("connection refused")
	errResolve     = errors.New("the host name cannot be resolved")
	errCertificate = errors.New("its certificate is not valid")
	errAuthority   = errors.New("its certificate is not trusted (signed by an unknown authority): put the certificate of a private CA into a directory that the environment variable SSL_CERT_DIR names")
	errHostname    = errors.New("its certificate is for another host name")
	errExpired     = errors.New("its certificate has expired, or is not valid yet")
	errRedirects   = errors.New("too many redirects: configure the URL where they lead")
	errDowngrade   = errors.New("a redirect from https to http, which is not followed: configure the https URL of the document")
	ErrTooLarge    = errors.New("the answer is too large")
	errBroken      = errors.New("the answer broke off, or is not HTTP")
)

// StatusError is an answer with another status than 200.
type StatusError int

// Error names the status, and says what to do about a redirect.
func (s StatusError) Error() string {
	text := fmt.Sprintf("status %d", int(s))
	if 300 <= s && s < 400 {
		text += ", a redirect that is not followed: configure the URL where it leads"
	}
	return text
}

const maxRedirects = 3

// NewClient returns a client with the given one's transport that keeps no cookies
// and follows redirects by the given rule. nil is a transport with short timeouts
// and the proxy that the environment names.
func NewClient(given *http.Client, redirect func(*http.Request, []*http.Request) error) *http.Client {
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
		MaxIdleConnsPerHost:    maxIdle,
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

// NoRedirects is the redirect rule for requests that carry secrets: the
// redirect itself is the response.
func NoRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Fetch sends the request and returns the body of a 200 response, at most limit
// bytes.
func Fetch(client *http.Client, r *http.Request, limit int64) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, Sanitize(r.Context(), err)
	}
	defer response.Body.Close()
	// Other responses are read too, or the connection could not be reused.
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, Sanitize(r.Context(), err)
	case response.StatusCode != http.StatusOK:
		return nil, StatusError(response.StatusCode)
	case int64(len(body)) > limit:
		return nil, ErrTooLarge
	default:
		return body, nil
	}
}

// Sanitize maps an error of net/http to one that quotes nothing.
func Sanitize(ctx context.Context, err error) error {
	for _, own := range []error{errRedirects, errDowngrade, ErrForbiddenAddress} {
		if errors.Is(err, own) {
			return own
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ErrCanceled
	}
	if timed, ok := errors.AsType[net.Error](err); ok && timed.Timeout() || ctx.Err() != nil {
		return ErrTimeout
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errRefused
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errResolve
	}
	if wrong, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificateError(wrong)
	}
	return errBroken
}

// certificateError returns what is wrong with a server's certificate.
func certificateError(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return errHostname
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return errExpired
	}
	return errCertificate
}
