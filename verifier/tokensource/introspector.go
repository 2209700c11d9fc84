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
)

// IntrospectorConfig says which authorization server is asked, and as whom.
type IntrospectorConfig struct {
	Name         string // in the log
	URL          string
	ClientID     string // "": we say nothing about who asks; the server knows by other means
	ClientSecret authz.Secret
	Timeout      time.Duration // of one question, all in all; 0 is 150 ms

	// Client is where the transport is taken from; nil is one of our own, with
	// the proxy that the environment names.
	Client *http.Client
	Log    *slog.Logger     // nil: none
	Now    func() time.Time // nil: time.Now
}

const (
	maxAnswer     = 64 << 10
	maxInFlight   = 64          // questions to one server at a time; a further one is an error at once
	complainEvery = time.Minute // that the server refuses our credentials
)

// Introspector asks an authorization server about tokens (RFC 7662). A server
// that is away or slow costs each check nothing, soon after it became so.
type Introspector struct {
	cfg       IntrospectorConfig
	client    *http.Client
	breaker   *breaker
	slots     chan struct{}
	complaint complaint
}

// NewIntrospector returns one that asks as the client given (RFC 6749 section 2.3.1).
func NewIntrospector(cfg IntrospectorConfig) (*Introspector, error) {
	if _, err := operatorURL("introspection url", cfg.URL); err != nil {
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
	i := &Introspector{cfg: cfg, client: newQuestioner(cfg.Client), slots: make(chan struct{}, maxInFlight)}
	i.breaker = newBreaker(cfg.Now, i.changed)
	return i, nil
}

// newQuestioner returns a client whose questions have a connection each while
// they are under way. On one of HTTP/2, which all share, an answer that is not
// HTTP would end the questions of others.
func newQuestioner(given *http.Client) *http.Client {
	client := newClient(given, stay)
	if own, ok := client.Transport.(*http.Transport); ok && (given == nil || given.Transport == nil) {
		own.ForceAttemptHTTP2 = false
	}
	return client
}

// Close drops the connections that are kept for the next question.
func (i *Introspector) Close() error {
	i.client.CloseIdleConnections()
	return nil
}

// What keeps a question from being asked.
var (
	errBusy = fmt.Errorf("%w: too many questions are under way", verifier.ErrNotAsked)
	errAway = fmt.Errorf("%w: the last questions got no answer", verifier.ErrNotAsked)
)

// Introspect implements verifier.Introspector.
func (i *Introspector) Introspect(ctx context.Context, client authz.Address, token authz.Secret) (*verifier.TokenInfo, error) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	default:
		return nil, errBusy
	}
	if !i.breaker.enter(client) {
		return nil, errAway
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	info, err := i.ask(httptrace.WithClientTrace(ctx, trace), token)
	i.breaker.leave(client, outcomeOf(err, connected.Load()))
	return info, err
}

func (i *Introspector) ask(ctx context.Context, token authz.Secret) (*verifier.TokenInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	question := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.cfg.URL, strings.NewReader(question))
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	if i.cfg.ClientID != "" { // form-encoded: RFC 6749 section 2.3.1
		r.SetBasicAuth(url.QueryEscape(i.cfg.ClientID), url.QueryEscape(i.cfg.ClientSecret.Reveal()))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	// Asking twice does no harm. Said in this way it stays between us and
	// net/http, which then asks again where a kept connection turns out dead.
	r.Header["Idempotency-Key"] = nil
	body, err := exchange(i.client, r, maxAnswer)
	if err != nil {
		i.complain(err)
		return nil, err
	}
	info, err := parseTokenInfo(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	}
	return info, nil
}

// errNonsense is an answer that cannot be believed.
var errNonsense = errors.New("the answer makes no sense")

// outcomeOf is what the end of a question says about the server. An answer that
// cannot be used still shows that the server is there.
func outcomeOf(err error, connected bool) outcome {
	status, isStatus := errors.AsType[statusError](err)
	switch {
	case err == nil, errors.Is(err, errNonsense), errors.Is(err, errTooLarge):
		return answered
	case isStatus && !refusesUs(status) && status != http.StatusTooManyRequests && status < 500:
		return answered
	case errors.Is(err, errGone):
		return abandoned
	case !connected:
		return unreachable
	default:
		return failed
	}
}

// refusesUs tells whether the status is about our credentials and not about the token's.
func refusesUs(status statusError) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// complain logs, now and then, that the server does not accept our credentials.
func (i *Introspector) complain(err error) {
	status, answered := errors.AsType[statusError](err)
	if !answered || !refusesUs(status) {
		return
	}
	if i.complaint.due(i.cfg.Now()) {
		i.cfg.Log.Error("the introspection server refuses our client credentials", "introspection", i.cfg.Name, "status", int(status))
	}
}

// complaint is something that is logged once in complainEvery.
type complaint struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether it is time to complain, and notes that it was done.
func (c *complaint) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if within(now, c.last, complainEvery) {
		return false
	}
	c.last = now
	return true
}

func (i *Introspector) changed(open bool) {
	if open {
		i.cfg.Log.Warn("an introspection server does not answer; tokens that are not known are answered with 503", "introspection", i.cfg.Name)
		return
	}
	i.cfg.Log.Info("an introspection server answers again", "introspection", i.cfg.Name)
}
