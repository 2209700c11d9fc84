package replica

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/store"
)

// lost returns what the replica says the database lacks, a line per record.
func (n *node) lost() string {
	var all []string
	l := n.puller.Status().Lost
	for _, r := range l.Records {
		all = append(all, fmt.Sprintf("%s %s %d %s", r.Kind, r.ID, r.Seq, r.What))
	}
	slices.Sort(all)
	return fmt.Sprintln(l.Total, strings.Join(all, ", "))
}

func wantLost(t *testing.T, when string, n *node, want string) {
	t.Helper()
	if got := n.lost(); got != want+"\n" {
		t.Errorf("%s: got\n%swant\n%s", when, got, want)
	}
}

// TestLost: after a restore the replica lists what it had seen and the database lacks,
// over a restart and a second restore, until that is accepted.
func TestLost(t *testing.T) {
	for _, how := range []string{"epoch", "call", "epoch, nothing held"} {
		t.Run(how, func(t *testing.T) {
			simulate(t, func(t *testing.T, db *database, n *node) { loseChanges(t, db, n, how) })
		})
	}
}

func loseChanges(t *testing.T, db *database, n *node, how string) {
	for i := range 4 {
		db.putKey(keyID(i), 0, keep) // 1 to 4
	}
	db.putUser("alice", 0, keep) // 5
	n.puller.Start()
	wait()
	dump := db.dump()
	want := "3 key k_000000000002 6 older, key k_000000000009 7 missing, user alice 8 older"
	db.putKey(keyID(2), 0, describe)
	db.putKey(keyID(9), 0, keep)
	db.putUser("alice", 0, keep)
	if !strings.Contains(how, "nothing held") {
		db.putKey(keyID(1), 0, revoke)
		db.revokeToken("t", 0)
		want = `5 key k_000000000001 9 ended, key k_000000000002 6 older, key k_000000000009 7 missing, revocation jti "t" 10 ended, user alice 8 older`
	}
	wait()
	wantLost(t, "before", n, "0 ")
	db.restore(dump)
	wait()
	wantLost(t, "restored", n, want)
	db.putKey(keyID(2), 4, describe) // what is written later does not undo the loss
	n.crash(false, rand.New(rand.NewPCG(1, 1)))
	wait()
	wantLost(t, "restarted", n, want)
	db.restore(dump)
	wait()
	wantLost(t, "restored again", n, want)
	if last := n.link.reports[len(n.link.reports)-1]; last.Lost.Total != len(last.Lost.Records) || fmt.Sprint(last.Lost.Total) != want[:1] {
		t.Errorf("reported %+v", last.Lost)
	}
	n.forget()
	if how == "call" {
		n.puller.AcceptRestore()
	} else {
		db.acceptRestore()
	}
	wait()
	wantLost(t, "accepted", n, "0 ")
	n.crash(false, rand.New(rand.NewPCG(1, 1)))
	wait()
	wantLost(t, "accepted and restarted", n, "0 ")
	n.check(true)
	must(t, n.puller.Close())
}

// TestNothingLost: a gap in the journal loses nothing, and a revocation that is over is
// removed from the database.
func TestNothingLost(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.put(Revocations, "t", 0, func(_ []byte, seq int64) []byte {
			r := &store.Revocation{TokenID: "t", At: time.Now(), Until: time.Now().Add(time.Hour), Seq: seq}
			return encode(r, (*store.Revocation).Line)
		})
		db.putKey(keyID(1), 0, keep)
		db.putKey(keyID(2), 0, revoke)
		n.puller.Start()
		wait()
		n.link.set(func(l *link) { l.down = true })
		time.Sleep(2 * time.Hour)
		n.forget() // it is over
		delete(db.records[Revocations], "t")
		db.putKey(keyID(1), 0, describe)
		db.putKey(keyID(3), 0, keep)
		db.cutTo(db.last())
		n.link.set(func(l *link) { l.down = false })
		wait()
		n.check(true)
		if n.resyncs(ReasonGap) != 1 {
			t.Error("no resync")
		}
		wantLost(t, "after a gap", n, "0 ")
		must(t, n.puller.Close())
	})
}

// TestLostIsBounded: of many records that the database lacks, some are listed and all are
// counted, once each, also after a second restore.
func TestLostIsBounded(t *testing.T) {
	const records = 2*MaxLost + 50
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putUser("alice", 0, keep)
		for i := range records / 2 { // the others are made and revoked later
			db.putKey(keyID(i), 0, keep)
		}
		dump := db.dump()
		for i := range records {
			db.putKey(keyID(i), 0, revoke)
		}
		db.putUser("alice", 0, keep)
		n.puller.Start()
		wait()
		for want := records + 1; want <= records+2; want++ { // the second lacks bob too
			db.restore(dump)
			wait()
			n.crash(false, rand.New(rand.NewPCG(1, 1)))
			wait()
			if l := n.puller.Status().Lost; l.Total != want || len(l.Records) != MaxLost {
				t.Errorf("%d lost, %d listed", l.Total, len(l.Records))
			}
			db.putUser("bob", 0, keep)
			wait()
		}
		must(t, n.puller.Close())
	})
}

// TestLostAtEachCall: wherever a snapshot that lacks something is interrupted, it is
// listed in the end, and counted once.
func TestLostAtEachCall(t *testing.T) {
	for left := 0; ; left++ {
		cut := false
		simulate(t, func(t *testing.T, db *database, n *node) {
			rnd := rand.New(rand.NewPCG(uint64(left), 1))
			db.putKey(keyID(1), 0, keep)
			db.putUser("alice", 0, disable)
			dump := db.dump()
			db.putUser("alice", 0, enable)
			db.putKey(keyID(1), 0, revoke)
			db.putKey(keyID(2), 0, keep)
			n.puller.Start()
			wait()
			n.disk.FailAfter(left)
			db.restore(dump)
			wait()
			cut = n.disk.Cut()
			n.crash(left%2 == 0, rnd)
			wait()
			wantLost(t, fmt.Sprintf("cut after %d calls", left), n, "3 key k_000000000001 4 ended, key k_000000000002 5 missing, user alice 3 older")
			must(t, n.puller.Close())
		})
		if t.Failed() || !cut {
			break
		}
	}
}

// TestInterruptedCount: what a snapshot lacks counts once, however often it is begun, and
// what another one lacks is added.
func TestInterruptedCount(t *testing.T) {
	l := lostList{}.with(nil, 5).with(nil, 5).with(nil, 0)
	if l.Total != 5 {
		t.Errorf("%d after one snapshot", l.Total)
	}
	if l = l.published().with(nil, 2).with(nil, 2).published(); l.Total != 7 || l.Base != 7 {
		t.Errorf("%+v after two", l)
	}
}

// TestRevocationID distinguishes revocations by all that they say, and is text.
func TestRevocationID(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for want, r := range map[string]store.Revocation{
		`jti "a b"`: {TokenID: "a b"},
		`subject "x" issued_before 2026-01-02T03:04:05.000000006Z until 2026-01-02T03:04:05.000000006Z`: {Subject: "x", IssuedBefore: at, Until: at},
		`sid "s"`: {SessionID: "s"},
		`issued_before 2026-01-02T03:04:05.000000006Z`: {IssuedBefore: at},
	} {
		if got := revocationID(&r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := shownID(strings.Repeat("ü", maxLostID)); len(got) > maxLostID+len("…") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes", len(got))
	}
}
