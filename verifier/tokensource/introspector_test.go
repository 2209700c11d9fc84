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

func TestQuestion(t *testing.T) {
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) { status(500)(w, r) })
	questions := make(chan *http.Request, 1)
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		questions <- r
		says(activeToken)(w, r)
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

// TestIntrospectionMoods checks that with every fault of the server there is an error soon.
// TestTokensWhileTheServerIsUnwell checks that it recovers.
func TestIntrospectionMoods(t *testing.T) {
	m := newFaultServer(t)
	moods := m.faults(activeToken)
	moods["oversize"] = says(activeToken[:len(activeToken)-1] + strings.Repeat(" ", 64<<10) + "}")
	moods["dead"] = nil
	moods["400"], moods["403"] = status(400), status(403)
	moods["active is text"] = says(`{"active":"true","sub":"alice"}`)
	for name, mood := range moods {
		t.Run(name, func(t *testing.T) {
			if mood == nil {
				m.close()
				defer m.start()
			} else {
				m.set(mood)
			}
			i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: 50 * time.Millisecond})
			within(t, 10*50*time.Millisecond+slack, "ten requests", func() {
				for range 10 {
					if info, err := introspect(i, "t"); err == nil || info != nil {
						t.Errorf("%+v, %v; want an error", info, err)
					}
				}
			})
		})
	}
}

// TestAwayCostsNothing checks that after a few failures a server that hangs gets one request
// per second, which finds out when it has recovered.
func TestAwayCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{takes: time.Hour}
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
		before := s.asked.Load()
		for range 1000 { // ten seconds
			ask()
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.asked.Load() - before; n < 7 || n > 10 {
			t.Errorf("%d requests in ten seconds, want about one per second", n)
		}
		s.turns(activeToken, 0)
		time.Sleep(time.Second + time.Millisecond)
		if info, err := introspect(i, "t"); err != nil || !info.Active {
			t.Errorf("after the server recovered: %v", err)
		}
	})
}

// TestCrowdAtAwayServer checks the limit of concurrent requests, and then the breaker.
func TestCrowdAtAwayServer(t *testing.T) {
	m := newFaultServer(t)
	m.set(m.hangs)
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: 100 * time.Millisecond})
	within(t, 100*time.Millisecond+slack, "200 requests to a server that hangs", func() {
		crowd(200, func(n int) {
			if _, err := introspect(i, fmt.Sprint(n)); err == nil {
				t.Error("no error")
			}
		})
	})
	if n := m.hits.Load(); n > 64 {
		t.Errorf("%d requests, want at most 64 at a time", n)
	}
	before := m.hits.Load()
	within(t, slack, "200 requests to a server known to be unavailable", func() {
		crowd(200, func(n int) { _, _ = introspect(i, fmt.Sprint(n)) })
	})
	if n := m.hits.Load() - before; n > 2 {
		t.Errorf("%d requests to an unavailable server", n)
	}
}

// TestOneClientDoesNotCutOffOthers checks that faults caused by one client's tokens do not
// affect other clients, also after the server was unavailable.
func TestOneClientDoesNotCutOffOthers(t *testing.T) {
	m := newFaultServer(t)
	var mood atomic.Pointer[http.HandlerFunc] // for odd tokens
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PostFormValue("token"), "odd") {
			(*mood.Load())(w, r)
			return
		}
		says(activeToken)(w, r)
	})
	moods := m.faults(activeToken)
	moods["429"], moods["403"], moods["400"], moods["414"] = status(429), status(403), status(400), status(414)
	moods["control characters"] = says(`{"active":true,"sub":"a\u0007"}`)
	for name, handler := range moods {
		t.Run(name, func(t *testing.T) {
			mood.Store(&handler)
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

// TestOddTokenAfterAnOutage checks that a client with a token that fails does not delay the
// discovery that the server has recovered.
func TestOddTokenAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{takes: time.Hour}
		i := newIntrospector(t, tokensource.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: oddTokens{s}}})
		for n := range 20 {
			_, _ = introspectFor(i, fmt.Sprintf("198.51.%d.1", n), "t")
		}
		before := s.asked.Load()
		for n := range 100 {
			_, _ = introspectFor(i, fmt.Sprintf("198.18.%d.1", n), "t")
		}
		if n := s.asked.Load() - before; n > 8 {
			t.Errorf("%d requests to a server that cannot be reached", n)
		}
		s.turns(activeToken, 0)
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

// oddTokens fails for tokens that begin with "odd", after the connection was made.
type oddTokens struct{ *scripted }

func (o oddTokens) RoundTrip(r *http.Request) (*http.Response, error) {
	if body, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(body), "token=odd") {
		return o.scripted.RoundTrip(r)
	}
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
	return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// TestAwayForSeveralNetworks checks that failures that a token can cause open the breaker for
// all clients once they come from several networks.
func TestAwayForSeveralNetworks(t *testing.T) {
	m := newFaultServer(t)
	m.set(status(500))
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
	m.set(says(activeToken))
	soon(t, "a request to the server", func() bool { _, err := introspectFor(i, "192.0.2.1", "t"); return err == nil })
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 {
		t.Errorf("log: %s", text)
	}
}

// TestFailingClientIsHeldBack checks that the breaker of one client admits a request per
// second until one succeeds.
func TestFailingClientIsHeldBack(t *testing.T) {
	m := newFaultServer(t)
	m.set(status(429))
	clock := newSetClock()
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack, Now: clock.now})
	asks := func(client string, want int64) {
		t.Helper()
		before := m.hits.Load()
		for range 10 {
			_, _ = introspectFor(i, client, "t")
		}
		if n := m.hits.Load() - before; n != want {
			t.Errorf("%s: %d requests of 10, want %d", client, n, want)
		}
	}
	asks("2001:db8::1", 5)
	asks("2001:db8::2", 0) // the same /64
	asks("2001:db8:0:1::1", 5)
	asks("", 10) // clients without an address are not counted as one
	clock.add(time.Second)
	asks("2001:db8::1", 1)
	clock.add(-5 * time.Hour) // setting the clock back blocks no client
	asks("2001:db8::1", 1)
	m.set(says(activeToken))
	clock.add(time.Second)
	asks("2001:db8::1", 10)
}

// TestCheckThatGoesAway checks that canceled requests do not count as failures of the server.
func TestCheckThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{body: activeToken, takes: 100 * time.Millisecond}
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

// TestRefusedCredentials checks that rejected client credentials are logged, at intervals
// and without the secret.
func TestRefusedCredentials(t *testing.T) {
	m := newFaultServer(t)
	m.set(status(401))
	var log bytes.Buffer
	clock := newSetClock()
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack, Now: clock.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var all []error
	told := func(want int) {
		t.Helper()
		for n := range 4 {
			_, err := introspectFor(i, fmt.Sprintf("192.0.2.%d", n), "secret-token")
			all = append(all, err)
		}
		if got := strings.Count(log.String(), "client credentials"); got != want {
			t.Errorf("logged %d times, want %d", got, want)
		}
	}
	told(1)
	clock.add(time.Minute)
	told(2)
	clock.add(-5 * time.Hour) // setting the clock back suppresses no line
	told(3)
	if text := log.String() + errors.Join(all...).Error(); strings.Contains(text, "hush-hush") || strings.Contains(text, "secret-token") {
		t.Errorf("log and errors: %s", text)
	}
}

// TestRedirectGetsNoToken checks that a redirect is an error, and that the token is not sent
// to its target.
func TestRedirectGetsNoToken(t *testing.T) {
	thief := newFaultServer(t)
	thief.set(says(activeToken))
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.url(), http.StatusTemporaryRedirect)
	})
	i := newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack})
	if _, err := introspect(i, "t"); err == nil || thief.hits.Load() != 0 {
		t.Errorf("error %v, %d requests to the redirect's target", err, thief.hits.Load())
	}
}

// TestRestartedServer checks that connections from before a restart do not cause failures.
func TestRestartedServer(t *testing.T) {
	m := newFaultServer(t)
	m.set(says(activeToken))
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

// setClock is a clock that a test sets. Its times have no monotonic reading.
type setClock struct {
	mu sync.Mutex
	at time.Time
}

func newSetClock() *setClock { return &setClock{at: time.Unix(1_800_000_000, 0)} }

func (c *setClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *setClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestIntrospectorConfig(t *testing.T) {
	for name, cfg := range map[string]tokensource.IntrospectorConfig{
		"no URL": {ClientID: "a"}, "other scheme": {URL: "ftp://server.test", ClientID: "a"},
	} {
		if _, err := tokensource.NewIntrospector(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestIntrospectionWithoutClient checks that no credentials are sent if none are configured.
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
