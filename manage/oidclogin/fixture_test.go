package oidclogin

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/openidprovider"
)

// fixture is Keyward's side, the provider's, and a browser between them.
type fixture struct {
	*testing.T
	*Provider
	idp    *openidprovider.Provider
	config Config
	passed atomic.Int64

	mu    sync.Mutex
	used  map[[32]byte]time.Time
	marks error // what MarkUsed fails with
}

func newFixture(t *testing.T, changes ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{T: t, used: map[[32]byte]time.Time{}}
	f.idp = openidprovider.New(t, f.now)
	f.config = Config{
		Issuer: f.idp.URL, ClientID: openidprovider.ClientID, ClientSecret: authz.NewSecret(openidprovider.ClientSecret), RedirectURL: openidprovider.Callback, MarkUsed: f.markUsed, Now: f.now,
	}
	for _, change := range changes {
		change(&f.config)
	}
	f.Provider = f.another()
	return f
}

// another is the Provider of another machine with the same configuration.
func (f *fixture) another() *Provider {
	f.Helper()
	p, err := New(f.config)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = p.Close() })
	return p
}

func (f *fixture) now() time.Time {
	return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(f.passed.Load()))
}

// pass lets time pass.
func (f *fixture) pass(d time.Duration) { f.passed.Add(int64(d)) }

func (f *fixture) markUsed(_ context.Context, id [32]byte, until time.Time) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.marks != nil {
		return false, f.marks
	}
	if f.now().Before(f.used[id]) {
		return false, nil
	}
	f.used[id] = until
	return true, nil
}

// begin begins a login, and has the person log in to the provider.
func (f *fixture) begin(o Options) (url.Values, authz.Secret) {
	f.Helper()
	to, cookie, err := f.Begin(f.Context(), o)
	if err != nil {
		f.Fatal(err)
	}
	return f.idp.Authorize(to), cookie
}

// login is an entire login.
func (f *fixture) login(o Options) (Result, error) {
	f.Helper()
	query, cookie := f.begin(o)
	return f.Finish(f.Context(), query, cookie)
}

// want fails the test unless err is the sentinel and says the text; nil is a success.
// No error has a secret.
func (f *fixture) want(what string, err, sentinel error, text string) {
	f.Helper()
	switch {
	case sentinel == nil && err != nil, !errors.Is(err, sentinel):
		f.Errorf("%s: %v, want %v", what, err, sentinel)
	case err != nil && !strings.Contains(err.Error(), text):
		f.Errorf("%s: %v, want %q in it", what, err, text)
	case err != nil && (strings.Contains(err.Error(), openidprovider.ClientSecret) || strings.Contains(err.Error(), "eyJ")):
		f.Errorf("%s: the error has a secret: %v", what, err)
	}
}
