package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// uploadSize is more than any proxy buffers of a body by default.
const uploadSize = 20 << 20

// TestLargeUploads: no proxy sends the body to Keyward, so its size affects
// neither the decision nor the response of a denial.
func TestLargeUploads(t *testing.T) {
	for _, proxy := range append([]string{"", "nginx", "nginx-plain"}, overHTTP...) {
		t.Run(strings.TrimPrefix("through "+proxy, "through "), func(t *testing.T) { largeUploads(t, proxy) })
	}
}

func largeUploads(t *testing.T, proxy string) {
	path := recordedPath{proxy: proxy, change: unchanged}
	if strings.HasPrefix(proxy, "nginx") {
		// As an operator configures it whose API takes uploads; nginx's default
		// is 1 MB.
		path.change = replaceText("        location / {\n", "        location / {\n            client_max_body_size 25m;\n")
	}
	s := startRecorded(t, path)
	for _, framing := range []string{"Content-Length", "Transfer-Encoding", "Expect"} {
		a := s.upload(framing, uploadSize, bearer(s.key))
		if a.status != 200 {
			t.Errorf("%s, with a key: %d %s", framing, a.status, a.body)
		}
		a = s.upload(framing, uploadSize)
		if a.status != 401 || proxy != "nginx-plain" && a.reason() != "no_credential" {
			t.Errorf("%s, without a key: %d %s", framing, a.status, a.body)
		}
	}
	arrivals := s.arrivals()
	for _, a := range arrivals {
		if a.body != uploadSize || !a.complete {
			t.Errorf("the upstream received %d bytes of %d", a.body, uploadSize)
		}
	}
	if len(arrivals) != 3 {
		t.Errorf("%d uploads reached the upstream, want 3", len(arrivals))
	}
}

// upload sends a body of this size while it waits for the response: a denial
// may come before the last byte is sent. The framing names the header that
// delimits the body; Expect is what curl does with large bodies.
func (s *recordedSystem) upload(framing string, size int, lines ...string) answer {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(s.clients))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	lines = append([]string{"PUT /upload HTTP/1.1", "Host: api.example.com"}, lines...)
	if framing == "Transfer-Encoding" {
		lines = append(lines, "Transfer-Encoding: chunked")
		body = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", size, body)
	} else {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", size))
	}
	head := strings.Join(lines, "\r\n") + "\r\n"
	if framing == "Expect" {
		head += "Expect: 100-continue\r\n"
	}
	if err := write(conn, head+"\r\n"); err != nil {
		s.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if framing == "Expect" && !mayContinue(conn, in) {
		return s.readAnswer(in)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(body) // the response explains an error
	}()
	a := s.readAnswer(in)
	conn.Close()
	<-sent
	return a
}

// mayContinue reports whether the body may be sent: the proxy says so, or sends
// nothing for a second, which is how long curl waits. Caddy denies only when
// the body arrives.
func mayContinue(conn net.Conn, in *bufio.Reader) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	line, err := in.Peek(len("HTTP/1.1 100"))
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var timeout net.Error
	return bytes.HasSuffix(line, []byte(" 100")) || errors.As(err, &timeout) && timeout.Timeout()
}

// readAnswer reads the final response to a request and skips those before it
// (1xx).
func (s *recordedSystem) readAnswer(in *bufio.Reader) answer {
	s.t.Helper()
	for {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			s.t.Error(err)
			return answer{}
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		return answer{response.StatusCode, response.Header, string(body)}
	}
}
