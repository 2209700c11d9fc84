package replica

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"keyward/internal/powercut"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal/filesystem"
)

// simulate runs a test with a database and a replica of it, which is not started.
func simulate(t *testing.T, test func(t *testing.T, db *database, n *node)) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		test(t, db, newNode(t, db))
	})
}

// wait has the replica do all that it can do.
func wait() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

func (n *node) resyncs(reason Reason) uint64 { return n.puller.Status().Resyncs[reason] }

// active reports whether a key is in the copy and has not ended.
func (n *node) active(id string) bool {
	n.look(Keys)
	line, there := n.force[Keys].lines[id]
	return there && !decodeKey(line).Ended()
}

func TestStartAndFollow(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putKey(keyID(1), 0, keep)
		db.putUser("alice", 3, keep)
		n.puller.Start()
		wait()
		n.check(true)
		db.putKey(keyID(1), 0, revoke)
		db.revokeToken("t", 0)
		wait() // no hint: it polls
		n.check(true)
		s := n.puller.Status()
		if !s.Up || s.Applied != db.last() || s.Resyncs[ReasonStart] != 1 || n.link.shots != 1 {
			t.Errorf("%+v, %d snapshots", s, n.link.shots)
		}
		if last := n.link.reports[len(n.link.reports)-1]; last.Name != "node" || last.Applied != db.last() {
			t.Errorf("reported %+v", last)
		}
		n.crash(true, rand.New(rand.NewPCG(1, 1)))
		wait()
		n.check(true)
		if n.link.shots != 1 {
			t.Errorf("%d snapshots after a restart, want the first alone", n.link.shots)
		}
		must(t, n.puller.Close())
	})
}

// TestResyncReasons: what the copies cannot continue, they begin again.
func TestResyncReasons(t *testing.T) {
	for _, c := range []struct {
		reason Reason
		name   string
		change func(db *database, n *node)
	}{
		{ReasonGap, "cut", func(db *database, _ *node) {
			db.putKey(keyID(3), 0, keep)
			db.putKey(keyID(4), 0, keep)
			db.cutTo(db.last())
		}},
		{ReasonHistory, "restored and caught up", func(db *database, _ *node) {
			db.lines = db.lines[:1]
			delete(db.records[Keys], keyID(2))
			db.putKey(keyID(5), 0, keep)
			db.putKey(keyID(6), 0, keep)
		}},
		{ReasonHistory, "restored", func(db *database, _ *node) {
			db.lines = db.lines[:1]
			delete(db.records[Keys], keyID(2))
		}},
		{ReasonHistory, "another database", func(db *database, _ *node) { db.identity = "other" }},
		{ReasonSchema, "another version", func(_ *database, n *node) {
			for _, kind := range allKinds {
				file := n.disk.Files[pathOf(kind)+progressSuffix]
				file.Data = bytes.Replace(file.Data, []byte(`"version":1`), []byte(`"version":0`), 1)
			}
		}},
		{ReasonStart, "progress lost", func(_ *database, n *node) { delete(n.disk.Files, pathOf(Keys)+progressSuffix) }},
		{ReasonStart, "copy lost", func(_ *database, n *node) { delete(n.disk.Files, pathOf(Users)) }},
		{ReasonStart, "copy replaced", func(_ *database, n *node) {
			file := n.disk.Files[pathOf(Keys)]
			file.Data = bytes.Replace(file.Data, []byte("alice"), []byte("mally"), 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, db *database, n *node) {
				db.putKey(keyID(1), 0, keep)
				db.putKey(keyID(2), 0, keep)
				n.puller.Start()
				wait()
				must(t, n.puller.Close())
				c.change(db, n)
				n.boot(n.disk)
				n.puller.Start()
				wait()
				if n.resyncs(c.reason) != 1 {
					t.Errorf("resyncs %v, want one of %s", n.puller.Status().Resyncs, c.reason)
				}
				n.check(true)
				must(t, n.puller.Close())
			})
		})
	}
}

// TestEndedStaysEnded: a restored database does not bring back what the replica has seen
// ended, until that is accepted; keys made after the dump end.
func TestEndedStaysEnded(t *testing.T) {
	for _, how := range []string{"epoch", "call"} {
		t.Run(how, func(t *testing.T) { simulate(t, func(t *testing.T, db *database, n *node) { restored(t, db, n, how) }) })
	}
}

func restored(t *testing.T, db *database, n *node, how string) {
	revoked, kept, late := keyID(1), keyID(2), keyID(3)
	db.putKey(revoked, 0, keep)
	db.putKey(kept, 0, keep)
	n.puller.Start()
	wait()
	dump := db.dump()
	db.putKey(revoked, 0, revoke)
	db.putKey(late, 0, keep)
	db.revokeToken("t", 0)
	wait()
	db.restore(dump)
	wait()
	if n.active(revoked) || !n.active(kept) || n.active(late) || len(n.force[Revocations].lines) > 1 {
		t.Error("after the restore a revoked key is active, or one that is not in the database")
	}
	db.putKey(revoked, 0, describe) // by a writer who sees it active
	wait()
	n.crash(false, rand.New(rand.NewPCG(1, 1)))
	wait()
	db.putKey(revoked, 0, describe)
	wait()
	n.check(false)
	n.look(Revocations)
	if s := n.puller.Status(); n.active(revoked) || len(n.force[Revocations].lines) != 1 || s.Held != 2 || s.Resyncs[ReasonHistory] != 0 {
		t.Errorf("a revocation was taken back: %+v", s)
	}
	n.forget()
	if how == "call" {
		n.puller.AcceptRestore()
	} else {
		db.acceptRestore()
	}
	wait()
	n.check(true)
	if s := n.puller.Status(); !n.active(revoked) || s.Held != 0 {
		t.Errorf("the restore was accepted: %+v", s)
	}
	must(t, n.puller.Close())
}

// TestCrashAtEachCall: wherever the process dies, no line is missing in the end, and none
// is appended once more after a later one.
func TestCrashAtEachCall(t *testing.T) {
	for left := 0; ; left++ {
		cut := false
		simulate(t, func(t *testing.T, db *database, n *node) {
			rnd := rand.New(rand.NewPCG(uint64(left), 1))
			db.putUser("alice", 0, keep)
			n.puller.Start()
			wait()
			n.disk.FailAfter(left)
			db.putUser("alice", 0, disable)
			db.putKey(keyID(1), 0, keep)
			db.putUser("alice", 0, enable)
			db.putUser("bob", 0, keep)
			wait()
			cut = n.disk.Cut()
			n.crash(left%2 == 0, rnd)
			wait()
			n.check(true)
			lines, _ := n.linesOf(Users)
			if s := n.puller.Status(); len(lines) != 4 || s.Resyncs[ReasonStart] > 0 {
				t.Errorf("cut after %d calls: %d lines of users, want 4; resyncs %v:\n%s", left, len(lines), s.Resyncs, bytes.Join(lines, []byte("\n")))
			}
			must(t, n.puller.Close())
		})
		if t.Failed() || !cut {
			break
		}
	}
}

// TestEndedBeforeExchanged: while a snapshot is put in place copy by copy, no key is
// active beside a later change that had ended before it.
func TestEndedBeforeExchanged(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putKey(keyID(1), 0, keep)
		n.puller.Start()
		wait()
		n.link.set(func(l *link) { l.down = true })
		db.putKey(keyID(1), 0, revoke)
		db.putUser("bob", 0, keep)
		db.cutTo(db.last())
		looked := n.disk.Changed
		n.disk.Changed = func(path string) {
			looked(path)
			if _, there := n.force[Users].lines["bob"]; there && n.active(keyID(1)) {
				t.Error("bob is in force, and a key is active that was revoked before")
			}
		}
		n.link.set(func(l *link) { l.down = false })
		wait()
		if n.check(true); n.resyncs(ReasonGap) != 1 {
			t.Error("no resync")
		}
		must(t, n.puller.Close())
	})
}

// TestStale: a silent source makes the copies stale, also over a restart.
func TestStale(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		n.stale = 10 * time.Minute
		n.boot(n.disk)
		if !n.puller.Stale() {
			t.Error("a replica that never had contact is not stale")
		}
		n.puller.Start()
		wait()
		if n.puller.Stale() {
			t.Error("stale with a source that answers")
		}
		n.link.set(func(l *link) { l.silent = true })
		time.Sleep(8 * time.Minute)
		n.crash(true, rand.New(rand.NewPCG(1, 1)))
		if n.puller.Stale() || n.puller.Status().Up {
			t.Error("stale before its time, or up without an answer")
		}
		time.Sleep(3 * time.Minute)
		if !n.puller.Stale() {
			t.Error("not stale after eleven minutes of silence")
		}
		n.link.set(func(l *link) { l.silent = false })
		wait()
		if n.puller.Stale() || !n.puller.Status().Up {
			t.Error("stale although the source answers again")
		}
		must(t, n.puller.Close())
	})
}

// TestForeignFile: records that are nowhere else are not replaced.
func TestForeignFile(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		own := append(fileheader.Users().Journal().Line, "{}\n"...)
		n.disk.Files[pathOf(Users)] = &powercut.Inode{Data: own, Kept: own}
		n.puller.Start()
		wait()
		if got, _ := n.disk.Read(pathOf(Users)); !bytes.Equal(got, own) {
			t.Errorf("the file is\n%s", got)
		}
		if err := n.puller.Status().Err; !errors.Is(err, fileheader.ErrNoCopy) {
			t.Errorf("got %v", err)
		}
		must(t, n.puller.Close())
	})
}

// TestBusy: a source without a free snapshot is asked again after its wait.
func TestBusy(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		n.link.set(func(l *link) { l.busy = 30 * time.Second })
		n.puller.Start()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n.link.shots < 3 || n.link.shots > 9 {
			t.Errorf("asked %d times in two minutes", n.link.shots)
		}
		n.link.set(func(l *link) { l.busy = 0 })
		wait()
		n.check(true)
		must(t, n.puller.Close())
	})
}

// TestBackoff grows, has a bound, and differs.
func TestBackoff(t *testing.T) {
	for failures, longest := range map[int]time.Duration{0: minBackoff, 3: 8 * minBackoff, 100: maxBackoff} {
		seen := map[time.Duration]bool{}
		for range 20 {
			d := backoff(failures, errCut)
			if seen[d] = true; d < longest/2 || d > longest {
				t.Errorf("%d failures: %v, want %v to %v", failures, d, longest/2, longest)
			}
		}
		if len(seen) < 2 {
			t.Errorf("%d failures: always the same wait", failures)
		}
	}
}

// TestChangeEndsBackoff: a change that this process has made in a source that answers again
// does not wait for the replica's next attempt. What is busy is not asked sooner.
func TestChangeEndsBackoff(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		db.putKey(keyID(1), 0, keep)
		n.puller.Start()
		wait()
		n.link.set(func(l *link) { l.down = true })
		wait() // the attempts are rare by now
		n.link.set(func(l *link) { l.down = false })
		db.putKey(keyID(1), 0, revoke)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		must(t, n.puller.Await(ctx, db.last()))

		n.link.set(func(l *link) { l.busy = 30 * time.Second })
		db.putKey(keyID(2), 0, keep)
		db.putKey(keyID(3), 0, keep)
		db.cutTo(db.last())
		wait()
		asked := n.link.shots
		for range 10 {
			_ = n.puller.Await(ctx, db.last())
			synctest.Wait()
		}
		if n.link.shots > asked+1 {
			t.Errorf("a busy source was asked %d times at once", n.link.shots-asked)
		}
		must(t, n.puller.Close())
	})
}

// TestReportsThatHang: a source that takes no report delays changes by little.
func TestReportsThatHang(t *testing.T) {
	simulate(t, func(t *testing.T, db *database, n *node) {
		n.link.set(func(l *link) { l.unreported = true })
		n.puller.Start()
		wait()
		for i := range 10 {
			db.putKey(keyID(i), 0, keep)
			time.Sleep(pollEvery + 2500*time.Millisecond)
			synctest.Wait()
			n.check(true)
		}
		must(t, n.puller.Close())
	})
}

// TestOneProcessCopies: a second process waits, and learns of the contact of the first.
func TestOneProcessCopies(t *testing.T) {
	dir := t.TempDir()
	db := newDatabase()
	make := func() (*Puller, *link) {
		l := newLink(db)
		p, err := New(Config{Source: l, Hasher: testHasher(), Files: []File{{Keys, dir + "/keys.jsonl"}}, FS: filesystem.OS()})
		must(t, err)
		p.Start()
		return p, l
	}
	first, _ := make()
	for !first.Status().Up {
		time.Sleep(time.Millisecond)
	}
	second, l := make()
	if second.Status().Contact.IsZero() {
		t.Error("the second process knows no contact")
	}
	must(t, first.Close())
	for !second.Status().Up {
		time.Sleep(time.Millisecond)
	}
	if l.shots > 0 {
		t.Error("the second process began again")
	}
	must(t, second.Close())
}
