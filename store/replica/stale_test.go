package replica

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// suspended returns a time as a machine has it that was suspended for so long: the clock of
// the day went on, and the monotonic one did not.
func suspended(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall uint64
		ext  int64
	})(unsafe.Pointer(&t)).ext -= int64(d)
	return t
}

// TestStaleByEitherClock: copies are too old when either clock says so. One of the day that
// was set back to before the last contact says nothing.
func TestStaleByEitherClock(t *testing.T) {
	contact := time.Now()
	for _, c := range []struct {
		name  string
		now   time.Time
		stale bool
	}{
		{"nine minutes", contact.Add(9 * time.Minute), false},
		{"eleven minutes", contact.Add(11 * time.Minute), true},
		{"suspended for nine minutes", suspended(contact, 9*time.Minute), false},
		{"suspended for eleven minutes", suspended(contact, 11*time.Minute), true},
		{"eleven minutes, and the clock was set back by ten", suspended(contact.Add(11*time.Minute), -10*time.Minute), true},
		{"one minute, and the clock was set back by two", suspended(contact.Add(time.Minute), -2*time.Minute), true},
		{"before", contact.Add(-time.Minute), true},
	} {
		p := Puller{cfg: Config{MaxStaleness: 10 * time.Minute, Now: func() time.Time { return c.now }}}
		p.contact.Store(&contact)
		if got := p.Stale(); got != c.stale {
			t.Errorf("%s: stale %v", c.name, got)
		}
	}
}

// TestContactOfAnother: when another source was last heard from does not count for this one.
func TestContactOfAnother(t *testing.T) {
	for origin, stale := range map[string]bool{"postgres://a/keyward": false, "postgres://b/keyward": true} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			n.stale, n.origin = 10*time.Minute, "postgres://a/keyward"
			n.boot(n.disk)
			n.puller.Start()
			wait()
			n.link.set(func(l *link) { l.silent = true })
			n.origin = origin
			n.crash(true, rand.New(rand.NewPCG(1, 1)))
			if got := n.puller.Stale(); got != stale {
				t.Errorf("%s: stale %v", origin, got)
			}
			n.link.set(func(l *link) { l.silent = false })
			wait()
			if n.puller.Stale() {
				t.Errorf("%s: stale although it was heard from", origin)
			}
			must(t, n.puller.Close())
		})
	}
}

// TestContactAfterClock: a time in the future, which a clock has left that was set back,
// does not stay beside the copies.
func TestContactAfterClock(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		var ahead atomic.Int64
		ahead.Store(int64(time.Hour))
		n.stale = 10 * time.Minute
		n.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		n.boot(n.disk)
		n.puller.Start()
		wait()
		ahead.Store(0)
		wait()
		n.link.set(func(l *link) { l.silent = true })
		n.crash(true, rand.New(rand.NewPCG(1, 1)))
		if n.puller.Stale() {
			t.Error("the contact since was not remembered")
		}
		must(t, n.puller.Close())
	})
}

// TestHintsTakenTogether: any login may notify, and causes no more than some readings.
func TestHintsTakenTogether(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		n.puller.Start()
		wait()
		var before, after int
		n.link.set(func(l *link) { before = l.reads })
		for range 10_000 {
			n.link.ring()
			time.Sleep(100 * time.Microsecond)
			synctest.Wait()
		}
		n.link.set(func(l *link) { after = l.reads })
		if reads := after - before; reads < 40 || reads > 60 {
			t.Errorf("%d readings in a second", reads)
		}
		db.putKey(keyID(1), 0, keep)
		n.link.ring()
		time.Sleep(minPause)
		synctest.Wait()
		n.check(true)
		must(t, n.puller.Close())
	})
}
