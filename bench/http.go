package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// overHTTP compares the processor time of a check over HTTP with that of a
// bare net/http handler, which is this program again.
func (b *bench) overHTTP() error {
	dir := filepath.Join(b.dir, "http")
	c, err := startChildWith(b.binary, dir, b.small, 1, "")
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	bare, err := startBare(program, "-bare", filepath.Join(b.dir, "bare.sock"))
	if err != nil {
		return err
	}
	ask := nginxCheck(b.small.secrets)
	var ratios, costs, bares []float64
	for range b.rounds {
		check, err := perRequest(c, filepath.Join(dir, "http.sock"), b.span, ask)
		if err != nil {
			return err
		}
		nothing, err := perRequest(bare, bare.socket, b.span, ask)
		if err != nil {
			return err
		}
		costs, bares, ratios = append(costs, check), append(bares, nothing), append(ratios, check/nothing)
	}
	b.row("server CPU per check over HTTP (µs)", fmt.Sprintf("%.1f", median(costs)))
	b.row("bare net/http, 200 with one header (µs)", fmt.Sprintf("%.1f", median(bares)))
	b.row("ratio of the two (median of %d rounds)", b.rounds, fmt.Sprintf("%.2f", median(ratios)))
	_ = bare.cmd.Process.Kill()
	_ = bare.cmd.Wait()
	return c.stop()
}

// nginxCheck makes requests as nginx's configuration in deploy/nginx sends them.
func nginxCheck(secrets []string) func() *http.Request {
	pick := anyKey(secrets)
	return func() *http.Request {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://keyward/authz/nginx", nil) // a constant that parses
		r.Header = http.Header{
			"Authorization": {pick()}, "User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"},
			"X-Original-Method": {"GET"}, "X-Original-Uri": {"/api/v1/items/4711?fields=name"},
			"X-Forwarded-For": {"10.1.2.3"}, "X-Forwarded-Proto": {"https"},
		}
		return r
	}
}

// perRequest is the child's processor time a request at saturation, in microseconds.
func perRequest(c *child, socket string, span time.Duration, ask func() *http.Request) (float64, error) {
	const workers = 32
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	before, err := c.cpu()
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex
	var failed error
	total := 0
	var wg sync.WaitGroup
	for start, n := time.Now(), 0; n < workers; n++ {
		wg.Go(func() {
			done := 0
			var err error
			for err == nil && time.Since(start) < span {
				err = get(client, ask())
				done++
			}
			mu.Lock()
			defer mu.Unlock()
			total += done
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return 0, failed
	}
	after, err := c.cpu()
	return float64(after-before) / 1e3 / float64(total), err
}

func get(client *http.Client, r *http.Request) error {
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a valid key got status %s", strconv.Itoa(response.StatusCode))
	}
	return nil
}

// startBare runs the server that looks at nothing, on one core.
func startBare(program, as, socket string) (*child, error) {
	c := &child{socket: socket, cmd: command(1, program, as, socket)}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for range 1000 {
		if conn, err := net.Dial("unix", socket); err == nil {
			return c, conn.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, fmt.Errorf("nothing listens at %s", socket)
}

// runBare is that server's life.
func runBare(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Auth-Subject", "load-test")
	})}).Serve(l)
}
