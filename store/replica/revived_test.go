package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// revival is a record that has ended, and an earlier line about it.
type revival struct {
	name string
	kind Kind
	// end makes the record and ends it, and returns the line before.
	end func(db *database) []byte
	// ended reports whether what has ended is so by the line.
	ended func(line []byte) bool
}

func endedKey(change ...func(*store.KeyRecord, time.Time)) func(*database) []byte {
	return func(db *database) (earlier []byte) {
		db.putKey(keyID(1), 0, keep)
		for _, c := range change {
			earlier = db.records[Keys][keyID(1)]
			db.putKey(keyID(1), 0, c)
		}
		return earlier
	}
}

func endedUser(change func(*store.UserRecord, time.Time)) func(*database) []byte {
	return func(db *database) []byte {
		db.putUser("alice", 0, keep)
		earlier := db.records[Users]["alice"]
		db.putUser("alice", 0, change)
		return earlier
	}
}

func endedClient(change func(*store.Client, time.Time)) func(*database) []byte {
	return func(db *database) []byte {
		db.putClient(clientID, keep)
		earlier := db.records[Clients][clientID]
		db.putClient(clientID, change)
		return earlier
	}
}

const clientID = "c_000000000001"

func revivals() []revival {
	keyEnded := func(line []byte) bool { return decodeKey(line).Ended() }
	grace := func(r *store.KeyRecord, at time.Time) {
		r.Previous = []store.PreviousSecret{{Hash: r.Hash, Until: at.Add(time.Hour)}}
		rotate(r, at)
	}
	return []revival{
		{"revoked key", Keys, endedKey(revoke), keyEnded},
		{"deleted key", Keys, endedKey(func(r *store.KeyRecord, at time.Time) { r.Delete(at) }), keyEnded},
		{"rotated secret", Keys, endedKey(rotate), func(line []byte) bool { return decodeKey(line).Hash[1] == 2 }},
		{"earlier of two rotations", Keys, endedKey(rotate, rotate), func(line []byte) bool { return decodeKey(line).Rotated.Equal(base.Add(3 * time.Second)) }},
		{"another secret of the time of the rotation", Keys, func(db *database) []byte {
			endedKey(rotate)(db)
			r := decodeKey(db.records[Keys][keyID(1)])
			r.Hash = apikey.Digest{9}
			return trimmed(encode(r, (*store.KeyRecord).Line))
		}, func(line []byte) bool { return decodeKey(line).Hash[1] == 2 }},
		{"ended grace", Keys, endedKey(grace, func(r *store.KeyRecord, _ time.Time) { r.EndGrace() }), func(line []byte) bool {
			r := decodeKey(line)
			return r.Previous[0].Until.IsZero() && r.Hash[1] == 2
		}},
		{"deleted user", Users, endedUser(remove), func(line []byte) bool { return !decodeUser(line).Deleted.IsZero() }},
		{"all of a user", Users, endedUser(endAll), func(line []byte) bool { return decodeUser(line).Gen == 1 && !decodeUser(line).ValidSince.IsZero() }},
		{"disabled user, who lost the sessions", Users, endedUser(func(r *store.UserRecord, at time.Time) {
			r.EndLogins(at)
			r.Disabled = true
		}), func(line []byte) bool { return decodeUser(line).Disabled && decodeUser(line).Gen == 1 }},
		{"deleted client", Clients, endedClient(func(r *store.Client, at time.Time) { r.Delete(at) }), func(line []byte) bool { return !decodeClient(line).Deleted.IsZero() }},
		{"tokens of a client", Clients, endedClient(func(r *store.Client, _ time.Time) { r.EndTokens() }), func(line []byte) bool { return decodeClient(line).Gen == 1 }},
		{"rotated secret of a client", Clients, endedClient(func(r *store.Client, at time.Time) { r.Rotated, r.Hash = at, apikey.Digest{2} }), func(line []byte) bool { return decodeClient(line).Hash[0] == 2 }},
	}
}

// TestRevivedByJournal: an earlier line about a record, which a writer whose login was
// stolen appends to the journal, does not bring back what has ended: neither at once nor
// after a restart or a snapshot, until an operator accepts it. The line may come together
// with what ended the record, twice, and say that it is held.
func TestRevivedByJournal(t *testing.T) {
	for _, r := range revivals() {
		for _, at := range []string{"at once", "later", "twice", "marked", "after a restart"} {
			t.Run(r.name+" "+at, func(t *testing.T) {
				simulate(t, func(t *testing.T, db *database, n *node) { revive(t, db, n, r, at) })
			})
		}
	}
}

func revive(t *testing.T, db *database, n *node, r revival, at string) {
	n.puller.Start()
	wait()
	earlier := r.end(db)
	id := idOf(r.kind, earlier)
	switch at {
	case "later":
		wait()
	case "twice":
		db.insert(r.kind, earlier)
	case "marked":
		wait()
		earlier = marked(earlier)
	case "after a restart":
		wait()
		db.putUser("bob", 0, keep)
		n.crash(true, rand.New(rand.NewPCG(1, 1)))
		wait()
	}
	db.insert(r.kind, earlier)
	db.set(r.kind, id, earlier)
	held := func(when string) {
		t.Helper()
		wait()
		n.look(r.kind)
		if line := n.force[r.kind].lines[id]; !r.ended(line) {
			t.Errorf("%s: active again:\n%s", when, line)
		}
		if s := n.puller.Status(); s.Held != 1 || s.Lost.Total != 1 || s.Lost.Records[0].What != LossEnded || !s.Up || s.Applied != db.last() {
			t.Errorf("%s: %+v", when, s)
		}
	}
	held("appended")
	n.crash(true, rand.New(rand.NewPCG(1, 1)))
	held("restarted")
	db.insert(r.kind, earlier)
	held("appended again")
	db.putUser("bob", 0, keep)
	db.putUser("bob", 0, keep)
	n.link.set(func(l *link) { l.down = true })
	wait()
	db.putUser("bob", 0, keep)
	db.cutTo(db.last())
	db.putUser("bob", 0, keep)
	db.cutTo(db.last())
	n.link.set(func(l *link) { l.down = false })
	held("after a snapshot")
	n.forget()
	db.acceptRestore()
	wait()
	n.look(r.kind)
	if s := n.puller.Status(); s.Held != 0 || s.Lost.Total != 0 || r.ended(n.force[r.kind].lines[id]) {
		t.Errorf("accepted: %+v", s)
	}
	must(t, n.puller.Close())
}

// idOf returns what a line is about.
func idOf(kind Kind, line []byte) string {
	end, _ := endingOf(kind, time.Now)
	a, err := end.about(line)
	if err != nil {
		panic(fmt.Sprint(err, string(line)))
	}
	return a.id
}
