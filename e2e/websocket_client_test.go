package e2e

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"keyward/e2e/stack"
)

// websocketKey is the client's nonce of a handshake (RFC 6455 section 4.1).
const websocketKey = "dGhlIHNhbXBsZSBub25jZQ=="

// websocketAccept returns what a server that accepts the handshake answers to
// the nonce.
func websocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// websocketLines are the header lines of a handshake.
var websocketLines = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + websocketKey}

// websocket is a client's end of an open websocket.
type websocket struct {
	conn net.Conn
	in   *bufio.Reader
}

// handshake asks for a websocket. The websocket is nil if the status is not
// 101.
func (s *system) handshake(target string, lines ...string) (answer, *websocket) {
	s.t.Helper()
	conn, in := s.dialed(rawRequest("GET", target, append(lines, websocketLines...)...))
	s.t.Cleanup(func() { conn.Close() })
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		s.t.Fatalf("the handshake for %s: %v", target, err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return answer{status: response.StatusCode, header: response.Header}, &websocket{conn, in}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatalf("the handshake for %s: %v", target, err)
	}
	return answer{response.StatusCode, response.Header, string(body)}, nil
}

// rawRequest returns a request without a body.
func rawRequest(method, target string, lines ...string) string {
	return strings.Join(append([]string{method + " " + target + " HTTP/1.1", "Host: api.example.com"}, lines...), "\r\n") + "\r\n\r\n"
}

// dialed opens a connection to the proxy and sends the bytes.
func (s *system) dialed(raw string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(20*time.Second)), write(conn, raw)); err != nil {
		s.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// echo sends a text and wants it back.
func (w *websocket) echo(text string) error {
	if err := writeFrame(w.conn, text, true); err != nil {
		return err
	}
	got, err := readFrame(w.in)
	if err == nil && got != text {
		err = fmt.Errorf("sent %q, received %q", text, got)
	}
	return err
}

const (
	finalText = 0x81 // a final frame with text (RFC 6455 section 5.2)
	masked    = 0x80
)

// frameMask masks the frames of the client.
var frameMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// writeFrame writes a frame with a text of less than 126 bytes. Clients mask
// what they send.
func writeFrame(out io.Writer, text string, mask bool) error {
	frame, body := []byte{finalText, byte(len(text))}, []byte(text)
	if mask {
		frame[1] |= masked
		frame = append(frame, frameMask[:]...)
		applyMask(body, frameMask[:])
	}
	_, err := out.Write(append(frame, body...))
	return err
}

// readFrame reads what writeFrame has written.
func readFrame(in io.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	if head[0] != finalText || head[1]&^masked > 125 {
		return "", fmt.Errorf("a frame begins with %x, which is not a short text", head)
	}
	var mask [4]byte
	if head[1]&masked != 0 {
		if _, err := io.ReadFull(in, mask[:]); err != nil {
			return "", err
		}
	}
	body := make([]byte, head[1]&^masked)
	_, err := io.ReadFull(in, body)
	applyMask(body, mask[:])
	return string(body), err
}

func applyMask(body, mask []byte) {
	for i := range body {
		body[i] ^= mask[i%len(mask)]
	}
}
