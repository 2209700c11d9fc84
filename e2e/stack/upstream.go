package stack

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Received is a request as the upstream received it.
type Received struct {
	Method  string              `json:"method"`
	Path    string              `json:"path"` // with the query, undecoded
	Headers map[string][]string `json:"headers"`
}

// Upstream is an API that answers each request with that request, as JSON.
type Upstream struct {
	server *http.Server
	done   chan struct{}
}

// StartUpstream listens on the address. It passes each request to observe, if
// that is not nil, from several goroutines concurrently.
func StartUpstream(address string, observe func(Received)) (*Upstream, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting the upstream: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	u := &Upstream{done: make(chan struct{}), server: &http.Server{
		Handler:           echo(observe),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    1 << 20,
	}}
	go func() {
		defer close(u.done)
		_ = u.server.Serve(listener)
	}()
	return u, nil
}

// Stop closes the listener and every connection.
func (u *Upstream) Stop() {
	_ = u.server.Close()
	<-u.done
}
func echo(observe func(Received)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got := Received{Method: r.Method, Path: r.RequestURI, Headers: map[string][]string{"host": {r.Host}}}
		for name, values := range r.Header {
			got.Headers[strings.ToLower(name)] = values
		}
		if observe != nil {
			observe(got)
		}
		w.Header().Set("Content-Type", "application/json")
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		_ = out.Encode(got)
	}
}
