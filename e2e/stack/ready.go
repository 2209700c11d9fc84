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

// waitReady asks the URL until it answers 200, the process has ended or time is up.
func waitReady(ctx context.Context, p *Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if answers(ctx, url) {
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

func answers(ctx context.Context, url string) bool {
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
