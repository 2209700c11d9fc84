package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/internal/prove"
	"keyward/store"
)

const poisonConfig = baseConfig + `
introspection:
- {name: opaque, url: "URL/introspect", timeout: 1s}
`

// poisons are what an introspection server may do with a token it fails at.
var poisons = map[string]http.HandlerFunc{
	"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"429":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
	"401":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00{\"active\":") },
	"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
}

// TestPoisonedTokens: a client whose tokens make the introspection server fail,
// one of them or ever new ones, changes no answer of other clients.
func TestPoisonedTokens(t *testing.T) {
	for name, poison := range poisons {
		for _, many := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, many %v", name, many), func(t *testing.T) { poisonedTokens(t, poison, many) })
		}
	}
}

func poisonedTokens(t *testing.T, poison http.HandlerFunc, many bool) {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch token := r.FormValue("token"); {
		case strings.HasPrefix(token, "poison"):
			poison(w, r)
		case strings.HasPrefix(token, "good"):
			_, _ = io.WriteString(w, `{"active":true,"sub":"carol"}`)
		default:
			_, _ = io.WriteString(w, `{"active":false}`)
		}
	}))
	defer issuer.Close()
	r := start(t, strings.ReplaceAll(poisonConfig, "URL", issuer.URL), func(r *running) { r.create(store.KeyParams{}) })
	r.becomes("/", "ended", 401)
	stop := make(chan struct{})
	var attack sync.WaitGroup
	var shown atomic.Int64
	for range 20 {
		attack.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				token := "poison"
				if n := shown.Add(1); many {
					token = fmt.Sprint("poison", n)
				}
				if status, reason := r.askFrom("192.0.2.66", "/", token); status != 503 {
					t.Errorf("the poison: %d %s", status, reason)
				}
			}
		})
	}
	end := time.Now().Add(prove.Size(300*time.Millisecond, 30*time.Second))
	others := 0
	for ; time.Now().Before(end) || others < 100; others++ {
		client := fmt.Sprintf("192.0.2.%d:%d", 100+others%100, 1024+others)
		if status, reason := r.askFrom(client, "/", fmt.Sprint("good", others)); status != 200 {
			t.Errorf("a token of another client: %d %s", status, reason)
		}
		if status, reason := r.askFrom(client, "/", fmt.Sprint("ended", others)); status != 401 {
			t.Errorf("an inactive token of another client: %d %s", status, reason)
		}
	}
	close(stop)
	attack.Wait()
	t.Logf("%d requests with poison beside %d others", shown.Load(), 2*others)
}
