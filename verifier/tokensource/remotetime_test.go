package tokensource_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/verifier/jwks"
	"keyward/verifier/tokensource"
)

// fakeTransport is a transport for synctest, with a response and its delay.
type fakeTransport struct {
	mu       sync.Mutex
	body     string // "": the connection breaks
	delay    time.Duration
	requests atomic.Int64

	counted int64 // value of asked at the last call of passes
}

// set changes the response.
func (s *fakeTransport) set(body string, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.delay = body, delay
}

func (s *fakeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests.Add(1)
	s.mu.Lock()
	body, delay := s.body, s.delay
	s.mu.Unlock()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(delay):
	}
	if body == "" {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// inBubble runs a Remote with the transport in a synctest bubble.
func inBubble(t *testing.T, s *fakeTransport, run func(t *testing.T, r *tokensource.Remote)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(t, tokensource.RemoteConfig{JWKSURL: "https://issuer.test/keys", Client: &http.Client{Transport: s}})
		run(t, r)
	})
}

// advance lets time pass and returns the number of requests since its last
// call, or since the start: the first request may be sent before the test gets
// here.
func (s *fakeTransport) advance(d time.Duration) int64 {
	time.Sleep(d)
	synctest.Wait()
	before := s.counted
	s.counted = s.requests.Load()
	return s.counted - before
}

func TestScheduledRefresh(t *testing.T) {
	s := &fakeTransport{body: jwkSet(jwk(t, "a"))}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		if n := s.advance(time.Minute); n != 1 {
			t.Errorf("%d requests in the first minute, want 1", n)
		}
		if n := s.advance(time.Hour); n < 10 || n > 14 {
			t.Errorf("%d requests in an hour, want about 12", n)
		}
	})
}

// TestBackoff checks that a failing issuer gets requests after 1, 2, 4 …
// seconds, up to the refresh interval, and that the Remote recovers without a
// check.
func TestBackoff(t *testing.T) {
	s := &fakeTransport{}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		if n := s.advance(20 * time.Second); n != 5 { // 0, 1, 3, 7, 15
			t.Errorf("%d requests in 20 s, want 5", n)
		}
		s.advance(time.Hour)
		if n := s.advance(time.Hour); n < 10 || n > 14 {
			t.Errorf("%d requests in a later hour, want about 12", n)
		}
		s.set(jwkSet(jwk(t, "a")), 0)
		s.advance(6 * time.Minute)
		if _, err := find(r, "a"); err != nil {
			t.Errorf("after the issuer recovered: %v", err)
		}
	})
}

// TestUnknownKeysAreRateLimited checks that unknown keys cause one request per
// MinInterval, and that the last result is used in between.
func TestUnknownKeysAreRateLimited(t *testing.T) {
	s := &fakeTransport{body: jwkSet(jwk(t, "a"))}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		s.advance(time.Second)
		before := s.requests.Load()
		for range 60 * 100 { // a minute of junk
			if _, err := find(r, "junk"); !errors.Is(err, jwks.ErrNoKey) {
				t.Fatalf("junk: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.requests.Load() - before; n < 5 || n > 7 {
			t.Errorf("%d requests in a minute of junk, want about 6", n)
		}
		s.set("", 0)
		s.advance(10 * time.Second)
		began := s.requests.Load()
		for range 100 {
			if _, err := find(r, "junk"); !isUnavailable(err) {
				t.Fatalf("junk while the issuer fails: %v", err)
			}
			if _, err := find(r, "a"); err != nil {
				t.Fatalf("a known key while the issuer fails: %v", err)
			}
		}
		if n := s.requests.Load() - began; n != 1 {
			t.Errorf("%d requests for many checks at a failing issuer, want 1", n)
		}
	})
}

// TestNewKeyForConcurrentChecks checks that one request provides a new key for
// all checks that wait.
func TestNewKeyForConcurrentChecks(t *testing.T) {
	old := jwk(t, "old")
	s := &fakeTransport{body: jwkSet(old)}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		s.advance(10 * time.Second)
		s.set(jwkSet(old, jwk(t, "new")), 100*time.Millisecond)
		before := s.requests.Load()
		concurrently(200, func(int) {
			if _, err := find(r, "new"); err != nil {
				t.Errorf("the new key: %v", err)
			}
			if _, err := find(r, "junk"); !errors.Is(err, jwks.ErrNoKey) {
				t.Errorf("junk: %v", err)
			}
		})
		if n := s.requests.Load() - before; n != 1 {
			t.Errorf("%d requests for 200 checks, want 1", n)
		}
	})
}

// movingIssuer is a transport to an issuer that moves its keys.
type movingIssuer struct {
	metadata, keys atomic.Int64 // requests
	location       atomic.Value // path of the keys in the metadata
	lost           atomic.Bool  // whether that path is not found
	document       string
}

func (m *movingIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	code, location := http.StatusNotFound, m.location.Load().(string)
	body := ""
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m.metadata.Add(1)
		code, body = http.StatusOK, `{"issuer":"https://issuer.test","jwks_uri":"https://issuer.test`+location+`"}`
	case location:
		m.keys.Add(1)
		if !m.lost.Load() {
			code, body = http.StatusOK, m.document
		}
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestDiscoveryIsNotDelayed checks that a stream of junk does not delay
// discovery, whether or not the issuer fails.
func TestDiscoveryIsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &movingIssuer{document: jwkSet(jwk(t, "a"))}
		m.location.Store("/old")
		r := newRemote(t, tokensource.RemoteConfig{Issuer: "https://issuer.test", Client: &http.Client{Transport: m}})
		junk := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				_, _ = find(r, "junk")
			}
		}
		junk(time.Hour)
		if n := m.metadata.Load(); n < 10 || n > 14 {
			t.Errorf("%d discoveries in an hour of junk, want about 12", n)
		}
		if n := m.keys.Load(); n < 300 || n > 400 {
			t.Errorf("%d requests for the keys in an hour of junk, want about 370", n)
		}
		m.lost.Store(true)
		junk(time.Hour)
		m.location.Store("/new")
		m.lost.Store(false)
		junk(12 * time.Second)
		if _, err := find(r, "junk"); !errors.Is(err, jwks.ErrNoKey) {
			t.Errorf("after the keys have moved: %v", err)
		}
	})
}

// TestSlowIssuer checks that a check waits until 150 ms after the start of the
// refresh, and that a later one does not wait. A late response is used for
// later checks.
func TestSlowIssuer(t *testing.T) {
	s := &fakeTransport{body: jwkSet(jwk(t, "a")), delay: time.Second}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		for _, want := range []time.Duration{150 * time.Millisecond, 0, 0} {
			began := time.Now()
			if _, err := find(r, "a"); !isUnavailable(err) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("a check waited %s, want %s", took, want)
			}
		}
		time.Sleep(time.Second)
		if _, err := find(r, "a"); err != nil {
			t.Errorf("after the answer: %v", err)
		}
		s.set("", time.Hour)
		time.Sleep(10 * time.Second)
		if _, err := find(r, "new"); !isUnavailable(err) {
			t.Errorf("error %v", err)
		}
		s.set(jwkSet(jwk(t, "new")), 0)
		before := s.requests.Load()
		s.advance(12 * time.Second)
		if n := s.requests.Load() - before; n != 1 {
			t.Errorf("%d further requests, want one after the timeout of the refresh", n)
		}
		if _, err := find(r, "new"); err != nil {
			t.Errorf("after the timeout: %v", err)
		}
	})
}

// TestWaitingChecksAreBounded checks that the number of checks that wait is
// bounded.
func TestWaitingChecksAreBounded(t *testing.T) {
	s := &fakeTransport{body: jwkSet(jwk(t, "a")), delay: 100 * time.Millisecond}
	inBubble(t, s, func(t *testing.T, r *tokensource.Remote) {
		var refused atomic.Int64
		concurrently(3000, func(int) {
			began := time.Now()
			if _, err := find(r, "a"); isUnavailable(err) && time.Since(began) == 0 {
				refused.Add(1)
			} else if err != nil {
				t.Errorf("a check that waited: %v", err)
			}
		})
		if n := refused.Load(); n != 3000-1024 {
			t.Errorf("%d of 3000 were refused", n)
		}
	})
}

// TestCloseEndsChecks checks that Close ends the checks that wait.
func TestCloseEndsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeTransport{delay: time.Hour}
		r := newRemote(t, tokensource.RemoteConfig{JWKSURL: "https://issuer.test", Client: &http.Client{Transport: s}, Wait: time.Hour})
		go func() { time.Sleep(time.Second); _ = r.Close() }()
		began := time.Now()
		if _, err := r.Find(context.Background(), jwks.Query{ID: "a", HasID: true, Algorithm: "EdDSA"}, began); !isUnavailable(err) || time.Since(began) != time.Second {
			t.Errorf("error %v after %s", err, time.Since(began))
		}
	})
}
