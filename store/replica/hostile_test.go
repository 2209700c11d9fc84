package replica

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
			db.forge(Line{seq, Keys, trimmed(encode(forged, (*store.KeyRecord).Line))})
			wait()
			if s := n.puller.Status(); s.Applied != 1 || !s.Up || len(s.Resyncs) != 1 {
				t.Errorf("%d: %+v", seq, s)
			}
			db.forge() // its number is taken
			db.putKey(keyID(1), seq%7, revoke)
			wait()
			if n.check(true); n.active(keyID(1)) {
				t.Errorf("%d: a revocation was not read", seq)
			}
			must(t, n.puller.Close())
		})
	}
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

// TestSnapshotsInVain: a source whose journal does not continue its snapshots is not asked for
// one after the other.
func TestSnapshotsInVain(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putKey(keyID(1), 0, keep)
		n.link.set(func(l *link) { l.other = true })
		n.puller.Start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n.link.shots < 10 || n.link.shots > 80 {
			t.Errorf("%d snapshots in five minutes", n.link.shots)
		}
		n.link.set(func(l *link) { l.other = false })
		wait()
		n.check(true)
		must(t, n.puller.Close())
	})
}

// TestForgedMark: what the source has is not taken for held, whatever it says itself.
func TestForgedMark(t *testing.T) {
	for _, shot := range []bool{false, true} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			if !shot {
				n.puller.Start()
				wait()
			}
			db.put(Users, "alice", 0, func([]byte, int64) []byte {
				return marked([]byte(`{"name":"alice","disabled":true,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z","seq":1}`))
			})
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
