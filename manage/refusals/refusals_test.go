package refusals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/store/audit"
)

// memLog has the entries that were written.
type memLog struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (l *memLog) Note(_ context.Context, entries ...*audit.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, e := range entries {
		l.entries = append(l.entries, *e)
	}
	return nil
}

// take returns what was written since the last call.
func (l *memLog) take() []audit.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.entries
	l.entries = nil
	slices.SortFunc(taken, func(a, b audit.Entry) int { return cmp.Compare(a.Address+a.Reason, b.Address+b.Reason) })
	return taken
}

func refusal(actor string) *audit.Entry {
	return &audit.Entry{Actor: actor, ActorKey: "k_1", Action: audit.KeyCreate, Record: "x", Via: audit.ViaAPI, Outcome: audit.Refused, Reason: "forbidden"}
}

// inTime calls do with started Counts, on a fake clock.
func inTime(t *testing.T, do func(t *testing.T, c *Counts, log *memLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, log := New(nil), &memLog{}
		c.Start(log, slog.New(slog.DiscardHandler))
		do(t, c, log)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func minute() {
	time.Sleep(time.Minute) // of the fake clock
	synctest.Wait()
}

// TestActors: ten refusals of an actor in a minute have entries of their own, and the
// others are one entry of the next minute.
func TestActors(t *testing.T) {
	inTime(t, func(t *testing.T, c *Counts, log *memLog) {
		own := 0
		for range 25 {
			if c.Own(refusal("alice")) {
				own++
			}
		}
		if own != 10 || !c.Own(refusal("bob")) {
			t.Errorf("%d have their own", own)
		}
		minute()
		got := log.take()
		if len(got) != 1 || got[0].Count != 15 || got[0].Actor != "alice" || got[0].ActorKey != "k_1" || got[0].Action != audit.KeyCreate || got[0].Reason != "forbidden" || got[0].Outcome != audit.Refused {
			t.Errorf("%+v", got)
		}
		if !c.Own(refusal("alice")) {
			t.Error("the next minute")
		}
		minute()
		if got := log.take(); len(got) != 0 {
			t.Errorf("nothing was counted: %+v", got)
		}
	})
}

// TestClients: what a client does is one entry a minute for each reason, and none is
// written in between.
func TestClients(t *testing.T) {
	inTime(t, func(t *testing.T, c *Counts, log *memLog) {
		for range 1000 {
			c.Unknown(audit.UnknownCredential, audit.ViaAPI, authz.ParseAddress("192.0.2.1"), "unknown_key")
		}
		c.Unknown(audit.UnknownRequest, audit.ViaAPI, authz.ParseAddress("2001:db8::1"), "ambiguous_path")
		c.Unknown(audit.UnknownRequest, audit.ViaAPI, authz.ParseAddress("2001:db8::2"), "ambiguous_path")
		c.Unknown(audit.UnknownCredential, audit.ViaAPI, authz.ParseAddress("a name"), "no_credential")
		if got := log.take(); len(got) != 0 {
			t.Errorf("before the minute is over: %+v", got)
		}
		minute()
		var got []string
		for _, e := range log.take() {
			got = append(got, fmt.Sprint(e.Actor, e.Action, " ", e.Address, " ", e.Reason, " ", e.Count))
		}
		want := []string{"unknown.credential 192.0.2.1/32 unknown_key 1000", "unknown.request 2001:db8::/64 ambiguous_path 2", "unknown.credential  no_credential 1"}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// TestFlood: clients without number are not entries without number, and nothing of them
// is lost.
func TestFlood(t *testing.T) {
	inTime(t, func(t *testing.T, c *Counts, log *memLog) {
		for i := range 5000 {
			c.Unknown(audit.UnknownCredential, audit.ViaAPI, authz.ParseAddress(fmt.Sprintf("192.0.%d.%d", i/250, i%250)), "unknown_key")
		}
		for i := range maxActors + 5 {
			c.Own(refusal(fmt.Sprint("user-", i)))
		}
		for i := range 2 * maxKinds {
			for range ownPerMinute + 1 {
				c.Own(refusal(fmt.Sprint("user-", i)))
			}
		}
		minute()
		clients, actors, entries := int64(0), int64(0), log.take()
		for _, e := range entries {
			if e.Action == audit.UnknownCredential {
				clients += e.Count
			} else {
				actors += e.Count
			}
		}
		if clients != 5000 || actors != 5+2*2*maxKinds || len(entries) != maxClients+1+maxKinds+1 {
			t.Errorf("%d of clients, %d of actors, in %d entries", clients, actors, len(entries))
		}
	})
}

// TestLogFails: what cannot be written is written later.
func TestLogFails(t *testing.T) {
	inTime(t, func(t *testing.T, c *Counts, log *memLog) {
		log.err = errors.New("no space")
		for range 12 {
			c.Own(refusal("alice"))
			c.Unknown(audit.UnknownCredential, audit.ViaAPI, authz.ParseAddress("192.0.2.1"), "unknown_key")
		}
		minute()
		c.Unknown(audit.UnknownCredential, audit.ViaAPI, authz.ParseAddress("192.0.2.1"), "unknown_key")
		log.mu.Lock()
		log.err = nil
		log.mu.Unlock()
		minute()
		got := log.take()
		if len(got) != 3 || got[0].Count != 1 || got[1].Count != 2 || got[2].Count != 12 {
			t.Errorf("%+v", got)
		}
	})
}

// TestClose writes what was counted since the last minute, and is safe for Counts that
// were never started.
func TestClose(t *testing.T) {
	log := &memLog{}
	c := New(time.Now)
	c.Start(log, slog.New(slog.DiscardHandler))
	c.Unknown(audit.UnknownRequest, audit.ViaAPI, authz.Address{}, "ambiguous_path")
	if err := c.Close(); err != nil || len(log.take()) != 1 {
		t.Error(err)
	}
	if err := New(nil).Close(); err != nil {
		t.Error(err)
	}
}
