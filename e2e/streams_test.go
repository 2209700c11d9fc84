package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// longTimes are the times of the shipped configurations that a stream may
// outlast. The test makes them shorter, so that it need not wait for them.
var longTimes = regexp.MustCompile(`\b(60|300)s\b`)

const (
	shortTime = 2 * time.Second
	// A stream of this length outlasts each timeout that is not reset by what
	// the stream sends.
	streamLength = 5 * time.Second
	streamPause  = 200 * time.Millisecond
)

// shorten makes the proxy's times shorter.
func shorten(t *testing.T, o *options) {
	t.Helper()
	shortened := 0
	replace := func(text string) string {
		shortened += len(longTimes.FindAllString(text, -1))
		return longTimes.ReplaceAllString(text, shortTime.String())
	}
	before := o.text
	o.text = func(text string) string {
		if before != nil {
			text = before(text)
		}
		return replace(text)
	}
	o.envoy = func(_ *testing.T, c *stack.EnvoyConfig) {
		for _, name := range []string{"edge", "upstream"} {
			replaceIn(c.Find(name), replace)
		}
	}
	t.Cleanup(func() {
		if shortened == 0 {
			t.Error("the shipped configuration has no time to shorten")
		}
	})
}

// replaceIn replaces the strings below a node of Envoy's configuration.
func replaceIn(node any, replace func(string) string) {
	switch node := node.(type) {
	case object:
		for name, value := range node {
			if text, ok := value.(string); ok {
				node[name] = replace(text)
			}
			replaceIn(value, replace)
		}
	case []any:
		for _, value := range node {
			replaceIn(value, replace)
		}
	}
}

// streams are responses that an upstream sends as slowly as their clients ask
// for it.
var streams = map[string]struct {
	method, contentType string
}{
	"/events": {"GET", "text/event-stream"},
	"/chat":   {"POST", "text/event-stream; charset=utf-8"},
	"/lines":  {"POST", "application/x-ndjson"},
	"/tokens": {"GET", "application/json"},
}

// streamUpstream sends the next part of a stream when it may.
type streamUpstream struct {
	next map[string]chan struct{} // by target; closed at the end of the stream
	quit chan struct{}
}

func (u *streamUpstream) respond(r arrival, in *bufio.Reader, out io.Writer) (keepOpen bool) {
	path, _, _ := strings.Cut(r.target(), "?")
	stream, ok := streams[path]
	if path == notices {
		err := acceptWebsocket(r, out)
		for err == nil && u.maySend(path) {
			err = writeFrame(out, part, false)
		}
		return false
	}
	if !ok {
		return respondWebsocket(r, in, out)
	}
	if r.body > 0 {
		// Traefik aborts a response that begins before it has seen the end of
		// the request, although the upstream has it. No model answers so fast.
		select {
		case <-u.quit:
		case <-time.After(streamPause):
		}
	}
	err := write(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: "+stream.contentType+"\r\n\r\n")
	for err == nil && u.maySend(r.target()) {
		err = writeChunk(out, part)
	}
	return err == nil && write(out, "0\r\n\r\n") == nil
}

// maySend waits until the client of the target wants the next part. It returns
// false at the end.
func (u *streamUpstream) maySend(target string) bool {
	select {
	case <-u.quit:
		return false
	case _, more := <-u.next[target]:
		return more
	}
}

// notices is the path of a websocket in which only the upstream sends.
const notices = "/notices"

// part is what a stream sends at a time.
const part = "data: {\"delta\": \"one\"}\n\n"

func writeChunk(out io.Writer, text string) error {
	return write(out, fmt.Sprintf("%x\r\n%s\r\n", len(text), text))
}

// TestStreams: each part of a stream arrives when it is sent, over HTTP/1.1 and
// HTTP/2, and no timeout cuts a stream or a websocket that still sends.
func TestStreams(t *testing.T) {
	everyProxy(t, func(t *testing.T, proxy string) {
		u := &streamUpstream{next: map[string]chan struct{}{}, quit: make(chan struct{})}
		o := options{proxy: proxy, config: routesConfig, upstream: (&recorder{respond: u.respond}).start}
		_, http2Port := http2Edges[proxy](t, &o)
		shorten(t, &o)
		s := newSystem(t, o)
		key := s.key("--name", "k")
		for path := range streams {
			for _, major := range []string{"1", "2"} {
				u.next[path+"?"+major] = make(chan struct{})
			}
		}
		u.next[notices] = make(chan struct{})
		s.start()
		t.Cleanup(func() { close(u.quit) })
		if http2Port == defaultPort {
			http2Port = s.Ports().Envoy
		}
		var all []*stream
		for target, next := range u.next {
			if target == notices {
				continue
			}
			port := s.Ports().Envoy
			if strings.HasSuffix(target, "?2") {
				port = http2Port
			}
			all = append(all, openStream(t, port, target, key, next))
		}
		for _, path := range []string{"/socket", notices} {
			a, ws := s.handshake(path, bearer(key))
			if ws == nil {
				t.Fatalf("%s: %d %s", path, a.status, a.body)
			}
			all = append(all, &stream{target: path, websocket: ws, next: u.next[path], cancel: func() { ws.conn.Close() }})
		}
		keepSending(t, all)
	})
}

// keepSending makes all streams send for a while.
func keepSending(t *testing.T, all []*stream) {
	t.Helper()
	tick := time.NewTicker(streamPause)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < streamLength; <-tick.C {
		for _, s := range all {
			if err := s.receive(); err != nil {
				t.Fatalf("%s, after %v: %v", s.target, time.Since(began), err)
			}
		}
	}
	for _, s := range all {
		if s.websocket != nil {
			continue
		}
		close(s.next)
		if rest, err := io.ReadAll(s.body); err != nil || len(rest) > 0 {
			t.Errorf("the end of %s: %q, %v", s.target, rest, err)
		}
	}
}

// stream is a response that a client is reading, or a websocket.
type stream struct {
	target    string
	body      io.Reader
	websocket *websocket
	next      chan<- struct{} // nil for a websocket that echoes
	cancel    context.CancelFunc
}

func openStream(t *testing.T, port int, target, key string, next chan<- struct{}) *stream {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(strings.HasSuffix(target, "?1"))
	transport.Protocols.SetUnencryptedHTTP2(strings.HasSuffix(target, "?2"))
	t.Cleanup(transport.CloseIdleConnections)
	path, _, _ := strings.Cut(target, "?")
	ctx, cancel := context.WithCancel(t.Context())
	late := time.AfterFunc(shortTime, cancel)
	defer late.Stop()
	request, err := http.NewRequestWithContext(ctx, streams[path].method, "http://"+stack.Address(port)+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if request.Method == http.MethodPost {
		request.Body = io.NopCloser(strings.NewReader(`{"stream": true}`))
		request.ContentLength = int64(len(`{"stream": true}`))
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	t.Cleanup(func() { cancel(); response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d", target, response.StatusCode)
	}
	return &stream{target: target, body: response.Body, next: next, cancel: cancel}
}

// receive makes the upstream send the next part, and wants it at once.
func (s *stream) receive() error {
	late := time.AfterFunc(shortTime, s.cancel)
	defer late.Stop()
	if s.next == nil {
		return s.websocket.echo("still here")
	}
	select {
	case s.next <- struct{}{}:
	case <-time.After(shortTime):
		return errors.New("the upstream does not send: the proxy closed its connection")
	}
	if s.websocket != nil {
		_, err := readFrame(s.websocket.in)
		return err
	}
	got := make([]byte, len(part))
	_, err := io.ReadFull(s.body, got)
	if err == nil && string(got) != part {
		err = fmt.Errorf("received %q", got)
	}
	return err
}
