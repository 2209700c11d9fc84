package tokensource_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// faultServer is a real HTTP server with faults that the test sets.
type faultServer struct {
	t     *testing.T
	addr  string
	fault atomic.Pointer[http.HandlerFunc]
	hits  atomic.Int64
	stop  context.Context // ends with the test, for handlers that hang
	serve *http.Server
}

func newFaultServer(t *testing.T) *faultServer {
	t.Helper()
	stop, cancel := context.WithCancel(context.Background())
	m := &faultServer{t: t, addr: "127.0.0.1:0", stop: stop}
	m.set(respond("{}"))
	m.start()
	t.Cleanup(func() { cancel(); m.close() })
	return m
}

// start listens, at the same address again after close.
func (m *faultServer) start() {
	m.t.Helper()
	listener, err := net.Listen("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.addr = listener.Addr().String()
	m.serve = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.hits.Add(1)
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
		(*m.fault.Load())(w, r)
	})}
	go func(s *http.Server) { _ = s.Serve(listener) }(m.serve)
}

// close closes the listener and all connections.
func (m *faultServer) close() { _ = m.serve.Close() }

func (m *faultServer) set(fault http.HandlerFunc) { m.fault.Store(&fault) }
func (m *faultServer) url() string                { return "http://" + m.addr }

func respond(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func respondStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// closeConnection closes the connection without a response.
func closeConnection(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// sendGarbage sends a response that is not HTTP.
func sendGarbage(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = io.WriteString(conn, "550 secret-of-the-server\r\n")
		_ = conn.Close()
	}
}

// truncateBody sends less than its Content-Length.
func truncateBody(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+10))
		_, _ = io.WriteString(w, body)
	}
}

func (m *faultServer) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-m.stop.Done():
	}
}

// trickle sends one byte every few milliseconds and never ends.
func (m *faultServer) trickle(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := io.WriteString(w, " "); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-m.stop.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func redirectLoop(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/again"+r.URL.Path, http.StatusTemporaryRedirect)
}

// faults returns all faults, except for a server that is down.
func (m *faultServer) faults(good string) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"closed connection": closeConnection, "garbage": sendGarbage, "hang": m.hang, "trickle": m.trickle, "redirect loop": redirectLoop,
		"500": respondStatus(500), "503": respondStatus(503), "404": respondStatus(404), "401": respondStatus(401), "204": respondStatus(204),
		"500 with a good body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = io.WriteString(w, good) },
		"HTML":                 respond("<!doctype html><title>Sign in</title>"),
		"empty":                respond(""), "empty object": respond("{}"), "null": respond("null"), "array": respond("[" + good + "]"),
		"incomplete body": truncateBody(good),
		"truncated":       respond(good[:len(good)-1]),
		"oversize":        respond(good[:len(good)-1] + strings.Repeat(" ", 512<<10) + "}"),
		"twice":           respond(good + good),
		"duplicate":       respond(good[:len(good)-1] + "," + good[1:]),
		"not UTF-8":       respond(good[:len(good)-1] + ",\"x\":\"\xff\"}"),
		"two marks":       respond("\ufeff\ufeff" + good),
	}
}

// jwk returns a new public key with that id.
func jwk(t *testing.T, kid string) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, kid, base64.RawURLEncoding.EncodeToString(public))
}

func jwkSet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// returnsWithin checks that do returns within the limit.
func returnsWithin(t *testing.T, limit time.Duration, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %s, more than %s", what, took, limit)
	}
}

// countingObserver is a tokensource.Observer.
type countingObserver struct{ ok, failed, ignored atomic.Int64 }

func (c *countingObserver) Ignored(keys int) { c.ignored.Store(int64(keys)) }

// expectIgnored returns an error unless that many keys are ignored.
func (c *countingObserver) expectIgnored(want int64) error {
	if got := c.ignored.Load(); got != want {
		return fmt.Errorf("%d keys are ignored, want %d", got, want)
	}
	return nil
}

func (c *countingObserver) Refreshed(err error) {
	if err == nil {
		c.ok.Add(1)
	} else {
		c.failed.Add(1)
	}
}
