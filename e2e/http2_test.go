package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"keyward/e2e/stack"
)

// TestHTTP2 covers what HTTP/2 lets a client express differently from HTTP/1.1.
func TestHTTP2(t *testing.T) {
	s := newSystem(t, options{config: routesConfig})
	key := s.key("--name", "k", "--user", "alice", "--path", "/mine")
	s.start()
	for _, c := range []struct {
		fields []string
		status int
		reason string
		cookie []string
	}{
		{[]string{":path: /mine", bearer(key)}, 200, "", nil},
		{[]string{":path: /mine", bearer(key), "x-auth-subject: evil", "x.auth.subject: evil"}, 200, "", nil},
		// Browsers send each pair of a cookie in a separate field.
		{[]string{":path: /mine", "cookie: a=b", "cookie: session=" + key, "cookie: c=d"}, 200, "", []string{"a=b; c=d"}},
		{[]string{":path: /mine", bearer(key), bearer(key)}, 401, "ambiguous_credential", nil},
		{[]string{":path: /mine", "cookie: session=" + key, "cookie: session=" + key}, 401, "ambiguous_credential", nil},
		{[]string{":path: /mine/../other", bearer(key)}, 403, "path_not_allowed", nil},
		{[]string{":path: /mine;x", bearer(key)}, 400, "ambiguous_path", nil},
		{[]string{":path: /mine#x", bearer(key)}, 400, "", nil},
		{[]string{":path: /mine%2fx", bearer(key)}, 400, "", nil},
		{[]string{":path: *", bearer(key)}, 0, "", nil}, // Envoy closes the connection
	} {
		a := s.getHTTP2(c.fields...)
		if a.status != c.status || a.reason() != c.reason {
			t.Errorf("%q: %d %s, want %d %s", c.fields, a.status, a.reason(), c.status, c.reason)
			continue
		}
		if c.status != 200 {
			continue
		}
		got := a.received(t)
		if findText(got, key, "evil") != "" || !slices.Equal(got.Headers["x-auth-subject"], []string{"alice"}) || !slices.Equal(got.Headers["cookie"], c.cookie) {
			t.Errorf("%q: the upstream got %v", c.fields, got)
		}
	}
}

// getHTTP2 sends a GET over plaintext HTTP/2, with the fields as given. It adds
// :scheme and :authority if they are missing.
func (s *system) getHTTP2(fields ...string) answer {
	s.t.Helper()
	return s.sendHTTP2(s.Ports().Envoy, http2Request{fields: fields})
}

// http2Request is a request in the frames of HTTP/2.
type http2Request struct {
	fields   []string // of the first HEADERS frame, with pseudo-header fields that differ from the usual ones
	data     []string // one DATA frame each
	trailers []string // of a HEADERS frame after the body; nil sends none
}

// sendHTTP2 sends a request in plaintext with prior knowledge.
func (s *system) sendHTTP2(port int, r http2Request) answer {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(port))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.sendHTTP2On(conn, r)
}

// sendHTTP2On sends a request on a connection, which it closes.
func (s *system) sendHTTP2On(conn net.Conn, r http2Request) answer {
	s.t.Helper()
	a, err := exchangeHTTP2(conn, r.frames(), 20*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// exchangeHTTP2 sends frames, including those of a request on stream 1, waits
// up to patience for the response and closes the connection. The frames are
// sent together, because a proxy that refuses the first ones closes the
// connection at once.
func exchangeHTTP2(conn net.Conn, frames []byte, patience time.Duration) (answer, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	if _, err := conn.Write(append([]byte(http2.ClientPreface), frames...)); err != nil {
		return answer{}, err
	}
	framer := http2.NewFramer(nil, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return readHTTP2(framer)
}

// frames returns the frames of the request, on the first stream.
func (r http2Request) frames() []byte {
	const stream = 1
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil) // writes to memory, without errors
	encoder := newFieldEncoder()
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: encoder.encode(withPseudoFields(r.fields)), EndStream: len(r.data) == 0 && r.trailers == nil, EndHeaders: true,
	})
	for i, data := range r.data {
		_ = framer.WriteData(stream, i == len(r.data)-1 && r.trailers == nil, []byte(data))
	}
	if r.trailers != nil {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: stream, BlockFragment: encoder.encode(r.trailers), EndStream: true, EndHeaders: true,
		})
	}
	return out.Bytes()
}

// fieldEncoder encodes the field sections of one connection, which share a
// table.
type fieldEncoder struct {
	block   bytes.Buffer
	encoder *hpack.Encoder
}

func newFieldEncoder() *fieldEncoder {
	e := &fieldEncoder{}
	e.encoder = hpack.NewEncoder(&e.block)
	return e
}

// encode encodes fields written as "name: value", the names in lower case.
func (e *fieldEncoder) encode(fields []string) []byte {
	e.block.Reset()
	for _, f := range fields {
		at := strings.LastIndex(f, ": ")
		_ = e.encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(f[:at]), Value: f[at+2:]}) // writes to memory
	}
	return bytes.Clone(e.block.Bytes())
}

// withPseudoFields puts the pseudo-header fields first, and adds missing ones.
func withPseudoFields(fields []string) (all []string) {
	pseudo := map[string]string{":method": "GET", ":scheme": "http", ":authority": "api.example.com"}
	for _, f := range fields {
		if strings.HasPrefix(f, ":") {
			at := strings.LastIndex(f, ": ")
			pseudo[f[:at]] = f[at+2:]
		} else {
			all = append(all, f)
		}
	}
	for name, value := range pseudo {
		all = slices.Insert(all, 0, name+": "+value)
	}
	return all
}

// readHTTP2 reads the response on the first stream. After a reset, or if the
// connection is closed, it returns what has arrived.
func readHTTP2(framer *http2.Framer) (answer, error) {
	a := answer{header: http.Header{}}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return a, nil
		}
		if err != nil {
			return a, err
		}
		ended := false
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			a.status, _ = strconv.Atoi(f.PseudoValue("status"))
			for _, field := range f.RegularFields() {
				a.header.Add(field.Name, field.Value)
			}
			ended = f.StreamEnded()
		case *http2.DataFrame:
			a.body += string(f.Data())
			ended = f.StreamEnded()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			ended = true
		}
		if ended {
			return a, nil
		}
	}
}
