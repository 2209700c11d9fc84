// Package refusals bounds what refused calls add to the audit log. The first refusals of
// an actor in a minute have an entry each; further ones, and those of clients that are
// not authenticated, are counted, and a minute's counts become one entry per kind. It
// never delays a refusal: counting takes no lock of a file, and waits for no disk.
package refusals

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyward/authz"
	"keyward/store/audit"
)

const (
	// ownPerMinute is how many refusals of one actor have an entry of their own, and
	// maxActors of how many actors.
	ownPerMinute = 10
	maxActors    = 10_000
	// maxClients is how many clients have entries in a minute; the others share one per
	// action and reason. That is at most some 6 MB a day.
	maxClients = 20
	// maxKinds bounds what is counted of actors.
	maxKinds = 1000
	// flushTime bounds a write of counts.
	flushTime = 10 * time.Second
)

// Log is where the entries go.
type Log interface {
	// Note adds entries that need not be durable when it returns.
	Note(ctx context.Context, entries ...*audit.Entry) error
}

// kind is what counts as one: the entries of a kind differ in nothing that is kept.
type kind struct {
	actor, key string
	action     audit.Action
	via        audit.Via
	client     string
	reason     string
}

// Counts counts the refusals of the current minute. Its methods may be called at the
// same time.
type Counts struct {
	log    Log
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	minute  time.Time
	own     map[string]int // of each actor, in the minute
	actors  map[kind]int64 // beyond their own, since the last flush
	clients map[kind]int64 // since the last flush
	named   int            // clients with an address
	stop    chan struct{}  // nil: not started
	done    chan struct{}
}

// New returns Counts whose counts are not written until Start. now is the clock; nil is
// time.Now.
func New(now func() time.Time) *Counts {
	if now == nil {
		now = time.Now
	}
	return &Counts{now: now, own: map[string]int{}, actors: map[kind]int64{}, clients: map[kind]int64{}}
}

// Start writes the counts to the log once a minute, until Close.
func (c *Counts) Start(log Log, logger *slog.Logger) {
	c.log, c.logger = log, logger
	c.stop, c.done = make(chan struct{}), make(chan struct{})
	go c.run()
}

func (c *Counts) run() {
	defer close(c.done)
	every := time.NewTicker(time.Minute)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			c.flush()
		case <-c.stop:
			return
		}
	}
}

// Close writes what was counted, if the counts were started, and waits for that.
func (c *Counts) Close() error {
	if c.stop == nil {
		return nil
	}
	close(c.stop)
	<-c.done
	c.flush()
	return nil
}

// Own reports whether a refusal of an actor is to have an entry of its own. If not it is
// counted.
func (c *Counts) Own(e *audit.Entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if minute := c.now().Truncate(time.Minute); !minute.Equal(c.minute) {
		c.minute = minute
		clear(c.own)
	}
	if _, counted := c.own[e.Actor]; counted || len(c.own) < maxActors {
		c.own[e.Actor]++
		if c.own[e.Actor] <= ownPerMinute {
			return true
		}
	}
	of := kind{actor: e.Actor, key: e.ActorKey, action: e.Action, via: e.Via, reason: e.Reason}
	if _, counted := c.actors[of]; !counted && len(c.actors) >= maxKinds {
		of = kind{action: audit.Request, via: e.Via, reason: "others"}
	}
	c.actors[of]++
	return false
}

// Unknown counts what a client that is not authenticated did.
func (c *Counts) Unknown(action audit.Action, via audit.Via, client authz.Address, reason string) {
	of := kind{action: action, via: via, reason: reason}
	if client.Known() {
		of.client = client.Client().String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, counted := c.clients[of]; !counted && of.client != "" {
		if c.named == maxClients {
			of.client = ""
		} else {
			c.named++
		}
	}
	c.clients[of]++
}

// flush writes what was counted. What cannot be written is counted on.
func (c *Counts) flush() {
	c.mu.Lock()
	actors, clients := c.actors, c.clients
	c.actors, c.clients, c.named = map[kind]int64{}, map[kind]int64{}, 0
	c.mu.Unlock()
	entries := append(entriesOf(actors), entriesOf(clients)...)
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := c.log.Note(ctx, entries...)
	if err == nil {
		return
	}
	c.logger.Error("audit log: counts of refused calls cannot be written", "entries", len(entries), "error", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for of, n := range actors {
		if _, counted := c.actors[of]; !counted && len(c.actors) >= maxKinds {
			of = kind{action: audit.Request, via: of.via, reason: "others"}
		}
		c.actors[of] += n
	}
	for of, n := range clients { // without their addresses, which are bounded for a minute
		of.client = ""
		c.clients[of] += n
	}
}

func entriesOf(counts map[kind]int64) []*audit.Entry {
	entries := make([]*audit.Entry, 0, len(counts))
	for of, n := range counts {
		entries = append(entries, &audit.Entry{
			Actor: of.actor, ActorKey: of.key, Action: of.action, Via: of.via, Address: of.client,
			Outcome: audit.Refused, Reason: of.reason, Count: n,
		})
	}
	return entries
}
