package tokensource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/verifier"
	"keyward/verifier/issuerhttp"
)

// IntrospectorConfig names an authorization server and the client's credentials
// there.
type IntrospectorConfig struct {
	Name         string // in the log
	URL          string
	ClientID     string // "": no client authentication by HTTP; the server knows the client by other means
	ClientSecret authz.Secret
	Timeout      time.Duration // of one request in total; 0 is 150 ms

	// Client provides the transport; nil is issuerhttp's, with the proxy that
	// the environment names.
	Client *http.Client
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
}

const (
	maxResponse          = 64 << 10
	maxInFlight          = 64 // concurrent requests to one server; a further one fails at once
	rejectionLogInterval = time.Minute
)

// Introspector asks an authorization server about tokens (RFC 7662). Soon after
// a server becomes unavailable or slow, checks no longer wait for it.
type Introspector struct {
	cfg       IntrospectorConfig
	client    *http.Client
	breaker   *breaker
	slots     chan struct{}
	rejection logThrottle
}

// NewIntrospector returns an Introspector that authenticates as the given
// client (RFC 6749 section 2.3.1).
func NewIntrospector(cfg IntrospectorConfig) (*Introspector, error) {
	if _, err := operatorURL("url", cfg.URL); err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 150 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	i := &Introspector{cfg: cfg, client: newIntrospectionClient(cfg.Client), slots: make(chan struct{}, maxInFlight)}
	i.breaker = newBreaker(cfg.Now, i.logBreaker)
	return i, nil
}

// newIntrospectionClient returns a client that uses one connection per request.
// On a shared HTTP/2 connection, a response that is not HTTP would end other
// requests.
func newIntrospectionClient(given *http.Client) *http.Client {
	client := issuerhttp.NewClient(given, issuerhttp.NoRedirects)
	if own, ok := client.Transport.(*http.Transport); ok && (given == nil || given.Transport == nil) {
		own.ForceAttemptHTTP2 = false
	}
	return client
}

// Close closes idle connections.
func (i *Introspector) Close() error {
	i.client.CloseIdleConnections()
	return nil
}

// Why a request is not sent.
var (
	errBusy        = fmt.Errorf("%w: too many questions are under way", verifier.ErrNotAsked)
	errUnavailable = fmt.Errorf("%w: the last questions got no answer", verifier.ErrNotAsked)
)

// Introspect implements verifier.Introspector.
func (i *Introspector) Introspect(ctx context.Context, client authz.Address, token authz.Secret) (*verifier.TokenInfo, error) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	default:
		return nil, errBusy
	}
	if !i.breaker.allow(client) {
		return nil, errUnavailable
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	info, err := i.request(httptrace.WithClientTrace(ctx, trace), token)
	i.breaker.done(client, outcomeOf(err, connected.Load()))
	return info, err
}

func (i *Introspector) request(ctx context.Context, token authz.Secret) (*verifier.TokenInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.cfg.URL, strings.NewReader(form))
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	if i.cfg.ClientID != "" { // form-encoded: RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(i.cfg.ClientID), url.QueryEscape(i.cfg.ClientSecret.Reveal()))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	// The request is idempotent. This value makes net/http retry on a dead idle
	// connection, and is not sent.
	r.Header["Idempotency-Key"] = nil
	body, err := issuerhttp.Fetch(i.client, r, maxResponse)
	if err != nil {
		i.logRejectedCredentials(err)
		return nil, i.explainStatus(err)
	}
	info, err := parseTokenInfo(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalidResponse, err)
	}
	return info, nil
}

// errInvalidResponse is a response that is not valid by RFC 7662.
var errInvalidResponse = errors.New("the answer makes no sense")

// outcomeOf returns what the result of a request says about the server. A
// response that cannot be used still shows that the server is up.
func outcomeOf(err error, connected bool) outcome {
	status, isStatus := errors.AsType[issuerhttp.StatusError](err)
	switch {
	case err == nil, errors.Is(err, errInvalidResponse), errors.Is(err, issuerhttp.ErrTooLarge):
		return answered
	case isStatus && !rejectsCredentials(status) && status != http.StatusTooManyRequests && status < 500:
		return answered
	case errors.Is(err, issuerhttp.ErrCanceled):
		return canceled
	case !connected:
		return unreachable
	default:
		return failed
	}
}

// rejectsCredentials reports whether the status is about the client's
// credentials and not about the token.
func rejectsCredentials(status issuerhttp.StatusError) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// logRejectedCredentials logs, at most once in rejectionLogInterval, that the
// server does not accept the client's credentials.
func (i *Introspector) logRejectedCredentials(err error) {
	status, answered := errors.AsType[issuerhttp.StatusError](err)
	if !answered || !rejectsCredentials(status) {
		return
	}
	if i.rejection.allow(i.cfg.Now()) {
		i.cfg.Log.Error("the introspection server refuses our client credentials", "introspection", i.cfg.Name, "status", int(status), "advice", i.credentialAdvice())
	}
}

// credentialAdvice says what to do if the server refuses the client. Some
// servers do not decode the credentials as RFC 6749 section 2.3.1 says.
func (i *Introspector) credentialAdvice() string {
	id, secret := i.cfg.ClientID, i.cfg.ClientSecret.Reveal()
	switch {
	case id == "":
		return "set client_id and client_secret_file"
	case url.QueryEscape(id) != id || url.QueryEscape(secret) != secret:
		return "client_id or the secret has characters that Keyward sends form-encoded (RFC 6749 section 2.3.1); " +
			"if the server does not decode them, use an id and a secret of letters and digits"
	default:
		return "check client_id and client_secret_file, and that this client may introspect tokens, over HTTP Basic (client_secret_basic)"
	}
}

// explainStatus adds to the error of a request what a status usually means.
func (i *Introspector) explainStatus(err error) error {
	switch status, _ := errors.AsType[issuerhttp.StatusError](err); status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: the server refuses our client credentials: %s", err, i.credentialAdvice())
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: url must be the introspection_endpoint of the server's metadata", err)
	default:
		return err
	}
}

// logThrottle allows one log line per rejectionLogInterval.
type logThrottle struct {
	mu   sync.Mutex
	last time.Time
}

// allow reports whether a line may be logged now, and counts it.
func (c *logThrottle) allow(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if within(now, c.last, rejectionLogInterval) {
		return false
	}
	c.last = now
	return true
}

func (i *Introspector) logBreaker(open bool) {
	if open {
		i.cfg.Log.Warn("an introspection server does not answer; tokens that are not known are answered with 503", "introspection", i.cfg.Name)
		return
	}
	i.cfg.Log.Info("an introspection server answers again", "introspection", i.cfg.Name)
}
