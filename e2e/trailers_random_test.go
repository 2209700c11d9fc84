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

// forged marks what a client sends after a body, which is not checked.
const forged = "forged"

// wait is how long to wait for a response, since a request may never end.
const wait = 500 * time.Millisecond

// TestRandomTrailers sends fields after the body with random names, spellings
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
			t.Fatalf("a valid request among the others got %d", a.status)
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
		t.Errorf("%d requests reached the upstream, of %d valid ones", len(arrivals), passed)
	}
}

// randomRequest returns a function that sends one. It waits until there is a
// response, the connection is closed or the time is up; all are fine.
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
			return // the next valid request has the error too
		}
		defer conn.Close()
		exchange(conn, raw)
	}
}

// trailerGenerator makes requests with fields after the body.
type trailerGenerator struct{ *rand.Rand }

// oneOf returns true once in n times on average.
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

// fields returns up to five fields; sometimes the last one is repeated many
// times.
func (g *trailerGenerator) fields(separator string) (all []string) {
	for range g.IntN(5) + 1 {
		all = append(all, g.name()+separator+g.value())
	}
	if g.oneOf(20) {
		all = append(all, slices.Repeat(all[len(all)-1:], 60)...)
	}
	return all
}

// http1Request returns a request in HTTP/1 with data after its body.
func (g *trailerGenerator) http1Request(target string, lines []string) string {
	head := append([]string{pick(g, "POST", "GET", "PUT", "DELETE") + " " + target + " HTTP/1.1", "Host: x"}, lines...)
	if g.oneOf(3) {
		head = append(head, "Trailer: "+pick(g, "x-auth-subject", "X-Auth-Subject, x-auth-scopes, x-api-key", "*", ""))
	}
	if g.oneOf(6) { // fields after a body of known length: the next request, if anything
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
		last = "" // to the proxy, it does not end there
	}
	return strings.Join(head, "\r\n") + "\r\n\r\n" + body + end + "\r\n" + strings.Repeat(after, pick(g, 1, 1, 1, 2)) + last
}

// lines returns fields in the form of HTTP/1, some in spellings that parsers
// read differently.
func (g *trailerGenerator) lines() []string {
	lines := g.fields(pick(g, ": ", ":", " :", ":\t"))
	for i, line := range lines {
		switch g.IntN(8) {
		case 0:
			lines[i] = strings.ToUpper(line[:1]) + line[1:]
		case 1:
			lines[i] = strings.ToUpper(line)
		case 2:
			lines[i] = pick(g, " ", "\t") + line // continues the line before
		case 3:
			lines[i] = strings.Replace(line, forged, "\r\n "+forged, 1)
		}
	}
	return lines
}

// http2Request returns the frames of a request with more data after its body
// than allowed.
func (g *trailerGenerator) http2Request(target string, lines []string) (frames []byte) {
	fields := append([]string{":method: " + pick(g, "POST", "GET", "PUT"), ":path: " + target}, lines...)
	fields = append(fields, pick(g, []string{}, []string{"te: trailers"}, []string{"content-type: application/grpc", "te: trailers"},
		[]string{"content-length: 5"}, []string{"trailer: x-auth-subject, x-auth-scopes"})...)
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil) // writes to memory, without errors
	_ = framer.WriteSettings()
	encoder := newFieldEncoder()
	g.section(framer, encoder.encode(withPseudoFields(fields)), false)
	for range pick(g, 0, 1, 1, 2) {
		_ = framer.WriteData(1, false, []byte("hello"))
	}
	ends := !g.oneOf(6)
	g.section(framer, encoder.encode(g.fields(": ")), ends)
	if !ends || g.oneOf(4) { // with more after it
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
