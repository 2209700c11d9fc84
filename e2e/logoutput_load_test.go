package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/rawcheck"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// logLoad is a load on a Keyward. A wrong response fails the test.
type logLoad struct {
	k          *loggingKeyward
	end        chan struct{}
	clients    sync.WaitGroup
	checks     *grpc.ClientConn
	https      *http.Client
	handshakes map[string]*atomic.Int64 // failed ones, by listener
}

func (k *loggingKeyward) tls() *tls.Config {
	pem, err := os.ReadFile(k.ca.file)
	if err != nil {
		k.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// startLoad sends requests that must be answered, on each listener.
func (k *loggingKeyward) startLoad() *logLoad {
	k.t.Helper()
	checks, err := grpc.NewClient(stack.Address(k.ports.GRPC), grpc.WithTransportCredentials(credentials.NewTLS(k.tls())))
	if err != nil {
		k.t.Fatal(err)
	}
	l := &logLoad{k: k, end: make(chan struct{}), checks: checks, handshakes: map[string]*atomic.Int64{},
		https: &http.Client{Transport: &http.Transport{TLSClientConfig: k.tls()}, Timeout: 10 * time.Second}}
	k.t.Cleanup(func() { _ = checks.Close(); l.https.CloseIdleConnections() })
	l.every(10*time.Millisecond, func() error { return l.check("/", k.key, 200) })
	l.every(50*time.Millisecond, func() error { return l.get(k.ports.HTTP, "/v1/auth/verify") })
	l.every(200*time.Millisecond, func() error { return l.get(k.ports.Admin, "/readyz") })
	return l
}

// fillLog makes the Keyward log as much as it can, and makes TLS handshakes
// fail.
func (l *logLoad) fillLog() {
	for range 4 { // as fast as they are answered: each denial logs a long line
		l.every(0, func() error { return l.check("/"+strings.Repeat("x", 600), "kw_junk", 401) })
	}
	for listener, port := range map[string]int{"grpc": l.k.ports.GRPC, "http": l.k.ports.HTTP, "admin": l.k.ports.Admin} {
		made := new(atomic.Int64)
		l.handshakes[listener] = made
		l.every(5*time.Millisecond, func() error { return failHandshake(port, made) })
	}
}

// every repeats do at that interval until the load is stopped. An error fails the
// test and ends it.
func (l *logLoad) every(interval time.Duration, do func() error) {
	l.clients.Go(func() {
		for {
			select {
			case <-l.end:
				return
			case <-time.After(interval):
			}
			if err := do(); err != nil {
				l.k.t.Error(err)
				return
			}
		}
	})
}

func (l *logLoad) stop() {
	close(l.end)
	l.clients.Wait()
}

func (l *logLoad) check(target, key string, want int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := rawcheck.Request{Method: "GET", Target: target, Headers: [][2]string{{"authorization", "Bearer " + key}}}
	answer, err := rawcheck.Ask(ctx, l.checks, request)
	if err == nil && answer.Status != want {
		err = fmt.Errorf("%s", answer)
	}
	if err != nil {
		return fmt.Errorf("a check that must be %d: %w", want, err)
	}
	return nil
}

func (l *logLoad) get(port int, path string) error {
	request, err := http.NewRequest("GET", "https://"+stack.Address(port)+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+l.k.key)
	response, err := l.https.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %v", path, response.Status, err)
	}
	return nil
}

// failHandshake connects without TLS, and waits until the server closes the
// connection.
func failHandshake(port int, made *atomic.Int64) error {
	conn, err := net.Dial("tcp", stack.Address(port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	made.Add(1)
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		return fmt.Errorf("port %d keeps a connection that is not TLS", port)
	}
	return nil
}

func isTimeout(err error) bool {
	failure, ok := err.(net.Error)
	return ok && failure.Timeout()
}

// metric returns a sample's value.
func (k *loggingKeyward) metric(name string) (float64, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: k.tls(), DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get("https://" + stack.Address(k.ports.Admin) + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}

// denied sends a request without a credential.
func (k *loggingKeyward) denied(path string) {
	conn, err := grpc.NewClient(stack.Address(k.ports.GRPC), grpc.WithTransportCredentials(credentials.NewTLS(k.tls())))
	if err != nil {
		k.t.Error(err)
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := rawcheck.Ask(ctx, conn, rawcheck.Request{Method: "GET", Target: path}); err != nil {
		k.t.Error(err)
	}
}
