// Package gate bounds what the callers of the managing half make a process do at once:
// how many requests are served, how many of one caller, and how long and how large a
// body may be. The management API and the console's pages share one Gate.
package gate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// concurrency is how many requests are served at once, and callerShare how many of
	// one caller, so that one that sends its bodies slowly does not keep out the others.
	// Changes wait for each other's sync anyway.
	concurrency = 64
	callerShare = 16
)

// Stranger is the caller that all share who have not been authenticated: no actor has
// that name.
const Stranger = ""

// The bounds of a request that has none of its own.
const (
	// RequestTime is how long a request may take, waiting for the store included, and
	// BodyTime how long its body may take to arrive.
	RequestTime = 10 * time.Second
	BodyTime    = 5 * time.Second
	MaxBody     = 64 << 10
)

// Gate counts the requests that are being served.
type Gate struct {
	slots chan struct{}

	mu    sync.Mutex
	taken map[string]int // by caller
}

// New returns a Gate that serves no request yet.
func New() *Gate {
	return &Gate{slots: make(chan struct{}, concurrency), taken: map[string]int{}}
}

// Enter reports whether one more request may be served; then Leave must follow.
func (g *Gate) Enter() bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Leave ends a request.
func (g *Gate) Leave() { <-g.slots }

// Take reports whether one more request of the caller may be served; then Give must
// follow.
func (g *Gate) Take(caller string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken[caller] == callerShare {
		return false
	}
	g.taken[caller]++
	return true
}

// Give ends a request of the caller.
func (g *Gate) Give(caller string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken[caller]--; g.taken[caller] == 0 {
		delete(g.taken, caller)
	}
}

// Why a body is not read.
var (
	ErrTooLarge = errors.New("the body is too large")
	ErrTooSlow  = errors.New("the body did not arrive in time")
)

// ReadBody reads the body within its bounds, and puts it back.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int, within time.Duration) ([]byte, error) {
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(within)) // a body from memory has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	_ = connection.SetReadDeadline(time.Time{})
	switch _, long := errors.AsType[*http.MaxBytesError](err); {
	case long:
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrTooSlow
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return body, nil
}
