package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/store"
)

// every calls what until the churn ends, except while it is paused. An error is
// a failure of the test.
func (s *soak) every(interval time.Duration, name string, what func(n int) error) {
	s.churn.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-s.ending:
				return
			case <-tick.C:
			}
			s.paused.RLock()
			err := what(n)
			s.paused.RUnlock()
			if err != nil {
				s.fail(name, err)
			}
			s.count(name)
		}
	})
}

// startChurn starts all that disturbs Envoy and the module.
func (s *soak) startChurn(between time.Duration) {
	s.every(between, "filter replaced by ECDS", func(n int) error { return s.envoys.replaceFilter(n) })
	time.Sleep(between / 2)
	s.every(between, "listener replaced by LDS", func(n int) error { return s.envoys.replaceListener(s.Ports(), n) })
	s.every(3*time.Second, "configuration reloaded", s.reloadConfig)
	s.every(100*time.Millisecond, "key created", func(int) error {
		_, _, err := s.keys.Create(s.t.Context(), store.KeyParams{Name: "more", Prefix: "kw_"})
		return err
	})
	s.every(10*time.Second, "key file compacted", s.compact)
	s.every(20*time.Millisecond, "connection reset", s.resetConnection)
	for _, address := range []string{s.envoys.edgeAddress(), s.envoys.otherAddress()} {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}, Timeout: soakTimeout}
		s.every(10*time.Millisecond, "HTTP/1.1 request", func(n int) error { return s.askHTTP1(client, address, n) })
		s.every(500*time.Millisecond, "websocket opened", func(int) error { return s.openWebsocket(address, 3) })
	}
	s.every(200*time.Millisecond, "token used", s.useToken)
	for range 3 {
		s.churn.Go(func() {
			if err := s.openWebsocket(s.envoys.edgeAddress(), 0); err != nil {
				s.fail("websocket through the run", err)
			}
		})
	}
}

// reloadConfig adds a route to keyward.yaml or removes it, and waits until
// the module has the change.
func (s *soak) reloadConfig(n int) error {
	text, status := s.config, http.StatusOK
	if n%2 == 1 {
		text, status = strings.Replace(text, "routes:\n", "routes:\n- {name: toggled, path: /toggled, auth: deny}\n", 1), http.StatusForbidden
	}
	for _, file := range []string{"keyward.yaml", "other.yaml"} {
		if err := writeMoved(filepath.Join(s.dir, file), text); err != nil {
			return err
		}
	}
	client := &http.Client{Timeout: soakTimeout}
	defer client.CloseIdleConnections()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		got, _, err := s.get(client, s.envoys.edgeAddress(), "/toggled", "Bearer "+s.good[0].secret)
		if err != nil {
			return err
		}
		if got == status {
			return nil
		}
		if got != http.StatusOK && got != http.StatusForbidden || time.Since(began) > soakTimeout {
			return fmt.Errorf("after %s the answer is %d, want %d", time.Since(began), got, status)
		}
	}
}

// get sends a request to the upstream, and returns the subject that it saw.
func (s *soak) get(client *http.Client, address, path, credential string) (status int, seen string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", credential)
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode >= 500 {
		err = errors.Join(fmt.Errorf("the body is %q", body), err)
	}
	return response.StatusCode, response.Header.Get("X-Seen"), err
}

// askHTTP1 sends a request with a key that the module knows, one with a
// password, about which Envoy asks Keyward, and so on.
func (s *soak) askHTTP1(client *http.Client, address string, n int) error {
	good := s.good[rand.IntN(len(s.good))]
	for _, c := range [][]struct {
		path, credential string
		status           int
		seen             string
	}{
		{{"/api", "Bearer " + good.secret, 200, good.id}, {"/api", "Bearer " + s.narrow.secret, 200, s.narrow.id}},
		{{"/api", "Basic " + base64.StdEncoding.EncodeToString([]byte(soakUser+":"+soakPassword)), 200, soakUser}},
		{{"/api", "Bearer " + s.unknown, 401, ""}, {"/d/reports", "Bearer " + s.narrow.secret, 403, ""}},
	}[n%3] {
		status, seen, err := s.get(client, address, c.path, c.credential)
		// On a busy machine a hash may take longer than the request waits. That is
		// not an allow, and the client would retry.
		if c.seen == soakUser && status == 503 && strings.Contains(err.Error(), "overloaded") {
			s.count("password not hashed in time")
			continue
		}
		if err != nil || status != c.status || seen != c.seen {
			return fmt.Errorf("%s as %.12s…: %d, as %q, want %d, as %q; error: %v", c.path, c.credential, status, seen, c.status, c.seen, err)
		}
	}
	return nil
}

// useToken has a token that the module does not know yet used several times.
func (s *soak) useToken(n int) error {
	subject := fmt.Sprint("user-", n)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "us", "sub": subject, "iat": time.Now().Add(-time.Second).Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}).SignedString([]byte(soakTokenSecret))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: soakTimeout}
	defer client.CloseIdleConnections()
	for range 4 {
		if status, seen, err := s.get(client, s.envoys.edgeAddress(), "/api", "Bearer "+token); err != nil || status != 200 || seen != subject {
			return fmt.Errorf("%d, as %q, want 200, as %q; error: %v", status, seen, subject, err)
		}
	}
	return nil
}

// resetConnection ends an HTTP/1.1 connection within a request, or before the
// answer.
func (s *soak) resetConnection(n int) error {
	address := s.envoys.edgeAddress()
	if n%2 == 0 {
		address = s.envoys.otherAddress()
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	good := "Bearer " + s.good[0].secret
	raw := [...]string{
		rawRequest("GET", "/api", "Authorization: "+good)[:60],        // half of the head
		rawRequest("GET", "/api", "Authorization: "+good),             // allowed, on its way to the upstream
		rawRequest("GET", "/api", "Authorization: Bearer "+s.unknown), // denied
		rawRequest("GET", "/d/reports", "Authorization: "+good),       // answered by Envoy
		rawRequest("POST", "/api", "Content-Length: 1000", "Authorization: "+good) + "half of the body",
		rawRequest("GET", "/api", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(soakUser+":"+soakPassword))), // Keyward is asked
	}[rand.IntN(6)]
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // Envoy gets a reset
		return err
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		return err
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	return nil
}

// openWebsocket opens a websocket and has it echo texts: a number of them, or,
// if that is 0, until the churn ends. One that takes longer than a listener is
// drained may be closed.
func (s *soak) openWebsocket(address string, texts int) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	good := s.good[rand.IntN(len(s.good))]
	raw := rawRequest("GET", "/socket", append([]string{"Authorization: Bearer " + good.secret}, websocketLines...)...)
	if err := errors.Join(conn.SetDeadline(time.Now().Add(soakTimeout)), write(conn, raw)); err != nil {
		return err
	}
	w := &websocket{conn, bufio.NewReader(conn)}
	response, err := http.ReadResponse(w.in, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("X-Seen") != good.id {
		return fmt.Errorf("the handshake was answered with %s, as %q, want %q", response.Status, response.Header.Get("X-Seen"), good.id)
	}
	opened := time.Now()
	for n := 0; texts == 0 || n < texts; n++ {
		if err := errors.Join(conn.SetDeadline(time.Now().Add(soakTimeout)), w.echo(fmt.Sprint("text ", n))); texts > 0 && time.Since(opened) > soakDrain {
			return nil
		} else if err != nil {
			return fmt.Errorf("after %d texts: %w", n, err)
		}
		select {
		case <-s.ending:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// soakUpstream is an API that says which subject it saw, and echoes websockets.
func soakUpstream(address string) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := r.Header.Get("X-Auth-Subject")
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Seen", seen)
			return
		}
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		err = write(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Seen: "+seen+"\r\nSec-WebSocket-Accept: "+
			websocketAccept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
		for err == nil {
			var text string
			if text, err = readFrame(in); err == nil {
				err = writeFrame(conn, text, false)
			}
		}
	})}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }, nil
}
