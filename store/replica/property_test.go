package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestInterleavings: writers, cut connections, lost and false hints, cut journals,
// restores whose new writes catch up, and crashes at any call of the file system, in
// random order. In the end each replica is what the database says; none had a later change
// in force without an earlier one, and none had anything active again that it had seen
// ended, until that was accepted.
func TestInterleavings(t *testing.T) {
	runs := uint64(150)
	if testing.Short() {
		runs = 20
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { interleave(t, rand.New(rand.NewPCG(seed, 18))) })
		})
	}
}

func interleave(t *testing.T, rnd *rand.Rand) {
	db := newDatabase()
	nodes := make([]*node, 3)
	for i := range nodes {
		n := newNode(t, db)
		lazy := map[Kind]bool{}
		for _, kind := range allKinds {
			lazy[kind] = rnd.IntN(2) == 0
		}
		n.eager = func(kind Kind) bool { return !lazy[kind] }
		n.rnd = rand.New(rand.NewPCG(rnd.Uint64(), 1))
		n.puller.Start()
		nodes[i] = n
	}
	dumps := []*database{db.dump()}
	for range 120 {
		if rnd.IntN(3) > 0 {
			write(db, rnd)
		} else {
			dumps = disturb(db, nodes, dumps, rnd)
		}
		for _, n := range nodes { // hints get lost
			if rnd.IntN(2) == 0 {
				n.link.ring()
			}
		}
		if rnd.IntN(3) == 0 {
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		}
	}
	settle(nodes, rnd)
	for _, n := range nodes {
		n.check(false)
		if s := n.puller.Status(); s.Held > 0 && s.Lost.Total == 0 {
			t.Errorf("%d records are held, and none is lost", s.Held)
		}
	}
	accept(db, nodes)
	settle(nodes, rnd)
	for _, n := range nodes {
		n.check(true)
		if s := n.puller.Status(); !s.Up || s.Held > 0 || s.Lost.Total > 0 || s.Applied != db.last() || s.Behind() != 0 {
			t.Errorf("status %+v, want the seq %d", s, db.last())
		}
		must(t, n.puller.Close())
	}
}

// settle has all faults end, and waits.
func settle(nodes []*node, rnd *rand.Rand) {
	for _, n := range nodes {
		n.link.set(func(l *link) { l.down, l.failures, l.silent, l.busy = false, 0, false, 0 })
		if n.disk.Failing() {
			n.crash(rnd.IntN(2) == 0, rnd)
		}
	}
	time.Sleep(5 * time.Minute)
	synctest.Wait()
}

func accept(db *database, nodes []*node) {
	for _, n := range nodes {
		n.forget()
	}
	db.acceptRestore()
}

// write makes a change, whose number may be any later one.
func write(db *database, rnd *rand.Rand) {
	skip := int64(max(0, rnd.IntN(6)-3))
	switch key, user := keyID(rnd.IntN(6)), fmt.Sprint("user", rnd.IntN(4)); rnd.IntN(10) {
	case 0, 1:
		db.putKey(key, skip, keep)
	case 2:
		db.putKey(key, skip, revoke)
	case 3:
		db.putKey(key, skip, rotate)
	case 4:
		db.putKey(key, skip, describe)
	case 5:
		db.putUser(user, skip, disable)
	case 6:
		db.putUser(user, skip, enable)
	case 7:
		db.putUser(user, skip, remove)
	case 8:
		db.putUser(user, skip, endAll)
	case 9:
		db.revokeToken(fmt.Sprint("token", rnd.IntN(9)), skip)
	}
}

// disturb has something go wrong, with one replica or with the database.
func disturb(db *database, nodes []*node, dumps []*database, rnd *rand.Rand) []*database {
	n := nodes[rnd.IntN(len(nodes))]
	switch rnd.IntN(12) {
	case 0, 1:
		n.link.set(func(l *link) { l.failures = 1 + rnd.IntN(4) })
	case 2:
		n.link.set(func(l *link) { l.down = !l.down })
	case 3:
		n.link.set(func(l *link) { l.silent = !l.silent })
	case 4:
		n.link.set(func(l *link) { l.busy = time.Duration(rnd.IntN(2)) * time.Second })
	case 5:
		db.cutBut(rnd.IntN(10))
	case 6, 7, 8:
		if n.disk.Failing() {
			n.crash(rnd.IntN(2) == 0, rnd)
		} else {
			n.disk.FailAfter(rnd.IntN(200))
		}
	case 9:
		return append(dumps, db.dump())
	case 10:
		for _, n := range nodes {
			n.mu.Lock()
			n.earlier = append(n.earlier, db.dump().lines)
			n.mu.Unlock()
		}
		db.restore(dumps[rnd.IntN(len(dumps))])
		for range rnd.IntN(10) {
			write(db, rnd)
		}
	case 11:
		if rnd.IntN(3) == 0 {
			accept(db, nodes)
		}
	}
	return dumps
}
