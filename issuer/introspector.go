package issuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

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
	Log    *slog.Logger // nil: none
}

const (
	maxAnswer     = 64 << 10
	maxInFlight   = 64          // questions to one server at a time; a further one is an error at once
	failuresToCut = 5           // in a row, after which the server is left alone
	cutFor        = time.Second // and then asked one question, to see whether it is well
	complainEvery = time.Minute // that the server refuses our credentials
)

// Introspector asks an authorization server about tokens (RFC 7662). A server
// that is away or slow costs each check nothing, soon after it became so.
type Introspector struct {
	cfg       IntrospectorConfig
	client    *http.Client
	breaker   *gobreaker.CircuitBreaker[*verifier.TokenInfo]
	slots     chan struct{}
	complaint atomic.Int64 // when it was last logged that we are refused, in Unix nanoseconds
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
	i := &Introspector{cfg: cfg, client: newClient(cfg.Client, stay), slots: make(chan struct{}, maxInFlight)}
	i.breaker = gobreaker.NewCircuitBreaker[*verifier.TokenInfo](gobreaker.Settings{
		Name: cfg.Name, MaxRequests: 1, Timeout: cutFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToCut },
		OnStateChange: i.changed,
		IsSuccessful:  func(err error) bool { return !away(err) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errGone) },
	})
	return i, nil
}

// Close drops the connections that are kept for the next question.
func (i *Introspector) Close() error {
	i.client.CloseIdleConnections()
	return nil
}

var errBusy = errors.New("too many questions are under way")

// Introspect implements verifier.Introspector.
func (i *Introspector) Introspect(ctx context.Context, token authz.Secret) (*verifier.TokenInfo, error) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	default:
		return nil, errBusy
	}
	return i.breaker.Execute(func() (*verifier.TokenInfo, error) { return i.ask(ctx, token) })
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

// away tells whether the error is about the server as a whole. What it cannot
// say about one token, or says in a way that we don't believe, must not cut
// off others: whoever holds such a token could do that at will.
func away(err error) bool {
	status, answered := errors.AsType[statusError](err)
	switch {
	case err == nil, errors.Is(err, errNonsense), errors.Is(err, errTooLarge):
		return false
	case answered:
		return refusesUs(status) || status == http.StatusTooManyRequests || status >= 500
	default:
		return true
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
	now, last := time.Now().UnixNano(), i.complaint.Load()
	if now-last >= int64(complainEvery) && i.complaint.CompareAndSwap(last, now) {
		i.cfg.Log.Error("the introspection server refuses our client credentials", "introspection", i.cfg.Name, "status", int(status))
	}
}

func (i *Introspector) changed(_ string, from, to gobreaker.State) {
	switch {
	case from == gobreaker.StateClosed:
		i.cfg.Log.Warn("an introspection server is away; tokens that are not known are answered with 503", "introspection", i.cfg.Name)
	case to == gobreaker.StateClosed:
		i.cfg.Log.Info("an introspection server is back", "introspection", i.cfg.Name)
	}
}
