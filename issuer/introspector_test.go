package issuer_test

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
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/issuer"
	"keyward/verifier"
)

const activeToken = `{"active":true,"sub":"alice","scope":"read write","client_id":"app","exp":4102444800}`

func newIntrospector(t *testing.T, cfg issuer.IntrospectorConfig) *issuer.Introspector {
	t.Helper()
	cfg.Name = "test"
	if cfg.ClientID == "" {
		cfg.ClientID, cfg.ClientSecret = "keyward", authz.NewSecret("hush-hush")
	}
	i, err := issuer.NewIntrospector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

func introspect(i *issuer.Introspector, token string) (*verifier.TokenInfo, error) {
	return i.Introspect(context.Background(), authz.NewSecret(token))
}

func TestQuestion(t *testing.T) {
	m := newMoody(t)
	m.be(func(w http.ResponseWriter, r *http.Request) { status(500)(w, r) })
	questions := make(chan *http.Request, 1)
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		questions <- r
		says(activeToken)(w, r)
	})
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url() + "/introspect", ClientID: "key ward:1", ClientSecret: authz.NewSecret("p&ss:ü"), Timeout: slack})
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

// TestIntrospectionMoods: whatever the server does, nobody can tell, and soon.
// That it heals is seen in TestTokensWhileTheServerIsUnwell.
func TestIntrospectionMoods(t *testing.T) {
	m := newMoody(t)
	moods := m.moods(activeToken)
	moods["oversize"] = says(activeToken[:len(activeToken)-1] + strings.Repeat(" ", 64<<10) + "}")
	moods["dead"] = nil
	moods["400"], moods["403"] = status(400), status(403)
	moods["active is text"] = says(`{"active":"true","sub":"alice"}`)
	for name, mood := range moods {
		t.Run(name, func(t *testing.T) {
			if mood == nil {
				m.die()
				defer m.start()
			} else {
				m.be(mood)
			}
			i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: 50 * time.Millisecond})
			within(t, 10*50*time.Millisecond+slack, "ten questions", func() {
				for range 10 {
					if info, err := introspect(i, "t"); err == nil || info != nil {
						t.Errorf("%+v, %v; want an error", info, err)
					}
				}
			})
		})
	}
}

// TestAwayCostsNothing: after a few failures a server that hangs is left
// alone; one question a second finds out when it is well.
func TestAwayCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{takes: time.Hour}
		i := newIntrospector(t, issuer.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: s}})
		ask := func() time.Duration {
			began := time.Now()
			if _, err := introspect(i, "t"); err == nil {
				t.Error("no error")
			}
			return time.Since(began)
		}
		for n := range 5 {
			if took := ask(); took != 150*time.Millisecond {
				t.Errorf("question %d took %s, want 150ms", n, took)
			}
		}
		for range 100 {
			if took := ask(); took != 0 {
				t.Fatalf("a question to a server that is away took %s", took)
			}
		}
		before := s.asked.Load()
		for range 1000 { // ten seconds
			ask()
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.asked.Load() - before; n < 7 || n > 10 {
			t.Errorf("%d questions in ten seconds, want about one a second", n)
		}
		s.turns(activeToken, 0)
		time.Sleep(time.Second + time.Millisecond)
		if info, err := introspect(i, "t"); err != nil || !info.Active {
			t.Errorf("after the server healed: %v", err)
		}
	})
}

// TestCrowdAtAwayServer: a crowd meets the bound of questions in flight, then the breaker.
func TestCrowdAtAwayServer(t *testing.T) {
	m := newMoody(t)
	m.be(m.hangs)
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: 100 * time.Millisecond})
	within(t, 100*time.Millisecond+slack, "a crowd at a server that hangs", func() {
		crowd(200, func(n int) {
			if _, err := introspect(i, fmt.Sprint(n)); err == nil {
				t.Error("no error")
			}
		})
	})
	if n := m.hits.Load(); n > 64 {
		t.Errorf("%d questions, want at most 64 at a time", n)
	}
	before := m.hits.Load()
	within(t, slack, "a crowd at a server known to be away", func() {
		crowd(200, func(n int) { _, _ = introspect(i, fmt.Sprint(n)) })
	})
	if n := m.hits.Load() - before; n > 2 {
		t.Errorf("%d questions to a server that is away", n)
	}
}

// TestOneTokenDoesNotCutOffOthers: answers that are about one token say nothing about the server.
func TestOneTokenDoesNotCutOffOthers(t *testing.T) {
	m := newMoody(t)
	m.be(func(w http.ResponseWriter, r *http.Request) { status(500)(w, r) })
	var odd http.HandlerFunc
	m.serve.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("token") == "odd" {
			odd(w, r)
			return
		}
		says(activeToken)(w, r)
	})
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: slack})
	for name, mood := range map[string]http.HandlerFunc{
		"400": status(400), "414": status(414), "control characters": says(`{"active":true,"sub":"a\u0007"}`),
		"oversize": says(`{"active":true,"sub":"a"` + strings.Repeat(" ", 65<<10) + "}"), "no JSON": says("what?"),
	} {
		odd = mood
		for range 20 {
			if _, err := introspect(i, "odd"); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := introspect(i, "good"); err != nil {
			t.Errorf("%s: another token: %v", name, err)
		}
	}
}

// TestCheckThatGoesAway: askers that give up say nothing about the server.
func TestCheckThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{body: activeToken, takes: 100 * time.Millisecond}
		i := newIntrospector(t, issuer.IntrospectorConfig{URL: "https://server.test", Client: &http.Client{Transport: s}})
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			go func() { time.Sleep(time.Millisecond); cancel() }()
			if _, err := i.Introspect(ctx, authz.NewSecret("t")); err == nil {
				t.Error("no error")
			}
		}
		if _, err := introspect(i, "t"); err != nil {
			t.Errorf("after others gave up: %v", err)
		}
	})
}

// TestRefusedCredentials: the operator is told, now and then, and without the secret.
func TestRefusedCredentials(t *testing.T) {
	m := newMoody(t)
	m.be(status(401))
	var log bytes.Buffer
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: slack, Log: slog.New(slog.NewTextHandler(&log, nil))})
	var all []error
	for range 4 {
		_, err := introspect(i, "secret-token")
		all = append(all, err)
	}
	text := log.String() + errors.Join(all...).Error()
	if strings.Count(text, "client credentials") != 1 || strings.Contains(text, "hush-hush") || strings.Contains(text, "secret-token") {
		t.Errorf("log and errors: %s", text)
	}
}

// TestRedirectGetsNoToken: a redirect is no answer, and nobody else hears the token.
func TestRedirectGetsNoToken(t *testing.T) {
	thief := newMoody(t)
	thief.be(says(activeToken))
	m := newMoody(t)
	m.be(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.url(), http.StatusTemporaryRedirect)
	})
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: slack})
	if _, err := introspect(i, "t"); err == nil || thief.hits.Load() != 0 {
		t.Errorf("error %v, %d questions to the redirect's target", err, thief.hits.Load())
	}
}

// TestRestartedServer: connections kept from before are no reason to fail.
func TestRestartedServer(t *testing.T) {
	m := newMoody(t)
	m.be(says(activeToken))
	i := newIntrospector(t, issuer.IntrospectorConfig{URL: m.url(), Timeout: slack})
	var failed atomic.Int64
	for range 20 {
		if _, err := introspect(i, "t"); err != nil {
			failed.Add(1)
		}
		m.die()
		m.start()
	}
	if n := failed.Load(); n != 0 {
		t.Errorf("%d of 20 questions after a restart failed", n)
	}
}

func TestIntrospectorConfig(t *testing.T) {
	for name, cfg := range map[string]issuer.IntrospectorConfig{
		"no URL": {ClientID: "a"}, "other scheme": {URL: "ftp://server.test", ClientID: "a"},
	} {
		if _, err := issuer.NewIntrospector(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestIntrospectionWithoutClient: a server that knows us by other means is told nothing.
func TestIntrospectionWithoutClient(t *testing.T) {
	var header atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, activeToken)
	}))
	defer server.Close()
	i, err := issuer.NewIntrospector(issuer.IntrospectorConfig{Name: "test", URL: server.URL, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Close() }()
	if info, err := i.Introspect(t.Context(), authz.NewSecret("t")); err != nil || !info.Active || header.Load() != "" {
		t.Errorf("%+v, %v, Authorization %q", info, err, header.Load())
	}
}
