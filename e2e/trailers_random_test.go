package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"keyward/e2e/stack"
	"keyward/internal/prove"
)

// forged is the mark of what a client puts after a body, where nothing judges it.
const forged = "forged"

// wait is for how long a request may be without an answer: it may be without an end.
const wait = 500 * time.Millisecond

// TestRandomTrailers sends fields after the body under random names, in random spellings
// and places, through each proxy. KEYWARD_SEED repeats a run.
func TestRandomTrailers(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KEYWARD_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KEYWARD_SEED=%d", seed)
	for _, path := range recordedPaths {
		t.Run(path.name, func(t *testing.T) {
			randomTrailers(t, path, &trailerGenerator{rand.New(rand.NewPCG(seed, 0))})
		})
	}
}

func randomTrailers(t *testing.T, path recordedPath, g *trailerGenerator) {
	s := startRecorded(t, path)
	good := http2Request{fields: []string{":path: /public"}}
	passed := 0
	for range prove.Size(6, 400) {
		var sent sync.WaitGroup
		for range 50 {
			sent.Go(s.randomRequest(g))
		}
		sent.Wait()
		if a := s.sendHTTP2(s.http2Clients, good); a.status != 200 {
			t.Fatalf("a good request among the others is %d", a.status)
		}
		passed++
	}
	arrivals := s.arrivals()
	for _, a := range arrivals {
		got := strings.ToLower(strings.Join(append(a.head, a.trailers...), "\n"))
		if len(a.trailers) > 0 || strings.Contains(got, forged) {
			t.Errorf("the upstream got %q and after the body %q", a.head, a.trailers)
		}
	}
	if len(arrivals) < passed {
		t.Errorf("%d requests came to the upstream, of %d good ones", len(arrivals), passed)
	}
}

// randomRequest returns what sends one. It waits until there is an answer, the
// connection is closed or time is up; which of them does not matter.
func (s *recordedSystem) randomRequest(g *trailerGenerator) (send func()) {
	target, lines := "/public", []string(nil)
	if g.oneOf(2) {
		target, lines = "/any", []string{bearer(s.key)}
	}
	port, exchange := s.clients, func(conn net.Conn, raw []byte) {
		_ = conn.SetDeadline(time.Now().Add(wait))
		if _, err := conn.Write(raw); err == nil {
			_, _ = io.ReadFull(conn, make([]byte, 1))
		}
	}
	var raw []byte
	if s.clients == 0 || g.oneOf(2) {
		port, exchange = s.http2Clients, func(conn net.Conn, raw []byte) { _, _ = exchangeHTTP2(conn, raw, wait) }
		raw = g.http2Request(target, lines)
	} else {
		raw = []byte(g.http1Request(target, lines))
	}
	return func() {
		conn, err := net.Dial("tcp", stack.Address(port))
		if err != nil {
			return // the next good request has the error too
		}
		defer conn.Close()
		exchange(conn, raw)
	}
}

// trailerGenerator makes requests with fields after the body.
type trailerGenerator struct{ *rand.Rand }

// oneOf is true once in n times.
func (g *trailerGenerator) oneOf(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *trailerGenerator, from ...T) T { return from[g.IntN(len(from))] }

func (g *trailerGenerator) name() string {
	name := pick(g, "x-auth-subject", "x-auth-scopes", "x-auth-method", "x-auth-key-id", "x-auth-project", "x-auth-tenant", "authorization",
		"x-api-key", "cookie", "x-forwarded-uri", "x-original-url", "x-http-method-override", "x-keyward-uri", "host", "connection", "te", "trailer",
		"content-length", "content-type", "transfer-encoding", "upgrade", "expect", "x-"+forged, "a")
	switch g.IntN(12) {
	case 0:
		return strings.ReplaceAll(name, "-", "_")
	case 1:
		return strings.ReplaceAll(name, "-", ".")
	case 2:
		return ":" + name
	case 3:
		return pick(g, ":path", ":authority", ":method", ":scheme", ":status")
	case 4:
		return name + pick(g, " ", "\t", "\x00", "\x80", ":")
	}
	return name
}

func (g *trailerGenerator) value() string {
	padding := ""
	if g.oneOf(30) {
		padding = strings.Repeat("x", g.IntN(9000))
	}
	return pick(g, "", "Bearer ", "session=", "a=b; session=", " ", "\t") + forged + padding + pick(g, "", "", " ", "\t", ", b")
}

// fields are up to five; sometimes the last of them many times.
func (g *trailerGenerator) fields(separator string) (all []string) {
	for range g.IntN(5) + 1 {
		all = append(all, g.name()+separator+g.value())
	}
	if g.oneOf(20) {
		all = append(all, slices.Repeat(all[len(all)-1:], 60)...)
	}
	return all
}

// http1Request is a request as it goes over HTTP/1, with something after its body.
func (g *trailerGenerator) http1Request(target string, lines []string) string {
	head := append([]string{pick(g, "POST", "GET", "PUT", "DELETE") + " " + target + " HTTP/1.1", "Host: x"}, lines...)
	if g.oneOf(3) {
		head = append(head, "Trailer: "+pick(g, "x-auth-subject", "X-Auth-Subject, x-auth-scopes, x-api-key", "*", ""))
	}
	if g.oneOf(6) { // fields where a body of known length ends: the next request, if one
		return strings.Join(append(head, "Content-Length: 5"), "\r\n") + "\r\n\r\nhello" + strings.Join(g.lines(), "\r\n") + "\r\n\r\n"
	}
	head = append(head, pick(g, "Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding: CHUNKED"))
	newline := pick(g, "\r\n", "\r\n", "\r\n", "\n")
	extension := pick(g, "", "", "", ";x-auth-subject="+forged, `;x-auth-subject="`+forged+`"`, " ")
	body := fmt.Sprintf("5%s\r\nhello\r\n", extension)
	body = strings.Repeat(body, pick(g, 0, 1, 1, 2, 500))
	end := pick(g, "0", "0", "0", "00000000", "0;x-auth-subject="+forged)
	after := strings.Join(g.lines(), newline) + newline
	last := "\r\n"
	if g.oneOf(50) {
		last = "" // it goes on, for all the proxy knows
	}
	return strings.Join(head, "\r\n") + "\r\n\r\n" + body + end + "\r\n" + strings.Repeat(after, pick(g, 1, 1, 1, 2)) + last
}

// lines are fields as HTTP/1 has them, some in spellings that parsers differ about.
func (g *trailerGenerator) lines() []string {
	lines := g.fields(pick(g, ": ", ":", " :", ":\t"))
	for i, line := range lines {
		switch g.IntN(8) {
		case 0:
			lines[i] = strings.ToUpper(line[:1]) + line[1:]
		case 1:
			lines[i] = strings.ToUpper(line)
		case 2:
			lines[i] = pick(g, " ", "\t") + line // the line before goes on
		case 3:
			lines[i] = strings.Replace(line, forged, "\r\n "+forged, 1)
		}
	}
	return lines
}

// http2Request returns the frames of a request that has more behind its body than it should.
func (g *trailerGenerator) http2Request(target string, lines []string) (frames []byte) {
	fields := append([]string{":method: " + pick(g, "POST", "GET", "PUT"), ":path: " + target}, lines...)
	fields = append(fields, pick(g, []string{}, []string{"te: trailers"}, []string{"content-type: application/grpc", "te: trailers"},
		[]string{"content-length: 5"}, []string{"trailer: x-auth-subject, x-auth-scopes"})...)
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil) // to memory: it has no errors
	_ = framer.WriteSettings()
	encoder := newFieldEncoder()
	g.section(framer, encoder.encode(withPseudoFields(fields)), false)
	for range pick(g, 0, 1, 1, 2) {
		_ = framer.WriteData(1, false, []byte("hello"))
	}
	ends := !g.oneOf(6)
	g.section(framer, encoder.encode(g.fields(": ")), ends)
	if !ends || g.oneOf(4) { // and more behind it
		_ = framer.WriteData(1, g.oneOf(2), []byte("hello"))
		g.section(framer, encoder.encode(g.fields(": ")), true)
	}
	return out.Bytes()
}

// section writes fields in one frame, or in two.
func (g *trailerGenerator) section(framer *http2.Framer, block []byte, ends bool) {
	split := len(block)
	if g.oneOf(4) {
		split = g.IntN(len(block))
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:split], EndStream: ends, EndHeaders: split == len(block)})
	if split < len(block) {
		_ = framer.WriteContinuation(1, true, block[split:])
	}
}
