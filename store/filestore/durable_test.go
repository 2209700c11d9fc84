package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/importer"
	"keyward/store/journal/filesystem"
)

const memPath = "/etc/keyward/keys.jsonl"

var startOfTime = time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)

// journalOn writes with the same random bytes and the same clock every time,
// so that two runs of the same commands come to the same file.
func journalOn(files filesystem.FS, seed uint64) *changedKeys {
	now := startOfTime
	return newKeysFrom(rand.NewChaCha8([32]byte{byte(seed)}), KeyFileConfig{
		Path: memPath, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen")), FS: files,
		Now: func() time.Time { now = now.Add(time.Second); return now },
	})
}

// commands are all that change a key file. Each is given the id of a key that is there.
var commands = []struct {
	name string
	run  func(j *changedKeys, id string) error
}{
	{"create", func(j *changedKeys, _ string) error {
		_, _, err := j.Create(context.Background(), store.KeyParams{Name: "new", Prefix: "kw_", Paths: []string{"/a"}})
		return err
	}},
	{"import", func(j *changedKeys, _ string) error {
		_, err := importInto(j, importer.KeyFormat{}, strings.NewReader("one\ntwo\nthree\n"), store.KeyParams{Name: "added"})
		return err
	}},
	{"rotate", func(j *changedKeys, id string) error {
		_, _, err := j.Rotate(context.Background(), id, "", 0)
		return err
	}},
	{"rotate with grace", func(j *changedKeys, id string) error {
		_, _, err := j.Rotate(context.Background(), id, "", time.Hour)
		return err
	}},
	{"revoke", func(j *changedKeys, id string) error { _, err := j.Revoke(context.Background(), id, ""); return err }},
	{"delete", func(j *changedKeys, id string) error { _, err := j.Delete(context.Background(), id, ""); return err }},
	{"compact", func(j *changedKeys, _ string) error { _, err := j.Compact(context.Background()); return err }},
}

// someKeys is a file system with a few keys, and the id of one of them.
func someKeys(t *testing.T) (*memFS, string) {
	t.Helper()
	files := newMemFS()
	j := journalOn(files, 1)
	r, _, err := j.Create(context.Background(), store.KeyParams{Name: "first", Prefix: "kw_"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := j.Create(context.Background(), store.KeyParams{Name: "other", Prefix: "kw_"}); err != nil {
			t.Fatal(err)
		}
	}
	return files, r.ID
}

// stateOf is what a reader of the file finds: every record, and the same by
// the server's reader, which must be ready.
func stateOf(t *testing.T, files *memFS) []store.KeyRecord {
	t.Helper()
	all, _, err := journalOn(files, 9).List(context.Background(), store.KeyFilter{}, store.Page{})
	if err != nil {
		t.Fatalf("the file does not parse: %v", err)
	}
	keys := keyindex.NewKeys()
	cfg := unwatched(memPath, files)
	cfg.MissingOK = true
	readOnce(t, KeyFeed{apikey.NewHasher(authz.NewSecret("a pepper of sixteen")), cfg}, keys)
	if err := keys.Ready(); err != nil {
		t.Fatalf("a server is not ready: %v", err)
	}
	for _, want := range all {
		got, err := keys.Find(want.Hash, startOfTime)
		if err != nil || got.ID != want.ID || (got.State == keyindex.Revoked) != want.Ended() {
			t.Fatalf("a server finds %s as %s (%v)", want.ID, got.ID, err)
		}
	}
	return all
}

func TestEveryCallFailsOnce(t *testing.T) {
	for _, fault := range faults {
		for _, command := range commands {
			t.Run(fault.name+"/"+command.name, func(t *testing.T) {
				initial, id := someKeys(t)
				old := stateOf(t, initial)
				clean := initial.clone()
				if err := command.run(journalOn(clean, 2), id); err != nil {
					t.Fatal(err)
				}
				calls := clean.calls
				now := stateOf(t, clean)
				if calls < 8 {
					t.Fatalf("only %d calls: are they counted?", calls)
				}
				failed := 0
				for n := 1; n <= calls; n++ {
					files := initial.clone()
					files.failAt, files.fault, files.short = n, fault.err, fault.short
					err := command.run(journalOn(files, 2), id)
					want := old
					if err == nil {
						want = now
					} else {
						failed++
						if !errors.Is(err, fault.err) {
							t.Errorf("call %d: %v hides the cause", n, err)
						}
					}
					files.failAt = 0
					if got := stateOf(t, files); !reflect.DeepEqual(got, want) {
						t.Errorf("call %d failed, the command said %v, and the file has %d records of which %d were there", n, err, len(got), len(old))
					}
					err = command.run(journalOn(files, 3), id)
					deleted := command.name == "delete" && errors.Is(err, store.ErrNotFound) // by the first run
					if err != nil && !refused(err) && !deleted {
						t.Errorf("call %d failed, and so did the next command: %v", n, err)
					}
				}
				if failed < 5 {
					t.Errorf("only %d of %d failing calls failed the command", failed, calls)
				}
			})
		}
	}
}

// A power cut after each step of a day's work: what had been acknowledged is
// there, of the command under way all or nothing, and work goes on.
func TestPowerCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	states, total := statesOfTheDay(t), 0
	for cut := 1; ; cut++ {
		for _, kind := range []bool{false, true, true, true} {
			files := newMemFS()
			files.cutAt = cut
			possible, done := workUntilCut(t, files, states)
			if done && !kind {
				total = files.calls
			}
			left := files.afterCut(kind, rnd)
			got := stateOf(t, left)
			ok := slices.ContainsFunc(possible, func(s []store.KeyRecord) bool { return reflect.DeepEqual(got, s) })
			if !ok {
				t.Fatalf("cut after call %d (kind %v): %d records, which are neither those acknowledged nor those of the command under way", cut, kind, len(got))
			}
			if _, _, err := journalOn(left, 7).Create(context.Background(), store.KeyParams{Name: "after"}); err != nil {
				t.Fatalf("cut after call %d (kind %v): no more work: %v", cut, kind, err)
			}
			if after := stateOf(t, left); len(after) != len(got)+1 {
				t.Fatalf("cut after call %d: %d records, then %d", cut, len(got), len(after))
			}
		}
		if total > 0 {
			break
		}
	}
	if total < 80 {
		t.Errorf("only %d calls in a day's work", total)
	}
}

// aDaysWork are the commands of a day's work, with the id of the key they are about.
func aDaysWork() (work []func(j *changedKeys, id string) error) {
	for round := range 2 {
		for _, command := range commands[:5+round*2] {
			work = append(work, command.run)
		}
	}
	return work
}

// workUntilCut does a day's work and returns the states that may be there
// after the cut: what the last acknowledged command left, and what the one
// under way would have. states are those before the first command and after each.
func workUntilCut(t *testing.T, files *memFS, states [][]store.KeyRecord) (possible [][]store.KeyRecord, done bool) {
	t.Helper()
	j, id := journalOn(files, 5), ""
	for i, run := range aDaysWork() {
		err := run(j, id)
		if errors.Is(err, errCut) {
			return states[i : i+2], false
		}
		if err != nil && !refused(err) {
			t.Fatal(err)
		}
		if files.cutAt < files.calls { // cut after the command was done, before it had tidied up
			return states[i+1 : i+2], false
		}
		id = states[1][0].ID
	}
	return states[len(states)-1:], true
}

// statesOfTheDay are what a day's work without a cut comes to, command by command.
func statesOfTheDay(t *testing.T) [][]store.KeyRecord {
	t.Helper()
	files := newMemFS()
	j, id := journalOn(files, 5), ""
	states := [][]store.KeyRecord{nil}
	for _, run := range aDaysWork() {
		if err := run(j, id); err != nil && !refused(err) {
			t.Fatal(err)
		}
		states = append(states, stateOf(t, files.clone()))
		id = states[1][0].ID
	}
	return states
}

// refused reports whether a command was understood and declined.
func refused(err error) bool {
	return errors.Is(err, store.ErrRevoked) || errors.Is(err, store.ErrDuplicate)
}

// What a writer that died left behind is cut off by the next one.
func TestTornTailIsCutOff(t *testing.T) {
	initial, id := someKeys(t)
	before := initial.entries[memPath].data
	old := stateOf(t, initial)
	batch := initial.clone()
	if _, err := importInto(journalOn(batch, 2), importer.KeyFormat{}, strings.NewReader("one\ntwo\nthree\n"), store.KeyParams{}); err != nil {
		t.Fatal(err)
	}
	added := batch.entries[memPath].data[len(before):]
	for n := range added {
		files := initial.clone()
		files.entries[memPath].data = append(slices.Clone(before), added[:n]...)
		if got := stateOf(t, files); !reflect.DeepEqual(got, old) {
			t.Fatalf("%d of %d bytes of a batch: a reader sees %d records", n, len(added), len(got))
		}
		if _, err := journalOn(files, 3).Revoke(context.Background(), id, ""); err != nil {
			t.Fatal(err)
		}
		data := files.entries[memPath].data
		if !bytes.HasPrefix(data, before) || bytes.Count(data[len(before):], []byte("\n")) != 1 {
			t.Fatalf("%d bytes of a batch were not cut off", n)
		}
		got := stateOf(t, files)
		if len(got) != len(old) || !got[0].Ended() {
			t.Fatalf("%d bytes of a batch: the revocation is lost", n)
		}
	}
}

// Appending reads and writes the same, however many keys there are.
func TestAppendingCostsTheSameInAnyFile(t *testing.T) {
	calls := map[int]int{}
	for _, n := range []int{10, 5000} {
		files := newMemFS()
		j := journalOn(files, 1)
		var in strings.Builder
		for i := range n {
			fmt.Fprintf(&in, "key-%d\n", i)
		}
		if _, err := importInto(j, importer.KeyFormat{}, strings.NewReader(in.String()), store.KeyParams{}); err != nil {
			t.Fatal(err)
		}
		before := files.calls
		if _, _, err := j.Create(context.Background(), store.KeyParams{}); err != nil {
			t.Fatal(err)
		}
		calls[n] = files.calls - before
	}
	if calls[10] != calls[5000] {
		t.Errorf("%d calls with 10 keys, %d with 5000", calls[10], calls[5000])
	}
}
