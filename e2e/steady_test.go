package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// probe is a request that a client repeats, and its only correct response.
type probe struct {
	name, credential string
	status           int
	says             string // in the response's body: the owner of the key, or the reason of the denial
}

// probes has each kind of key for which a Keyward could respond wrongly while
// it starts or stops: valid, unknown and revoked keys. They request /reports of
// routesConfig.
func (s *system) probes() []probe {
	s.t.Helper()
	good, narrow, gone := s.key("--name", "good", "--scope", "reports:read"), s.key("--name", "narrow"), s.key("--name", "gone")
	s.keyward("key", "revoke", s.idOf(gone), "--file", "keys.jsonl")
	return []probe{
		{"a valid key", good, 200, s.idOf(good)},
		{"a key without the scope", narrow, 403, "insufficient_scope"},
		{"an unknown key", s.keyward("key", "create", "--name", "unknown", "--file", "elsewhere.jsonl"), 401, "unknown_key"},
		{"a revoked key", gone, 401, "revoked_key"},
	}
}

// Each of the steadyClients sends some eighty requests per second.
const (
	steadyClients = 8
	steadyEvery   = 12 * time.Millisecond
)

// steadyLoad is a number of clients that send the probes in turn, at a steady
// rate, and count each wrong response.
type steadyLoad struct {
	end     chan struct{}
	ended   sync.Once
	clients sync.WaitGroup

	mu    sync.Mutex
	right int
	wrong map[string]int
	worst time.Duration // longest time that a client waited for a response
}

func (s *system) startSteadyLoad(probes []probe) *steadyLoad {
	s.t.Helper()
	l := &steadyLoad{end: make(chan struct{}), wrong: map[string]int{}}
	requests := newManyRequests(s.t, s.URL()+"/reports", nil)
	for client := range steadyClients {
		l.clients.Go(func() {
			time.Sleep(time.Duration(client) * steadyEvery / steadyClients)
			l.ask(s.t, requests, probes, client)
		})
	}
	s.t.Cleanup(func() { l.stop() })
	return l
}

func (l *steadyLoad) ask(t *testing.T, requests *manyRequests, probes []probe, first int) {
	tick := time.NewTicker(steadyEvery)
	defer tick.Stop()
	for n := first; ; n++ {
		select {
		case <-l.end:
			return
		case <-tick.C:
		}
		q, asked := probes[n%len(probes)], time.Now()
		l.count(q, requests.get(t, q.credential), time.Since(asked))
	}
}

func (l *steadyLoad) count(q probe, a answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst = max(l.worst, took)
	if a.status == q.status && strings.Contains(a.body, q.says) {
		l.right++
		return
	}
	l.wrong[fmt.Sprintf("%s: %d %s", q.name, a.status, a.reason())]++
}

// since returns what was wrong, and how many responses were right, since the
// last call.
func (l *steadyLoad) since() (wrong []string, right int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(l.wrong)) {
		wrong = append(wrong, fmt.Sprintf("%d times %s", l.wrong[what], what))
	}
	right = l.right
	l.right, l.wrong = 0, map[string]int{}
	return wrong, right
}

// stop ends the load and returns the longest time that a client has waited.
func (l *steadyLoad) stop() time.Duration {
	l.ended.Do(func() { close(l.end) })
	l.clients.Wait()
	return l.worst
}
