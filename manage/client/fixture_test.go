package client

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"keyward/authz"
)

const (
	someID     = "k_0123456789aB"
	someClient = "c_0123456789aB"
)

var token = authz.NewSecret("kw_4X8DKSS24K3yA5svpnIXoG1meypn3RUA19kNKA")

// sent is a request as the server got it.
type sent struct{ method, target, body, once, contentType, authorization string }

// fakeServer answers each request in turn; the last answer is for all that follow.
type fakeServer struct {
	*Client
	t       *testing.T
	url     string
	answers []http.HandlerFunc

	mu     sync.Mutex
	got    []sent
	paused []time.Duration
}

func newFakeServer(t *testing.T, answers ...http.HandlerFunc) *fakeServer {
	t.Helper()
	f := &fakeServer{t: t, answers: answers}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
	var err error
	f.Client, err = New(Config{URL: s.URL, Token: token, Pause: func(_ context.Context, d time.Duration) error {
		f.paused = append(f.paused, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// ServeHTTP implements http.Handler.
func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.got = append(f.got, sent{r.Method, r.RequestURI, string(body), r.Header.Get("Idempotency-Key"), r.Header.Get("Content-Type"), r.Header.Get("Authorization")})
	answer := f.answers[min(len(f.got), len(f.answers))-1]
	f.mu.Unlock()
	answer(w, r)
}

// requests returns what the server got.
func (f *fakeServer) requests() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// answers answers with that status and body.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func refuses(status int, name string) http.HandlerFunc {
	return answers(status, `{"type": "https://keyward.dev/errors/`+name+`", "detail": "so it is"}`)
}

// drops ends the connection without an answer.
func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
