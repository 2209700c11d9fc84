package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// answer is what a client received.
type answer struct {
	status int // 0 if Envoy closed the connection without a response
	header http.Header
	body   string
}

// received returns the request as the upstream received it. It fails the test
// if the response is not the upstream's.
func (a answer) received(t testing.TB) stack.Received {
	t.Helper()
	var r stack.Received
	if err := json.Unmarshal([]byte(a.body), &r); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, body %q: not the upstream's response", a.status, a.body)
	}
	return r
}

// reason returns Keyward's reason for a denial in style `problem`, "" if
// Keyward did not deny.
func (a answer) reason() string {
	var problem struct{ Reason string }
	if a.header.Get("X-Keyward-Decision-Id") == "" || json.Unmarshal([]byte(a.body), &problem) != nil {
		return ""
	}
	return problem.Reason
}

// get sends a GET with the header lines.
func (s *system) get(target string, headers ...string) answer {
	s.t.Helper()
	return s.request("GET", target, headers...)
}

// request sends a request byte for byte: net/http would normalize what the
// tests are about.
func (s *system) request(method, target string, headers ...string) answer {
	s.t.Helper()
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: api.example.com", "Connection: close"}, headers...)
	a, err := retryHashing(headers, func() (answer, error) {
		return s.send(method, strings.Join(lines, "\r\n")+"\r\n\r\n")
	})
	if err != nil {
		s.t.Fatalf("%s %q: %v", method, target, err)
	}
	return a
}

// maxHashTries is how often a client sends a password.
const maxHashTries = 8

// retryHashing is a client that retries a password that got a 503, as
// docs/configuration.md tells clients to: on a busy machine the first hash of a
// password may take longer than a proxy waits. A 503 to anything else is
// returned.
func retryHashing(headers []string, send func() (answer, error)) (answer, error) {
	basic := slices.ContainsFunc(headers, func(line string) bool { return strings.HasPrefix(line, "Authorization: Basic ") })
	for try := 1; ; try++ {
		a, err := send()
		if err != nil || a.status != http.StatusServiceUnavailable || !basic || try == maxHashTries {
			return a, err
		}
		time.Sleep(time.Second)
	}
}

// send writes the bytes to Envoy and reads one response. A connection that is
// closed without one gives the zero answer.
func (s *system) send(method, raw string) (answer, error) {
	conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		return answer{}, err
	}
	return exchange(conn, method, raw)
}

// exchange is send on a connection, which it closes.
func exchange(conn net.Conn, method, raw string) (answer, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return answer{}, err
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return answer{}, nil
	}
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(body)}, err
}

// bearer returns the header line with the key.
func bearer(key string) string { return "Authorization: Bearer " + key }

// pipeline sends requests on one connection and returns the statuses of the
// responses.
func (s *system) pipeline(raw string, methods ...string) (statuses []int) {
	s.t.Helper()
	conn, err := net.Dial("tcp", stack.Address(s.Ports().Envoy))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(20*time.Second)), write(conn, raw)); err != nil {
		s.t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for _, method := range methods {
		response, err := http.ReadResponse(answers, &http.Request{Method: method})
		if err != nil {
			s.t.Fatalf("the response to %s: %v", method, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			s.t.Fatalf("the response to %s: %v", method, err)
		}
		statuses = append(statuses, response.StatusCode)
	}
	if rest, _ := io.ReadAll(answers); len(rest) > 0 {
		s.t.Errorf("after the last response: %q", rest)
	}
	return statuses
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// until repeats ask until it returns true, for ten seconds at most.
func (s *system) until(wanted string, ask func() (answer, bool)) answer {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a, ok := ask()
		if ok {
			return a
		}
		select {
		case <-deadline:
			s.t.Fatalf("not %s in time: %d %s", wanted, a.status, a.body)
		case <-tick.C:
		}
	}
}
