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
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"keyward/e2e/stack"
)

// TestHTTP2 tries over HTTP/2 what that protocol lets a client say otherwise than HTTP/1.1 does.
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
		// Browsers send each pair of a cookie in a field of its own.
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

// getHTTP2 sends a GET over HTTP/2 in plain text, with the fields as they are;
// :scheme and :authority are added where they are not among them.
func (s *system) getHTTP2(fields ...string) answer {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = conn.Write([]byte(http2.ClientPreface))
	if err == nil {
		err = framer.WriteSettings()
	}
	if err == nil {
		err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encodeFields(fields), EndStream: true, EndHeaders: true})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.readHTTP2(framer)
}

func encodeFields(fields []string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	pseudo := map[string]string{":method": "GET", ":scheme": "http", ":authority": "api.example.com"}
	var rest []hpack.HeaderField
	for _, f := range fields {
		at := strings.LastIndex(f, ": ")
		name, value := strings.ToLower(f[:at]), f[at+2:]
		if strings.HasPrefix(name, ":") {
			pseudo[name] = value
		} else {
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		}
	}
	for name, value := range pseudo {
		_ = encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // to memory
	}
	for _, f := range rest {
		_ = encoder.WriteField(f)
	}
	return block.Bytes()
}

// readHTTP2 reads the answer on the first stream; a reset or a closed connection
// gives the zero answer.
func (s *system) readHTTP2(framer *http2.Framer) answer {
	s.t.Helper()
	a := answer{header: http.Header{}}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return a
		}
		if err != nil {
			s.t.Fatal(err)
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
			return a
		}
	}
}
