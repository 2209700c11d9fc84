package tokensource_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/verifier/jwks"
	"keyward/verifier/tokensource"
)

const slack = 2 * time.Second // what a busy machine may add to a limit

func newRemote(t *testing.T, cfg tokensource.RemoteConfig) *tokensource.Remote {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	r, err := tokensource.NewRemote(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func find(r *tokensource.Remote, kid string) (*jwks.Key, error) {
	return firstKey(r.Find(context.Background(), jwks.Query{ID: kid, HasID: true, Algorithm: "EdDSA"}, time.Now()))
}

// eventuallyFinds waits until the key is found.
func eventuallyFinds(t *testing.T, r *tokensource.Remote, kid string) *jwks.Key {
	t.Helper()
	var key *jwks.Key
	eventually.Succeeds(t, func() (err error) {
		key, err = find(r, kid)
		return err
	})
	return key
}

// isUnavailable reports whether the error means that the keys are not known.
func isUnavailable(err error) bool {
	return err != nil && !errors.Is(err, jwks.ErrNoKey) && !errors.Is(err, jwks.ErrManyKeys)
}

func TestFirstCheckWaitsForTheFirstLoad(t *testing.T) {
	m := newFaultServer(t)
	m.set(respond(jwkSet(jwk(t, "a"))))
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Wait: slack})
	key, err := find(r, "a")
	if err != nil || !r.Contains(key) {
		t.Fatalf("key %v, error %v", key, err)
	}
	if _, err := find(r, "b"); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("unknown key just after a refresh: %v, want %v", err, jwks.ErrNoKey)
	}
	if _, err := r.Find(context.Background(), jwks.Query{ID: "a", HasID: true, Algorithm: "RS256"}, time.Now()); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("a key of another algorithm: %v", err)
	}
	if n := m.hits.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// TestKeyWithoutIDAfterRefresh: a token that names an unknown key causes a refresh
// before a key without an id stands in for it, if that is allowed at all. While
// the issuer is unavailable, such a key of the last good set does.
func TestKeyWithoutIDAfterRefresh(t *testing.T) {
	m := newFaultServer(t)
	unnamed := strings.Replace(jwk(t, "x"), `"kid":"x",`, "", 1)
	if strings.Contains(unnamed, "kid") {
		t.Fatal(unnamed)
	}
	m.set(respond(jwkSet(unnamed, jwk(t, "a"))))
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), MinInterval: time.Nanosecond, Wait: slack})
	eventuallyFinds(t, r, "a")
	query := jwks.Query{ID: "new", HasID: true, Algorithm: "EdDSA", OptionalID: true}
	before := m.hits.Load()
	key, err := firstKey(r.Find(t.Context(), query, time.Now()))
	if _, has := key.ID(); err != nil || has || m.hits.Load() != before+1 {
		t.Fatalf("%v, %d requests", err, m.hits.Load()-before)
	}
	if _, err := find(r, "new"); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("by default: %v", err)
	}
	m.set(respond(jwkSet(unnamed, jwk(t, "new"))))
	if key, err = firstKey(r.Find(t.Context(), query, time.Now())); err != nil {
		t.Fatal(err)
	}
	if id, _ := key.ID(); id != "new" {
		t.Errorf("the refresh has the key, and %q is tried", id)
	}
	m.set(respond("junk"))
	query.ID = "newer"
	key, err = firstKey(r.Find(t.Context(), query, time.Now()))
	if err != nil {
		t.Fatalf("while the issuer is unavailable: %v", err)
	}
	if _, has := key.ID(); has {
		t.Error("another key stands in")
	}
	if _, err := find(r, "newer"); !isUnavailable(err) {
		t.Errorf("by default, while the issuer is unavailable: %v", err)
	}
	query.HasID = false
	before = m.hits.Load()
	if keys, err := r.Find(t.Context(), query, time.Now()); err != nil || len(keys) != 2 || m.hits.Load() != before {
		t.Errorf("no id: %d keys, %v, %d requests", len(keys), err, m.hits.Load()-before)
	}
}

// TestIssuerFaults checks that with every fault of the issuer known keys are
// found at once, an unknown key is an error soon, and a new key is found once
// the issuer has recovered.
func TestIssuerFaults(t *testing.T) {
	m := newFaultServer(t)
	first := jwk(t, "first")
	good := jwkSet(first, jwk(t, "second"))
	faults := m.faults(good)
	private := strings.Replace(jwk(t, "x"), "{", `{"d":"AAAA",`, 1)
	faults["private"] = respond(jwkSet(first, private))
	faults["no keys"] = respond(jwkSet())
	faults["server down"] = nil
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			m.set(respond(jwkSet(first)))
			seen := &countingObserver{}
			const wait = 50 * time.Millisecond
			r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), MinInterval: time.Nanosecond, Wait: wait, Observer: seen})
			known := eventuallyFinds(t, r, "first")
			if m.set(fault); fault == nil {
				m.set(respond(good))
				m.close()
			}
			for range 3 {
				returnsWithin(t, wait+slack, "an unknown key", func() {
					if _, err := find(r, "second"); !isUnavailable(err) {
						t.Errorf("error %v, want one that means that the keys are not known", err)
					}
				})
			}
			returnsWithin(t, slack, "a known key", func() {
				for range 1000 {
					if key, err := find(r, "first"); err != nil || key != known || !r.Contains(key) {
						t.Fatalf("known key: %v, %v", key, err)
					}
				}
			})
			if fault == nil {
				m.start()
			}
			if name == "hang" || name == "trickle" {
				return // it does not recover before the timeout; see TestSlowIssuer
			}
			m.set(respond(good))
			eventuallyFinds(t, r, "second")
			if seen.failed.Load() == 0 || seen.ok.Load() < 2 {
				t.Errorf("observed %d good and %d bad refreshes", seen.ok.Load(), seen.failed.Load())
			}
		})
	}
}

// TestFaultsAtFirst checks that while no keys were loaded every check fails
// soon, and that the Remote recovers without a check.
func TestFaultsAtFirst(t *testing.T) {
	good := jwkSet(jwk(t, "a"))
	var servers []*faultServer
	var remotes []*tokensource.Remote
	for _, name := range []string{"closed connection", "500", "HTML", "empty", "truncated", "oversize", "redirect loop"} {
		m := newFaultServer(t)
		m.set(m.faults(good)[name])
		r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Wait: 50 * time.Millisecond})
		returnsWithin(t, slack, name+": a check", func() {
			if _, err := find(r, "a"); !isUnavailable(err) {
				t.Errorf("%s: error %v", name, err)
			}
		})
		servers, remotes = append(servers, m), append(remotes, r)
	}
	for _, m := range servers {
		m.set(respond(good))
	}
	for _, r := range remotes {
		eventuallyFinds(t, r, "a")
	}
}

// TestHangsAtFirst checks that no check waits for an issuer longer than the
// limit.
func TestHangsAtFirst(t *testing.T) {
	m := newFaultServer(t)
	m.set(m.hang)
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url()})
	returnsWithin(t, slack, "ten checks while the issuer hangs", func() {
		for range 10 {
			if _, err := find(r, "a"); !isUnavailable(err) {
				t.Errorf("error %v", err)
			}
		}
	})
	returnsWithin(t, slack, "closing while the issuer hangs", func() { _ = r.Close() })
	returnsWithin(t, slack, "a check after Close", func() {
		if _, err := find(r, "a"); !isUnavailable(err) {
			t.Errorf("error %v", err)
		}
	})
}

// TestConcurrentChecksShareOneRequest checks that many checks with unknown keys
// cause one request.
func TestConcurrentChecksShareOneRequest(t *testing.T) {
	m := newFaultServer(t)
	good := jwkSet(jwk(t, "a"))
	m.set(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		respond(good)(w, r)
	})
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), MinInterval: time.Hour, Wait: 5 * slack})
	concurrently(200, func(int) {
		if _, err := find(r, "a"); err != nil {
			t.Errorf("the key: %v", err)
		}
		if _, err := find(r, "junk"); !errors.Is(err, jwks.ErrNoKey) {
			t.Errorf("junk: %v", err)
		}
	})
	if n := m.hits.Load(); n != 1 {
		t.Errorf("%d requests for 200 checks, want 1", n)
	}
}

// concurrently calls do n times concurrently and waits for all calls.
func concurrently(n int, do func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() { <-start; do(i) })
	}
	close(start)
	group.Wait()
}

func TestRemovedKey(t *testing.T) {
	m := newFaultServer(t)
	a, b := jwk(t, "a"), jwk(t, "b")
	m.set(respond(jwkSet(a)))
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), MinInterval: time.Nanosecond, Wait: slack})
	key := eventuallyFinds(t, r, "a")
	m.set(respond(jwkSet(b)))
	eventuallyFinds(t, r, "b")
	if r.Contains(key) {
		t.Error("a key that left the set is still valid")
	}
	if _, err := find(r, "a"); !errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("a key that left the set: %v", err)
	}
	m.set(respond(jwkSet(jwk(t, "a"))))
	if eventuallyFinds(t, r, "a"); r.Contains(key) {
		t.Error("another key with the same id counts as the one that left")
	}
}

func TestCheckDeadline(t *testing.T) {
	m := newFaultServer(t)
	m.set(m.hang)
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Wait: time.Hour})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	returnsWithin(t, slack, "a check with a deadline", func() {
		if _, err := r.Find(ctx, jwks.Query{ID: "a", HasID: true, Algorithm: "EdDSA"}, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestDiscovery(t *testing.T) {
	m := newFaultServer(t)
	keys := jwkSet(jwk(t, "a"))
	route := func(path, metadata string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case path:
				respond(metadata)(w, r)
			case "/keys":
				respond(keys)(w, r)
			default:
				http.NotFound(w, r)
			}
		}
	}
	issuerURL := m.url() + "/tenant/"
	metadata := `{"issuer":"` + issuerURL + `","jwks_uri":"` + m.url() + `/keys"}`
	m.set(route("/tenant/.well-known/openid-configuration", metadata))
	r := newRemote(t, tokensource.RemoteConfig{Issuer: issuerURL, MinInterval: time.Nanosecond, Wait: slack})
	eventuallyFinds(t, r, "a")

	// The issuer moves its keys: the old URL fails once, and is then discovered
	// again.
	keys = jwkSet(jwk(t, "b"))
	moved := strings.Replace(metadata, "/keys", "/moved", 1)
	m.set(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			respond(keys)(w, r)
			return
		}
		respondStatus(404)(w, r)
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			t.Error("discovery was repeated while a check waited")
		}
	})
	if _, err := find(r, "b"); !isUnavailable(err) {
		t.Errorf("the keys are gone: %v", err)
	}
	m.set(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			respond(keys)(w, r)
			return
		}
		route("/tenant/.well-known/openid-configuration", moved)(w, r)
	})
	eventuallyFinds(t, r, "b")
}

// TestForeignMetadata checks that metadata that names another issuer is
// refused.
func TestForeignMetadata(t *testing.T) {
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			t.Error("the keys were requested")
		}
		respond(`{"issuer":"`+m.url()+`/other","jwks_uri":"`+m.url()+`/keys"}`)(w, r)
	})
	r := newRemote(t, tokensource.RemoteConfig{Issuer: m.url(), Wait: slack})
	if _, err := find(r, "a"); !isUnavailable(err) || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("error %v", err)
	}
}

// TestDowngrade checks that the keys of an issuer on https are never read over
// http.
func TestDowngrade(t *testing.T) {
	m := newFaultServer(t)
	m.set(respond(jwkSet(jwk(t, "a"))))
	safe := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, m.url(), http.StatusFound)
	}))
	t.Cleanup(safe.Close)
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: safe.URL, Client: safe.Client(), Wait: slack})
	if _, err := find(r, "a"); !isUnavailable(err) || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("error %v", err)
	}
	if m.hits.Load() != 0 {
		t.Error("the http server got a request")
	}
}

func TestUntrustedCertificate(t *testing.T) {
	safe := httptest.NewUnstartedServer(respond(jwkSet(jwk(t, "a"))))
	safe.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	safe.StartTLS()
	t.Cleanup(safe.Close)
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: safe.URL, Wait: slack})
	if _, err := find(r, "a"); !isUnavailable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

func TestGoodRedirectAndNoCookies(t *testing.T) {
	m := newFaultServer(t)
	keys := jwkSet(jwk(t, "a"))
	m.set(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was sent back")
		}
		http.SetCookie(w, &http.Cookie{Name: "track", Value: "me"})
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		respond(keys)(w, r)
	})
	eventuallyFinds(t, newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url() + "/"}), "a")
}

// TestErrorsQuoteNothing checks that neither errors nor the log quote what a
// server sent.
func TestErrorsQuoteNothing(t *testing.T) {
	m := newFaultServer(t)
	m.set(sendGarbage)
	var log bytes.Buffer
	r := newRemote(t, tokensource.RemoteConfig{JWKSURL: m.url(), Wait: slack, Log: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := find(r, "a")
	_ = r.Close()
	if err == nil || strings.Contains(err.Error()+log.String(), "secret-of-the-server") || !strings.Contains(log.String(), "issuer=test") {
		t.Errorf("error %v, log %s", err, log.String())
	}
}

func TestRemoteConfig(t *testing.T) {
	for name, c := range map[string]struct {
		cfg tokensource.RemoteConfig
		key string // that the error names
	}{
		"nothing":              {tokensource.RemoteConfig{}, "issuer"},
		"no URL":               {tokensource.RemoteConfig{JWKSURL: "keys.json"}, "jwks_url"},
		"other scheme":         {tokensource.RemoteConfig{JWKSURL: "file:///keys.json"}, "jwks_url"},
		"no host":              {tokensource.RemoteConfig{JWKSURL: "https:///keys"}, "jwks_url"},
		"no host but a port":   {tokensource.RemoteConfig{JWKSURL: "https://:443/keys"}, "jwks_url"},
		"fragment":             {tokensource.RemoteConfig{JWKSURL: "https://issuer.test/keys#a"}, "jwks_url"},
		"issuer is a name":     {tokensource.RemoteConfig{Issuer: "me"}, "issuer"},
		"issuer with a query":  {tokensource.RemoteConfig{Issuer: "https://issuer.test/?a=b"}, "issuer"},
		"issuer with a ? only": {tokensource.RemoteConfig{Issuer: "https://issuer.test/?"}, "issuer"},
	} {
		r, err := tokensource.NewRemote(c.cfg)
		if err == nil {
			_ = r.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), c.key+": ") {
			t.Errorf("%s: the error does not name %s: %v", name, c.key, err)
		}
	}
}
