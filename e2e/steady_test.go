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

// question is what a client asks all the time, and the only answer to it.
type question struct {
	name, credential string
	status           int
	says             string // in the answer's body: whose key it is, or why it is denied
}

// questions are of each kind that could be answered wrongly by a Keyward that
// comes or goes: good keys, and such as never were, or are no more. They are
// about /reports of routesConfig.
func (s *system) questions() []question {
	s.t.Helper()
	good, narrow, gone := s.key("--name", "good", "--scope", "reports:read"), s.key("--name", "narrow"), s.key("--name", "gone")
	s.keyward("key", "revoke", s.idOf(gone), "--file", "keys.jsonl")
	return []question{
		{"a good key", good, 200, s.idOf(good)},
		{"a key without the scope", narrow, 403, "insufficient_scope"},
		{"a key that never was", s.keyward("key", "create", "--name", "stranger", "--file", "elsewhere.jsonl"), 401, "unknown_key"},
		{"a revoked key", gone, 401, "revoked_key"},
	}
}

// steadyClients ask at any time, each some eighty times a second.
const (
	steadyClients = 8
	steadyEvery   = 12 * time.Millisecond
)

// steady is clients that ask the questions in turn, at a steady rate, and count
// each answer that is not the right one.
type steady struct {
	end     chan struct{}
	ended   sync.Once
	clients sync.WaitGroup

	mu    sync.Mutex
	right int
	wrong map[string]int
	worst time.Duration // for which somebody has waited
}

func (s *system) startSteady(questions []question) *steady {
	s.t.Helper()
	l := &steady{end: make(chan struct{}), wrong: map[string]int{}}
	requests := newManyRequests(s.t, s.URL()+"/reports", nil)
	for client := range steadyClients {
		l.clients.Go(func() {
			time.Sleep(time.Duration(client) * steadyEvery / steadyClients)
			l.ask(s.t, requests, questions, client)
		})
	}
	s.t.Cleanup(func() { l.stop() })
	return l
}

func (l *steady) ask(t *testing.T, requests *manyRequests, questions []question, first int) {
	tick := time.NewTicker(steadyEvery)
	defer tick.Stop()
	for n := first; ; n++ {
		select {
		case <-l.end:
			return
		case <-tick.C:
		}
		q, asked := questions[n%len(questions)], time.Now()
		l.count(q, requests.get(t, q.credential), time.Since(asked))
	}
}

func (l *steady) count(q question, a answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst = max(l.worst, took)
	if a.status == q.status && strings.Contains(a.body, q.says) {
		l.right++
		return
	}
	l.wrong[fmt.Sprintf("%s: %d %s", q.name, a.status, a.reason())]++
}

// since returns what was wrong, and how many answers were right, since it was last asked.
func (l *steady) since() (wrong []string, right int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(l.wrong)) {
		wrong = append(wrong, fmt.Sprintf("%d times %s", l.wrong[what], what))
	}
	right = l.right
	l.right, l.wrong = 0, map[string]int{}
	return wrong, right
}

// stop ends the load and returns for how long somebody has waited at most.
func (l *steady) stop() time.Duration {
	l.ended.Do(func() { close(l.end) })
	l.clients.Wait()
	return l.worst
}
