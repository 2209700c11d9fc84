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

// fakeLimiter is a Limiter that says what it is told to and remembers what it was asked.
type fakeLimiter struct {
	admit, mayTry       Quota
	admitErr, mayTryErr error
	calls               []string
}

func (l *fakeLimiter) Allow(_ context.Context, _ *Request, d *Decision) (Quota, error) {
	l.calls = append(l.calls, fmt.Sprintf("admit %s on %s", d.Principal.AuthMethod, d.Route))
	return l.admit, l.admitErr
}

func (l *fakeLimiter) AllowAttempt(context.Context, *Request, time.Time) (Quota, error) {
	l.calls = append(l.calls, "may try")
	return l.mayTry, l.mayTryErr
}

func (l *fakeLimiter) RecordFailure(context.Context, *Request, time.Time) {
	l.calls = append(l.calls, "failed")
}

// limited is the world's Checker with that limiter.
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

// TestWhatIsCounted: each way through a check, with all that the limiter is asked and told.
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
		{"a key", func(*fakeDeps, *Request) {}, OK, "may try, admit api_key on route"},
		{"anonymous, optional", func(w *fakeDeps, r *Request) { r.Headers = nil; w.route.Auth = AuthOptional }, Anonymous, "admit anonymous on route"},
		{"auth none", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthNone }, Anonymous, "admit anonymous on route"},
		{"preflight", func(w *fakeDeps, r *Request) {
			w.route.Preflight = true
			r.Method, r.Headers = "OPTIONS", []Header{{"origin", "https://a"}, {"access-control-request-method", "PUT"}}
		}, Anonymous, "admit anonymous on route"},

		{"policy refuses", func(w *fakeDeps, _ *Request) { w.authorize = InsufficientScope }, InsufficientScope, "may try"},
		{"not ready", func(w *fakeDeps, _ *Request) { w.ready = errors.New("no keys") }, Unavailable, ""},
		{"path", func(_ *fakeDeps, r *Request) { r.Target = "/a/../b" }, AmbiguousPath, ""},
		{"route denies", func(w *fakeDeps, _ *Request) { w.route.Auth = AuthDeny }, RouteDenied, ""},
		{"method", func(w *fakeDeps, _ *Request) { w.reason = MethodNotAllowed }, MethodNotAllowed, ""},
		{"http", func(w *fakeDeps, _ *Request) { w.https = true }, HTTPSRequired, ""},
		{"no credential", func(_ *fakeDeps, r *Request) { r.Headers = nil }, NoCredential, ""},
		{"what is no credential can't be a guess", func(_ *fakeDeps, r *Request) { r.Headers[0].Value = "Bearer" }, MalformedCredential, ""},

		{"unknown key", func(w *fakeDeps, _ *Request) { w.verify = refuse(UnknownKey) }, UnknownKey, "may try, failed"},
		{"unknown key, optional", func(w *fakeDeps, _ *Request) { w.route.Auth, w.verify = AuthOptional, refuse(UnknownKey) }, UnknownKey, "may try, failed"},
		{"wrong password", func(w *fakeDeps, _ *Request) { w.verify = refuse(WrongPassword) }, WrongPassword, "may try, failed"},
		{"a kind without a verifier", func(w *fakeDeps, _ *Request) { w.verify = fail(ErrNotMine) }, InvalidToken, "may try, failed"},
		{"can't tell", func(w *fakeDeps, _ *Request) { w.verify = fail(errors.New("store away")) }, Unavailable, "may try"},
		{"overloaded", func(w *fakeDeps, _ *Request) { w.verify = refuse(Overloaded) }, Overloaded, "may try"},
		{"the password pool's own limit", func(w *fakeDeps, _ *Request) { w.verify = refuse(RateLimited) }, RateLimited, "may try"},
		{"a fault of ours", func(w *fakeDeps, _ *Request) { w.verify = fail(nil) }, Internal, "may try"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, r, l := newFakeDeps(), request(), &fakeLimiter{}
			w.route.Name = "route"
			test.set(w, r)
			d := w.limited(t, l).Check(context.Background(), r)
			if calls := strings.Join(l.calls, ", "); d.Reason != test.want || calls != test.calls {
				t.Errorf("%s, the limiter was asked: %s; want %s and: %s", d.Reason, calls, test.want, test.calls)
			}
		})
	}
}

// TestTooMany: a request too many is denied, and log and usage are told whose it was.
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
		d := w.limited(t, &fakeLimiter{admit: full}).Check(context.Background(), r)
		if d.Reason != RateLimited || d.Status() != 429 || d.Quota != full || len(d.Set)+len(d.Remove) > 0 {
			t.Errorf("%s: %s with %+v", test.name, d.Reason, d.Quota)
		}
		if len(w.observed) != 1 || w.observed[0].Principal == nil || w.observed[0].Principal.AuthMethod != test.method || w.observed[0].Reason != RateLimited {
			t.Errorf("%s: observed %+v", test.name, w.observed)
		}
	}
}

// TestWhatIsLeft: an allow has what is left of the limit, for who wants to tell it.
func TestWhatIsLeft(t *testing.T) {
	left := Quota{Name: "api_key", Rate: Rate{Count: 10, Period: time.Minute}, Limit: 10, Remaining: 9}
	w := newFakeDeps()
	if d := w.limited(t, &fakeLimiter{admit: left}).Check(context.Background(), request()); d.Reason != OK || d.Quota != left || len(d.Set) == 0 {
		t.Errorf("%s with %+v", d.Reason, d.Quota)
	}
}

// TestLimiterCannotTell: nobody passes on an error, and the credential's owner is known all the same.
func TestLimiterCannotTell(t *testing.T) {
	away := errors.New("store away")
	w := newFakeDeps()
	d := w.limited(t, &fakeLimiter{admitErr: away}).Check(context.Background(), request())
	if d.Reason != Unavailable || !errors.Is(d.Cause, away) || d.Principal == nil || d.Principal.KeyID != "k_1" {
		t.Errorf("admit: %s (%v) of %v", d.Reason, d.Cause, d.Principal)
	}
	w = newFakeDeps()
	w.route.Auth = AuthNone
	if d := w.limited(t, &fakeLimiter{admitErr: away}).Check(context.Background(), request()); d.Reason != Unavailable {
		t.Errorf("anonymous: %s", d.Reason)
	}
	w = newFakeDeps()
	w.verify = func(*Credential) (*Principal, error) { t.Error("verified all the same"); return alice(), nil }
	l := &fakeLimiter{mayTryErr: away}
	if d := w.limited(t, l).Check(context.Background(), request()); d.Reason != Unavailable || !errors.Is(d.Cause, away) {
		t.Errorf("may try: %s (%v)", d.Reason, d.Cause)
	}
	if slices.Contains(l.calls, "failed") {
		t.Error("what was not looked at counts as a failure")
	}
}

// TestWhoFailedTooOften: nothing of his is verified, good or not; others' is, and so is he who shows none.
func TestWhoFailedTooOften(t *testing.T) {
	full := Quota{Name: "failed", Rate: Rate{Count: 10, Period: time.Minute}, Refused: true, Limit: 10, RetryAfter: time.Second}
	for name, check := range map[string]func(*Checker, *Request) *Decision{
		"check":        func(c *Checker, r *Request) *Decision { return c.Check(context.Background(), r) },
		"authenticate": func(c *Checker, r *Request) *Decision { return c.Authenticate(context.Background(), r) },
	} {
		w, l := newFakeDeps(), &fakeLimiter{mayTry: full}
		w.verify = func(*Credential) (*Principal, error) { t.Error(name, ": verified all the same"); return alice(), nil }
		d := check(w.limited(t, l), request())
		if d.Reason != RateLimited || d.Status() != 429 || d.Quota != full || d.Principal != nil {
			t.Errorf("%s: %s with %+v of %v", name, d.Reason, d.Quota, d.Principal)
		}
		if calls := strings.Join(l.calls, ", "); calls != "may try" {
			t.Errorf("%s: the limiter was asked: %s", name, calls)
		}
	}
	w := newFakeDeps()
	w.route.Auth = AuthOptional
	r := request()
	r.Headers = nil
	if d := w.limited(t, &fakeLimiter{mayTry: full}).Check(context.Background(), r); d.Reason != Anonymous {
		t.Errorf("without a credential: %s", d.Reason)
	}
}

// TestAuthenticateIsNotCounted: who asks what its credential is worth uses up nothing, and may not guess either.
func TestAuthenticateIsNotCounted(t *testing.T) {
	for reason, want := range map[Reason]string{OK: "may try", UnknownKey: "may try, failed", Unavailable: "may try"} {
		w, l := newFakeDeps(), &fakeLimiter{admit: Quota{Name: "api_key", Refused: true}}
		if reason != OK {
			w.verify = func(*Credential) (*Principal, error) { return nil, &CredentialError{Reason: reason} }
		}
		d := w.limited(t, l).Authenticate(context.Background(), request())
		if calls := strings.Join(l.calls, ", "); d.Reason != reason || calls != want {
			t.Errorf("%s, the limiter was asked: %s; want %s and: %s", d.Reason, calls, reason, want)
		}
	}
}
