package loadgen

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// NginxCheck returns a source of the requests that nginx sends with the
// configuration in deploy/nginx. pick returns their values of Authorization.
func NginxCheck(pick func() string) func() *http.Request {
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

// SaturateHTTP sends requests over a few connections for a time, and returns how
// many were answered. Each must be allowed.
func SaturateHTTP(socket string, span time.Duration, ask func() *http.Request) (int, error) {
	const workers = 32
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
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
	return total, failed
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
