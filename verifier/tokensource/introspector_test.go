package tokensource_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/internal/eventually"
	"keyward/verifier"
	"keyward/verifier/tokensource"
)

const activeToken = `{"active":true,"sub":"alice","scope":"read write","client_id":"app","exp":4102444800}`

func newIntrospector(t *testing.T, cfg tokensource.IntrospectorConfig) *tokensource.Introspector {
	t.Helper()
	cfg.Name = "test"
	if cfg.ClientID == "" {
		cfg.ClientID, cfg.ClientSecret = "keyward", authz.NewSecret("hush-hush")
	}
	i, err := tokensource.NewIntrospector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func introspect(i *tokensource.Introspector, token string) (*verifier.TokenInfo, error) {
	return introspectFor(i, "192.0.2.1", token)
}

func introspectFor(i *tokensource.Introspector, client, token string) (*verifier.TokenInfo, error) {
	return i.Introspect(context.Background(), authz.ParseAddress(client), authz.NewSecret(token))
}

func TestIntrospectionRequest(t *testing.T) {
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) { respondStatus(500)(w, r) })
	questions := make(chan *http.Request, 1)
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		questions <- r
		respond(activeToken)(w, r)
	})
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url() + "/introspect", ClientID: "key ward:1", ClientSecret: authz.NewSecret("p&ss:ü"), Timeout: slack})
	info, err := introspect(i, "a+b/c=")
	if err != nil || !info.Active || info.Subject != "alice" || info.ClientID != "app" || info.Scopes.String() != "read write" || info.ExpiresAt.Year() != 2100 {
		t.Errorf("%+v, %v", info, err)
	}
	r := <-questions
	if r.Method != http.MethodPost || r.URL.Path != "/introspect" || r.Header.Get("Accept") != "application/json" || r.Header.Get("Idempotency-Key") != "" {
		t.Errorf("asked %s %s with %v", r.Method, r.URL, r.Header)
	}
	if len(r.PostForm) != 2 || r.PostForm.Get("token") != "a+b/c=" || r.PostForm.Get("token_type_hint") != "access_token" {
		t.Errorf("form %v", r.PostForm)
	}
	// RFC 6749 section 2.3.1: each form-encoded, then joined by the colon.
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape("key ward:1")+":"+url.QueryEscape("p&ss:ü")))
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization %q, want %q", got, want)
	}
}

// TestIntrospectionFaults checks that with every fault of the server there is
// an error soon. TestTokensDuringServerFaults checks that it recovers.
func TestIntrospectionFaults(t *testing.T) {
	m := newFaultServer(t)
	faults := m.faults(activeToken)
	faults["oversize"] = respond(activeToken[:len(activeToken)-1] + strings.Repeat(" ", 64<<10) + "}")
	faults["server down"] = nil
	faults["400"], faults["403"] = respondStatus(400), respondStatus(403)
	faults["active is text"] = respond(`{"active":"true","sub":"alice"}`)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			if fault == nil {
				m.close()
				defer m.start()
			} else {
				m.set(fault)
			}
			i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: 50 * time.Millisecond})
			returnsWithin(t, 10*50*time.Millisecond+slack, "ten requests", func() {
				for range 10 {
					if info, err := introspect(i, "t"); err == nil || info != nil {
						t.Errorf("%+v, %v; want an error", info, err)
					}
				}
			})
		})
	}
}

// TestUnavailableServerCostsNothing checks that after a few failures a server
// that hangs gets one request per second, which finds out when it has
// recovered.
func TestUnavailableServerCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeTransport{delay: time.Hour}
		i := newIntrospector(t, tokensource.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: s}})
		ask := func() time.Duration {
			began := time.Now()
			if _, err := introspect(i, "t"); err == nil {
				t.Error("no error")
			}
			return time.Since(began)
		}
		for n := range 5 {
			if took := ask(); took != 150*time.Millisecond {
				t.Errorf("request %d took %s, want 150ms", n, took)
			}
		}
		for range 100 {
			if took := ask(); took != 0 {
				t.Fatalf("a request to an unavailable server took %s", took)
			}
		}
		before := s.requests.Load()
		for range 1000 { // ten seconds
			ask()
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.requests.Load() - before; n < 7 || n > 10 {
			t.Errorf("%d requests in ten seconds, want about one per second", n)
		}
		s.set(activeToken, 0)
		time.Sleep(time.Second + time.Millisecond)
		if info, err := introspect(i, "t"); err != nil || !info.Active {
			t.Errorf("after the server recovered: %v", err)
		}
	})
}

// TestConcurrentRequestsToUnavailableServer checks the limit of concurrent
// requests, and then the breaker.
func TestConcurrentRequestsToUnavailableServer(t *testing.T) {
	m := newFaultServer(t)
	m.set(m.hang)
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: 100 * time.Millisecond})
	returnsWithin(t, 100*time.Millisecond+slack, "200 requests to a server that hangs", func() {
		concurrently(200, func(n int) {
			if _, err := introspect(i, fmt.Sprint(n)); err == nil {
				t.Error("no error")
			}
		})
	})
	if n := m.hits.Load(); n > 64 {
		t.Errorf("%d requests, want at most 64 at a time", n)
	}
	before := m.hits.Load()
	returnsWithin(t, slack, "200 requests to a server known to be unavailable", func() {
		concurrently(200, func(n int) { _, _ = introspect(i, fmt.Sprint(n)) })
	})
	if n := m.hits.Load() - before; n > 2 {
		t.Errorf("%d requests to an unavailable server", n)
	}
}

// TestFailingClientDoesNotAffectOthers checks that faults caused by one
// client's tokens do not affect other clients, also after the server was
// unavailable.
func TestFailingClientDoesNotAffectOthers(t *testing.T) {
	m := newFaultServer(t)
	var fault atomic.Pointer[http.HandlerFunc] // for odd tokens
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PostFormValue("token"), "odd") {
			(*fault.Load())(w, r)
			return
		}
		respond(activeToken)(w, r)
	})
	faults := m.faults(activeToken)
	faults["429"], faults["403"], faults["400"], faults["414"] = respondStatus(429), respondStatus(403), respondStatus(400), respondStatus(414)
	faults["control characters"] = respond(`{"active":true,"sub":"a\u0007"}`)
	for name, handler := range faults {
		t.Run(name, func(t *testing.T) {
			fault.Store(&handler)
			i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: 2 * time.Second})
			odd := func(n int) {
				client := "192.0.2.66"
				if n%2 == 1 {
					client = fmt.Sprintf("2001:db8:6:6:%x::1", n) // one /64
				}
				if _, err := introspectFor(i, client, fmt.Sprint("odd", n)); err == nil {
					t.Errorf("%s: no error", name)
				}
			}
			stop := make(chan struct{})
			var attack sync.WaitGroup
			for worker := range 6 {
				attack.Go(func() {
					for n := worker; ; n += 6 {
						select {
						case <-stop:
							return
						default:
							odd(n)
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			defer attack.Wait()
			defer close(stop)
			for n := range 40 { // including the networks of the two
				time.Sleep(2 * time.Millisecond)
				for _, client := range []string{fmt.Sprintf("192.0.2.%d", n), fmt.Sprintf("2001:db8:%d::1", n+100), ""} {
					if _, err := introspectFor(i, client, "good"); err != nil {
						t.Fatalf("another client, %q: %v", client, err)
					}
				}
			}
		})
	}
}

// TestFailingTokenAfterAnOutage checks that a client with a token that fails
// does not delay the discovery that the server has recovered.
func TestFailingTokenAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeTransport{delay: time.Hour}
		i := newIntrospector(t, tokensource.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: failingTokens{s}}})
		for n := range 20 {
			_, _ = introspectFor(i, fmt.Sprintf("198.51.%d.1", n), "t")
		}
		before := s.requests.Load()
		for n := range 100 {
			_, _ = introspectFor(i, fmt.Sprintf("198.18.%d.1", n), "t")
		}
		if n := s.requests.Load() - before; n > 8 {
			t.Errorf("%d requests to a server that cannot be reached", n)
		}
		s.set(activeToken, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var attack sync.WaitGroup
		attack.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = introspectFor(i, "203.0.113.66", fmt.Sprint("odd", n))
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(2503 * time.Millisecond)
		healed := time.Now()
		for time.Since(healed) < time.Minute {
			if _, err := introspectFor(i, "203.0.113.1", "good"); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(healed); took > time.Second {
			t.Errorf("another client of that network gets a response after %s", took)
		}
		cancel()
		attack.Wait()
	})
}

// failingTokens fails for tokens that begin with "odd", after the connection
// was made.
type failingTokens struct{ *fakeTransport }

func (o failingTokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), "token=odd") {
		return o.fakeTransport.RoundTrip(r)
	}
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
	return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestFailuresOfSeveralNetworks checks that failures that a token can cause
// open the breaker for all clients once they come from several networks.
func TestFailuresOfSeveralNetworks(t *testing.T) {
	m := newFaultServer(t)
	m.set(respondStatus(500))
	var log bytes.Buffer
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 100 {
		_, _ = introspectFor(i, fmt.Sprintf("10.0.%d.1", n), "t")
	}
	if n := m.hits.Load(); n != 100 {
		t.Errorf("%d requests of 100 clients of one network", n)
	}
	for n := range 100 {
		_, _ = introspectFor(i, fmt.Sprintf("10.%d.0.1", n+1), "t")
	}
	if n := m.hits.Load() - 100; n > 30 { // two until the breaker opens, and eight per second
		t.Errorf("%d requests to a server that fails for all clients", n)
	}
	m.set(respond(activeToken))
	eventually.Succeeds(t, func() error { _, err := introspectFor(i, "192.0.2.1", "t"); return err })
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 {
		t.Errorf("log: %s", text)
	}
}

// TestBreakerOfOneClient checks that the breaker of one client admits a request
// per second until one succeeds.
func TestBreakerOfOneClient(t *testing.T) {
	m := newFaultServer(t)
	m.set(respondStatus(429))
	clock := newManualClock()
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack, Now: clock.now})
	expectRequests := func(client string, want int64) {
		t.Helper()
		before := m.hits.Load()
		for range 10 {
			_, _ = introspectFor(i, client, "t")
		}
		if n := m.hits.Load() - before; n != want {
			t.Errorf("%s: %d requests of 10, want %d", client, n, want)
		}
	}
	expectRequests("2001:db8::1", 5)
	expectRequests("2001:db8::2", 0) // the same /64
	expectRequests("2001:db8:0:1::1", 5)
	expectRequests("", 10) // clients without an address are not counted as one
	clock.add(time.Second)
	expectRequests("2001:db8::1", 1)
	clock.add(-5 * time.Hour) // setting the clock back blocks no client
	expectRequests("2001:db8::1", 1)
	m.set(respond(activeToken))
	clock.add(time.Second)
	expectRequests("2001:db8::1", 10)
}

// TestCanceledRequests checks that canceled requests do not count as failures
// of the server.
func TestCanceledRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeTransport{body: activeToken, delay: 100 * time.Millisecond}
		i := newIntrospector(t, tokensource.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: s}})
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { time.Sleep(time.Millisecond); cancel() }()
			if _, err := i.Introspect(ctx, authz.ParseAddress("192.0.2.1"), authz.NewSecret("t")); err == nil {
				t.Error("no error")
			}
		}
		if _, err := introspect(i, "t"); err != nil {
			t.Errorf("after canceled requests: %v", err)
		}
	})
}

// TestRejectedCredentials checks that rejected client credentials are logged,
// at intervals and without the secret.
func TestRejectedCredentials(t *testing.T) {
	m := newFaultServer(t)
	m.set(respondStatus(401))
	var log bytes.Buffer
	clock := newManualClock()
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack, Now: clock.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var all []error
	expectLines := func(want int) {
		t.Helper()
		for n := range 4 {
			_, err := introspectFor(i, fmt.Sprintf("192.0.2.%d", n), "secret-token")
			all = append(all, err)
		}
		if got := strings.Count(log.String(), "client credentials"); got != want {
			t.Errorf("logged %d times, want %d", got, want)
		}
	}
	expectLines(1)
	clock.add(time.Minute)
	expectLines(2)
	clock.add(-5 * time.Hour) // setting the clock back suppresses no line
	expectLines(3)
	if text := log.String() + errors.Join(all...).Error(); strings.Contains(text, "hush-hush") || strings.Contains(text, "secret-token") {
		t.Errorf("log and errors: %s", text)
	}
}

// TestRedirectIsNotFollowed checks that a redirect is an error, and that the
// token is not sent to its target.
func TestRedirectIsNotFollowed(t *testing.T) {
	target := newFaultServer(t)
	target.set(respond(activeToken))
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.url(), http.StatusTemporaryRedirect)
	})
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack})
	if _, err := introspect(i, "t"); err == nil || target.hits.Load() != 0 {
		t.Errorf("error %v, %d requests to the redirect's target", err, target.hits.Load())
	}
}

// TestRestartedServer checks that connections from before a restart do not
// cause failures.
func TestRestartedServer(t *testing.T) {
	m := newFaultServer(t)
	m.set(respond(activeToken))
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack})
	var failed atomic.Int64
	for range 20 {
		if _, err := introspect(i, "t"); err != nil {
			failed.Add(1)
		}
		m.close()
		m.start()
	}
	if n := failed.Load(); n != 0 {
		t.Errorf("%d of 20 requests after a restart failed", n)
	}
}

// manualClock is a clock that a test sets. Its times have no monotonic reading.
type manualClock struct {
	mu sync.Mutex
	at time.Time
}

func newManualClock() *manualClock { return &manualClock{at: time.Unix(1_800_000_000, 0)} }

func (c *manualClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *manualClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestIntrospectorConfig(t *testing.T) {
	for name, cfg := range map[string]tokensource.IntrospectorConfig{
		"no URL": {ClientID: "a"}, "other scheme": {URL: "ftp://server.test", ClientID: "a"},
	} {
		if _, err := tokensource.NewIntrospector(cfg); err == nil || !strings.HasPrefix(err.Error(), "url: ") {
			t.Errorf("%s: %v, want an error that names the key", name, err)
		}
	}
}

// TestIntrospectionWithoutClient checks that no credentials are sent if none
// are configured.
func TestIntrospectionWithoutClient(t *testing.T) {
	var header atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, activeToken)
	}))
	defer server.Close()
	i, err := tokensource.NewIntrospector(tokensource.IntrospectorConfig{Name: "test", URL: server.URL, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Close() }()
	if info, err := i.Introspect(t.Context(), authz.Address{}, authz.NewSecret("t")); err != nil || !info.Active || header.Load() != "" {
		t.Errorf("%+v, %v, Authorization %q", info, err, header.Load())
	}
}
