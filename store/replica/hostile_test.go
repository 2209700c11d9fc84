package replica

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// TestLineBeyond: a line behind the last change is not applied, whatever its number is, and
// later changes are.
func TestLineBeyond(t *testing.T) {
	for _, seq := range []int64{2, 5, math.MaxInt64} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			db.putKey(keyID(1), 0, keep)
			n.puller.Start()
			wait()
			forged := decodeKey(db.records[Keys][keyID(1)])
			forged.Owner = "mallory"
			db.mu.Lock()
			db.forged = []Line{{seq, Keys, trimmed(encode(forged, (*store.KeyRecord).Line))}}
			db.mu.Unlock()
			wait()
			if s := n.puller.Status(); s.Applied != 1 || !s.Up || len(s.Resyncs) != 1 {
				t.Errorf("%d: %+v", seq, s)
			}
			db.forged = nil // its number is taken
			db.putKey(keyID(1), seq%7, revoke)
			wait()
			if n.check(true); n.active(keyID(1)) {
				t.Errorf("%d: a revocation was not read", seq)
			}
			must(t, n.puller.Close())
		})
	}
}

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
	db.records[r.kind][id] = earlier
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

// TestRepeatedRow: of two rows of a snapshot about one record, that with another id does
// not count, and a second one does not bring back what has ended.
func TestRepeatedRow(t *testing.T) {
	for _, seen := range []bool{false, true} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			db.putKey(keyID(1), 0, keep)
			active := db.records[Keys][keyID(1)]
			db.putKey(keyID(1), 0, revoke)
			if seen {
				n.puller.Start()
				wait()
				must(t, n.puller.Close())
				delete(n.disk.Files, pathOf(Keys)+progressSuffix)
				n.boot(n.disk)
			}
			// The second would be read last. An id may begin as a line does.
			db.records[Keys]["k_zzzzzzzzzzzz"] = active
			db.records[Keys][keyID(1)+`","name":"`] = active
			if seen {
				db.records[Keys][keyID(1)] = active
				n.link.again = 1
			}
			n.puller.Start()
			wait()
			if n.look(Keys); n.active(keyID(1)) {
				t.Errorf("seen %v: the key is active again", seen)
			}
			if s := n.puller.Status(); !s.Up {
				t.Errorf("%+v", s)
			}
			must(t, n.puller.Close())
		})
	}
}

// TestBadLine: a line that readers would not read to its end is left out of the copy, also
// of one from a snapshot, and what is behind it is applied.
func TestBadLine(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, line := range []string{"{}\n{}", "", "text", long, `{"batch":2}`, `{"left":1,"id":"k_000000000001"}`} {
		for _, shot := range []bool{false, true} {
			simulate(t, func(t *testing.T, db *database, n *node) {
				db.putKey(keyID(1), 0, keep)
				if shot {
					db.records[Users]["bob"] = []byte(line)
					db.records[Keys]["k_bad"] = []byte(line)
				}
				n.puller.Start()
				wait()
				db.insert(Users, []byte(line))
				db.insert(Keys, []byte(line))
				db.putKey(keyID(1), 0, revoke)
				db.putUser("alice", 0, keep)
				wait()
				n.crash(true, rand.New(rand.NewPCG(1, 1)))
				db.insert(Keys, []byte(line))
				wait()
				delete(db.records[Users], "bob")
				delete(db.records[Keys], "k_bad")
				n.check(true)
				users, _ := n.linesOf(Users)
				if s := n.puller.Status(); len(users) != 1 || s.Applied != db.last() || !s.Up || len(s.Resyncs) > 1 {
					t.Errorf("%.20q: %d lines, status %+v", line, len(users), s)
				}
				must(t, n.puller.Close())
			})
		}
	}
}

// TestUnwritableLine: a line that what has ended cannot be carried over to does not stop the
// copies, and the record stays ended.
func TestUnwritableLine(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putUser("alice", 0, endAll)
		n.puller.Start()
		wait()
		db.insert(Users, []byte(`{"name":"alice","service":true,"oidc_issuer":"https://a","created":"2025-01-01T00:00:00Z","disabled":true,"at":"2026-01-01T00:00:00Z"}`))
		db.putUser("bob", 0, keep)
		wait()
		n.look(Users)
		if s := n.puller.Status(); !s.Up || s.Applied != db.last() || decodeUser(n.force[Users].lines["alice"]).Deleted.IsZero() {
			t.Errorf("%+v\n%s", s, n.force[Users].lines["alice"])
		}
		must(t, n.puller.Close())
	})
}

// TestPlainKey: what is read without being decoded ends nothing.
func TestPlainKey(t *testing.T) {
	line := func(rest string) []byte {
		return []byte(`{"id":"k_000000000001"` + rest + `,"format":"keyward","hash":"` + strings.Repeat("01", 32) + `","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`)
	}
	for rest, want := range map[string]bool{
		"": true, `,"name":"a","seq":3`: true,
		`,"revoked":"2026-01-01T00:00:00Z"`: false, ` , "deleted" :"2026-01-01T00:00:00Z"`: false, `,"rotated":"2026-01-01T00:00:00Z"`: false,
		`,"rev\u006fked":"2026-01-01T00:00:00Z"`: false, `","revoked":"2026-01-01T00:00:00Z"`: false,
	} {
		end, _ := endingOf(Keys, time.Now)
		id, got := end.plain(line(rest))
		a, err := end.about(line(rest))
		if got != want || got && (string(id) != keyID(1) || err != nil || a.ends || a.id != keyID(1)) {
			t.Errorf("%s: %s %v, about %+v, %v", rest, id, got, a, err)
		}
	}
	end, _ := endingOf(Keys, time.Now)
	for _, line := range [][]byte{nil, []byte(`{"id":"`), marked(line("")), bytes.Replace(line(""), []byte("k_0"), []byte("k-0"), 1)} {
		if _, plain := end.plain(line); plain {
			t.Errorf("plain: %s", line)
		}
	}
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

// TestForgedMark: what the source has is not taken for held, whatever it says itself.
func TestForgedMark(t *testing.T) {
	for _, shot := range []bool{false, true} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			if !shot {
				n.puller.Start()
				wait()
			}
			db.putUser("alice", 0, disable)
			db.lines[0].Text = marked(db.lines[0].Text)
			db.records[Users]["alice"] = db.lines[0].Text
			if shot {
				n.puller.Start()
			}
			wait()
			if s := n.puller.Status(); s.Held != 0 || s.Applied != 1 || len(s.Resyncs) > 1 {
				t.Errorf("%+v", s)
			}
			db.putUser("alice", 0, func(r *store.UserRecord, _ time.Time) { r.Disabled, r.Unknown = false, "" })
			wait()
			if n.look(Users); decodeUser(n.force[Users].lines["alice"]).Disabled {
				t.Error("the mark kept a user disabled")
			}
			must(t, n.puller.Close())
		})
	}
}
