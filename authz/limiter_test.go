package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeLimiter is a Limiter with fixed answers that records its calls.
type fakeLimiter struct {
	allow, attempt       Quota
	allowErr, attemptErr error
	calls                []string
}

func (l *fakeLimiter) Allow(_ context.Context, _ *Request, d *Decision) (Quota, error) {
	l.calls = append(l.calls, fmt.Sprintf("Allow %s on %s", d.Principal.AuthMethod, d.Route))
	return l.allow, l.allowErr
}

func (l *fakeLimiter) AllowAttempt(context.Context, *Request, time.Time) (Quota, error) {
	l.calls = append(l.calls, "AllowAttempt")
	return l.attempt, l.attemptErr
}

func (l *fakeLimiter) RecordFailure(context.Context, *Request, time.Time) {
	l.calls = append(l.calls, "RecordFailure")
}

// limited returns the Checker of w with that limiter.
func (w *fakeDeps) limited(t testing.TB, l Limiter) *Checker {
	t.Helper()
	cfg := w.checker(t).cfg
	cfg.Limiter = l
	c, err := NewChecker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWhatIsCounted: each way through a check makes the right calls to the
// limiter.
func TestWhatIsCounted(t *testing.T) {
	refuse := func(reason Reason) func(*Credential) (*Principal, error) {
		return func(*Credential) (*Principal, error) { return nil, &CredentialError{Reason: reason} }
	}
	fail := func(err error) func(*Credential) (*Principal, error) {
		return func(*Credential) (*Principal, error) { return nil, err }
	}
	tests := []struct {
		name  string
		set   func(*fakeDeps, *Request)
		want  Reason
		calls string
	}{
		{"a key", func(*fakeDeps, *Request) {}, OK, "AllowAttempt, Allow api_key on route"},
		{"anonymous, optional", func(w *fakeDeps, r *Request) { r.Headers = nil; w.route.Auth = AuthOptional }, Anonymous, "Allow anonymous on route"},
		{"auth none", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthNone }, Anonymous, "Allow anonymous on route"},
		{"preflight", func(w *fakeDeps, r *Request) {
			w.route.Preflight = true
			r.Method, r.Headers = "OPTIONS", []Header{{"origin", "https://a"}, {"access-control-request-method", "PUT"}}
		}, Anonymous, "Allow anonymous on route"},

		{"policy refuses", func(w *fakeDeps, _ *Request) { w.authorize = InsufficientScope }, InsufficientScope, "AllowAttempt"},
		{"not ready", func(w *fakeDeps, _ *Request) { w.ready = errors.New("no keys") }, Unavailable, ""},
		{"path", func(_ *fakeDeps, r *Request) { r.Target = "/a/../b" }, AmbiguousPath, ""},
		{"route denies", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthDeny }, RouteDenied, ""},
		{"method", func(w *fakeDeps, _ *Request) { w.reason = MethodNotAllowed }, MethodNotAllowed, ""},
		{"http", func(w *fakeDeps, _ *Request) { w.https = true }, HTTPSRequired, ""},
		{"no credential", func(_ *fakeDeps, r *Request) { r.Headers = nil }, NoCredential, ""},
		{"a malformed credential is not an attempt", func(_ *fakeDeps, r *Request) { r.Headers[0].Value = "Bearer" }, MalformedCredential, ""},

		{"unknown key", func(w *fakeDeps, _ *Request) { w.verify = refuse(UnknownKey) }, UnknownKey, "AllowAttempt, RecordFailure"},
		{"unknown key, optional", func(w *fakeDeps, _ *Request) { w.route.Auth, w.verify = AuthOptional, refuse(UnknownKey) }, UnknownKey, "AllowAttempt, RecordFailure"},
		{"wrong password", func(w *fakeDeps, _ *Request) { w.verify = refuse(WrongPassword) }, WrongPassword, "AllowAttempt, RecordFailure"},
		{"a kind without a verifier", func(w *fakeDeps, _ *Request) { w.verify = fail(ErrNotMine) }, InvalidToken, "AllowAttempt, RecordFailure"},
		{"verifier fails", func(w *fakeDeps, _ *Request) { w.verify = fail(errors.New("store unavailable")) }, Unavailable, "AllowAttempt"},
		{"overloaded", func(w *fakeDeps, _ *Request) { w.verify = refuse(Overloaded) }, Overloaded, "AllowAttempt"},
		{"the password pool's own limit", func(w *fakeDeps, _ *Request) { w.verify = refuse(RateLimited) }, RateLimited, "AllowAttempt"},
		{"internal error", func(w *fakeDeps, _ *Request) { w.verify = fail(nil) }, Internal, "AllowAttempt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, r, l := newFakeDeps(), request(), &fakeLimiter{}
			w.route.Name = "route"
			test.set(w, r)
			d := w.limited(t, l).Check(context.Background(), r)
			if calls := strings.Join(l.calls, ", "); d.Reason != test.want || calls != test.calls {
				t.Errorf("%s, limiter calls: %s; want %s and: %s", d.Reason, calls, test.want, test.calls)
			}
		})
	}
}

// TestTooMany: a request over the limit is denied, and log and usage get its
// principal.
func TestTooMany(t *testing.T) {
	full := Quota{Name: "api_key", Rate: Rate{Count: 10, Period: time.Minute}, Refused: true, Limit: 10, RetryAfter: time.Second}
	for _, test := range []struct {
		name   string
		set    func(*fakeDeps, *Request)
		method AuthMethod
	}{
		{"a key", func(*fakeDeps, *Request) {}, AuthMethodAPIKey},
		{"anonymous, optional", func(w *fakeDeps, r *Request) { r.Headers = nil; w.route.Auth = AuthOptional }, AuthMethodAnonymous},
		{"auth none", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthNone }, AuthMethodAnonymous},
	} {
		w, r := newFakeDeps(), request()
		test.set(w, r)
		d := w.limited(t, &fakeLimiter{allow: full}).Check(context.Background(), r)
		if d.Reason != RateLimited || d.Status() != 429 || d.Quota != full || len(d.Set)+len(d.Remove) > 0 {
			t.Errorf("%s: %s with %+v", test.name, d.Reason, d.Quota)
		}
		if len(w.observed) != 1 || w.observed[0].Principal == nil || w.observed[0].Principal.AuthMethod != test.method || w.observed[0].Reason != RateLimited {
			t.Errorf("%s: observed %+v", test.name, w.observed)
		}
	}
}

// TestWhatIsLeft: an allow has the remaining quota, for transports that report
// it.
func TestWhatIsLeft(t *testing.T) {
	left := Quota{Name: "api_key", Rate: Rate{Count: 10, Period: time.Minute}, Limit: 10, Remaining: 9}
	w := newFakeDeps()
	if d := w.limited(t, &fakeLimiter{allow: left}).Check(context.Background(), request()); d.Reason != OK || d.Quota != left || len(d.Set) == 0 {
		t.Errorf("%s with %+v", d.Reason, d.Quota)
	}
}

// TestLimiterFails: an error of the limiter denies, and the principal is
// known nevertheless.
func TestLimiterFails(t *testing.T) {
	unavailable := errors.New("store unavailable")
	w := newFakeDeps()
	d := w.limited(t, &fakeLimiter{allowErr: unavailable}).Check(context.Background(), request())
	if d.Reason != Unavailable || !errors.Is(d.Cause, unavailable) || d.Principal == nil || d.Principal.KeyID != "k_1" {
		t.Errorf("Allow: %s (%v) of %v", d.Reason, d.Cause, d.Principal)
	}
	w = newFakeDeps()
	w.route.Auth = AuthNone
	if d := w.limited(t, &fakeLimiter{allowErr: unavailable}).Check(context.Background(), request()); d.Reason != Unavailable {
		t.Errorf("anonymous: %s", d.Reason)
	}
	w = newFakeDeps()
	w.verify = func(*Credential) (*Principal, error) { t.Error("verified nevertheless"); return alice(), nil }
	l := &fakeLimiter{attemptErr: unavailable}
	if d := w.limited(t, l).Check(context.Background(), request()); d.Reason != Unavailable || !errors.Is(d.Cause, unavailable) {
		t.Errorf("AllowAttempt: %s (%v)", d.Reason, d.Cause)
	}
	if slices.Contains(l.calls, "RecordFailure") {
		t.Error("a credential that was not verified counts as a failure")
	}
}

// TestTooManyFailures: after too many failures no credential of the client is
// verified, valid or not. Requests without a credential are not affected.
func TestTooManyFailures(t *testing.T) {
	full := Quota{Name: "failed", Rate: Rate{Count: 10, Period: time.Minute}, Refused: true, Limit: 10, RetryAfter: time.Second}
	for name, check := range map[string]func(*Checker, *Request) *Decision{
		"check":        func(c *Checker, r *Request) *Decision { return c.Check(context.Background(), r) },
		"authenticate": func(c *Checker, r *Request) *Decision { return c.Authenticate(context.Background(), r) },
	} {
		w, l := newFakeDeps(), &fakeLimiter{attempt: full}
		w.verify = func(*Credential) (*Principal, error) { t.Error(name, ": verified nevertheless"); return alice(), nil }
		d := check(w.limited(t, l), request())
		if d.Reason != RateLimited || d.Status() != 429 || d.Quota != full || d.Principal != nil {
			t.Errorf("%s: %s with %+v of %v", name, d.Reason, d.Quota, d.Principal)
		}
		if calls := strings.Join(l.calls, ", "); calls != "AllowAttempt" {
			t.Errorf("%s: limiter calls: %s", name, calls)
		}
	}
	w := newFakeDeps()
	w.route.Auth = AuthOptional
	r := request()
	r.Headers = nil
	if d := w.limited(t, &fakeLimiter{attempt: full}).Check(context.Background(), r); d.Reason != Anonymous {
		t.Errorf("without a credential: %s", d.Reason)
	}
}

// TestAuthenticateIsNotCounted: a question about one's own credential is not
// counted against a limit, but failed attempts are.
func TestAuthenticateIsNotCounted(t *testing.T) {
	for reason, want := range map[Reason]string{OK: "AllowAttempt", UnknownKey: "AllowAttempt, RecordFailure", Unavailable: "AllowAttempt"} {
		w, l := newFakeDeps(), &fakeLimiter{allow: Quota{Name: "api_key", Refused: true}}
		if reason != OK {
			w.verify = func(*Credential) (*Principal, error) { return nil, &CredentialError{Reason: reason} }
		}
		d := w.limited(t, l).Authenticate(context.Background(), request())
		if calls := strings.Join(l.calls, ", "); d.Reason != reason || calls != want {
			t.Errorf("%s, limiter calls: %s; want %s and: %s", d.Reason, calls, reason, want)
		}
	}
}
