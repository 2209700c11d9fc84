package stack

import (
	"context"
	"net/http"
	"time"
)

const (
	readyWithin = 30 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// waitReady polls until the process is ready, has ended or the time is up.
func waitReady(ctx context.Context, p *Process, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-p.exited:
			return p.fault("ended before it was ready")
		case <-ctx.Done():
			return p.fault("was not ready in time")
		case <-tick.C:
		}
	}
}

// Answers reports whether the URL is answered with 200.
func Answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
