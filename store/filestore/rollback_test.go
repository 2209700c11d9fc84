package filestore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/syncbuffer"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/journal"
)

func (s *seen) rollbacks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rolledBack
}

// reload replaces the followed file and waits until that is in force.
func (f *followed) reload(content []byte) {
	f.t.Helper()
	before := f.commits()
	f.replace(content)
	within(f.t, 10*time.Second, "the replacement is read", func() bool { return f.commits() != before })
}

// TestKeyFileRollback: which replacements of a key file undo what is in force.
func TestKeyFileRollback(t *testing.T) {
	head := []byte(`{"keyward":"keys","version":1,"hash":"sha256"}` + "\n")
	for name, c := range map[string]struct {
		change   func(f *followed, first, second store.KeyRecord) error // from the old content to the new
		content  func(old, now []byte) []byte
		rollback bool
	}{
		"nothing changed": {
			content: func(_, now []byte) []byte { return now },
		},
		"compacted": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, err := f.journal.Delete(context.Background(), first.ID, "")
				_, err2 := f.journal.Compact(context.Background())
				return errors.Join(err, err2)
			},
			content: func(_, now []byte) []byte { return now },
		},
		"a key left out": {
			content: func(_, now []byte) []byte { return now[:bytes.LastIndexByte(now[:len(now)-1], '\n')+1] },
		},
		"no key left": {content: func(_, _ []byte) []byte { return head }, rollback: true},
		"all others":  {content: func(_, _ []byte) []byte { return append(bytes.Clone(head), goodKey+"\n"...) }, rollback: true},
		"a revoked key": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, err := f.journal.Revoke(context.Background(), first.ID, "")
				return err
			},
			content:  func(old, _ []byte) []byte { return old },
			rollback: true,
		},
		"a deleted key": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, err := f.journal.Delete(context.Background(), first.ID, "")
				return err
			},
			content:  func(old, _ []byte) []byte { return old },
			rollback: true,
		},
		"the secret of a revoked key under another id": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, err := f.journal.Revoke(context.Background(), first.ID, "")
				return err
			},
			content: func(old, _ []byte) []byte {
				lines := bytes.SplitAfter(old, []byte("\n"))
				lines[1] = bytes.Replace(lines[1], []byte(`"k_`), []byte(`"k_`), 1)
				id := bytes.Index(lines[1], []byte("k_"))
				copy(lines[1][id:], "k_zzzzzzzzzzzz")
				return bytes.Join(lines, nil)
			},
			rollback: true,
		},
		"a secret that was rotated away": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, _, err := f.journal.Rotate(context.Background(), first.ID, "", 0)
				return err
			},
			content:  func(old, _ []byte) []byte { return old },
			rollback: true,
		},
		"a secret in its grace": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, _, err := f.journal.Rotate(context.Background(), first.ID, "", time.Hour)
				return err
			},
			content: func(old, _ []byte) []byte { return old },
		},
		"a revoked key left out": {
			change: func(f *followed, first, _ store.KeyRecord) error {
				_, err := f.journal.Revoke(context.Background(), first.ID, "")
				return err
			},
			content: func(old, _ []byte) []byte {
				lines := bytes.SplitAfter(old, []byte("\n"))
				return bytes.Join(append(lines[:1:1], lines[2:]...), nil)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, first := prepare(t)
			second := f.create("second")
			f.follow(nil)
			old := f.read()
			if c.change != nil {
				if err := c.change(f, first, second); err != nil {
					t.Fatal(err)
				}
				third := f.create("third")
				within(t, 10*time.Second, "the change is in force", func() bool { return f.state(third) == "active" })
			}
			f.reload(c.content(old, f.read()))
			if got := f.seen.rollbacks(); (got == 1) != c.rollback || got > 1 {
				t.Errorf("%d rollbacks", got)
			}
			if told := strings.Contains(f.log.String(), "level=ERROR"); told != c.rollback {
				t.Errorf("logged: %s", f.log.String())
			}
		})
	}
}

// TestUsersAndRevocationsRollback: which replacements undo what is in force.
func TestUsersAndRevocationsRollback(t *testing.T) {
	const usersHead = `{"keyward":"users","version":1}` + "\n"
	alice := `{"name":"alice","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}` + "\n"
	bob := strings.ReplaceAll(alice, "alice", "bob")
	deleted := strings.Replace(alice, `"at"`, `"deleted":"2026-01-01T00:00:00Z","at"`, 1)
	again := strings.Replace(alice, `"at"`, `"valid_since":"2026-01-01T00:00:00Z","at"`, 1)
	revocation := func(members string) string { return `{` + members + `,"at":"2026-01-01T00:00:00Z"}` + "\n" }
	one, two := revocation(`"jti":"one"`), revocation(`"jti":"two"`)
	early := revocation(`"subject":"s","issued_before":"2026-01-01T00:00:00Z"`)
	late := revocation(`"subject":"s","issued_before":"2026-02-01T00:00:00Z"`)
	all := revocation(`"issued_before":"2026-02-01T00:00:00Z"`)
	for name, c := range map[string]struct {
		users    bool // else revocations
		old, now string
		rollback bool
	}{
		"a user left out":             {users: true, old: alice + bob, now: bob},
		"no user left":                {users: true, old: alice + bob, now: "", rollback: true},
		"all other users":             {users: true, old: alice, now: bob, rollback: true},
		"only deleted users":          {users: true, old: alice + deleted, now: bob},
		"a user made again":           {users: true, old: deleted, now: again},
		"a deletion forgotten":        {users: true, old: deleted + bob, now: alice + bob, rollback: true},
		"an end forgotten":            {users: true, old: deleted + again + bob, now: alice + bob, rollback: true},
		"a deleted user left out":     {users: true, old: deleted + bob, now: bob},
		"the same revocations":        {old: one + late + all, now: all + late + one},
		"more revocations":            {old: one, now: two + one},
		"a token missing":             {old: one + two, now: one, rollback: true},
		"no revocation left":          {old: one, now: "", rollback: true},
		"a subject missing":           {old: one + late, now: one, rollback: true},
		"an earlier time":             {old: late, now: early, rollback: true},
		"a later time":                {old: early, now: late},
		"a subject, and then all":     {old: early, now: all},
		"the time for all is missing": {old: all, now: late, rollback: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &followed{t: t, path: filepath.Join(t.TempDir(), "file"), seen: &seen{}, log: &syncbuffer.Buffer{}}
			head := revocationsHead
			if c.users {
				head = usersHead
			}
			f.replace([]byte(head + c.old))
			if c.users {
				followInto(f, nil, keyindex.NewUsers(), func(cfg journal.FollowConfig) store.Feed[store.UserRecord] { return UserFeed{cfg} })
			} else {
				followInto(f, nil, keyindex.NewRevocations(), func(cfg journal.FollowConfig) store.Feed[store.Revocation] { return RevocationFeed{cfg} })
			}
			f.reload([]byte(head + c.now))
			if got := f.seen.rollbacks(); (got == 1) != c.rollback || got > 1 {
				t.Errorf("%d rollbacks: %s", got, f.log.String())
			}
		})
	}
}

// TestOverwrittenInPlace: the same size, written over the old content without
// truncating it, by cp or a program that edits in place.
func TestOverwrittenInPlace(t *testing.T) {
	for name, lines := range map[string]int{"small": 1, "large": 5000} {
		t.Run(name, func(t *testing.T) {
			f, first := prepare(t)
			for range lines {
				f.append(strings.Replace(goodKey, "k_0123456789ab", "k_aaaaaaaaaaaa", 1) + "\n")
			}
			f.follow(nil)
			if f.state(first) != "active" {
				t.Fatal(f.state(first))
			}
			text := f.read()
			at := bytes.Index(text, []byte(first.ID))
			overwrite(t, f.path, int64(at), "k_zzzzzzzzzzzz")
			within(t, 10*time.Second, "the overwritten record", func() bool { return f.state(first) == "another key" })
			r := f.create("next")
			within(t, 10*time.Second, "an append after that", func() bool { return f.state(r) == "active" })
		})
	}
}

// TestOverwrittenAndAppended: the file grew, and is not what was read either.
func TestOverwrittenAndAppended(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	text := bytes.Replace(f.read(), []byte(first.ID), []byte("k_zzzzzzzzzzzz"), 1)
	if err := os.WriteFile(f.path, append(text, goodKey+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "the overwritten record", func() bool { return f.state(first) == "another key" })
}

// TestManyAppendsAreNotRewrites: a look between an append's time and its
// content does not have the whole file read again.
func TestManyAppendsAreNotRewrites(t *testing.T) {
	f, _ := prepare(t)
	f.follow(nil)
	before := f.commits()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 200 {
				if _, _, err := f.journal.Create(context.Background(), store.KeyParams{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r := f.create("last")
	within(t, 10*time.Second, "the last append", func() bool { return f.state(r) == "active" })
	if f.commits() != before {
		t.Error("the file was read again as a whole")
	}
}

// TestTornTailCutOff: a file that became shorter by what was torn is read on
// from, not again.
func TestTornTailCutOff(t *testing.T) {
	f, _ := prepare(t)
	f.follow(nil)
	first := f.commits()
	f.append(goodKey[:30])
	f.follower.Reload()
	within(t, 10*time.Second, "the torn tail", func() bool { return f.commits() != first })
	second := f.commits()
	r := f.create("next") // cuts it off
	within(t, 10*time.Second, "the append", func() bool { return f.state(r) == "active" })
	if f.commits() != second {
		t.Error("the file was read again as a whole")
	}
}

// overwrite writes until the file's time shows it: some systems' clocks for
// that are coarse.
func overwrite(t *testing.T, path string, at int64, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "another time", func() bool {
		_, err := file.WriteAt([]byte(text), at)
		after, errStat := file.Stat()
		if err := errors.Join(err, errStat); err != nil {
			t.Fatal(err)
		}
		return !after.ModTime().Equal(before.ModTime())
	})
}

// BenchmarkUndone: what it adds to a reload of a million keys.
func BenchmarkUndone(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	writeKeys(b, path, 1_000_000)
	old, next := keyindex.NewKeys(), &kept{Keys: keyindex.NewKeys()}
	feed := KeyFeed{apikey.NewHasher(authz.Secret{}), unwatched(path, nil)}
	readOnce(b, feed, store.Sink[store.KeyRecord](old))
	readOnce(b, feed, store.Sink[store.KeyRecord](next))
	for b.Loop() {
		if err := old.Undone(next.generation, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

// kept keeps the generation that was put in force last.
type kept struct {
	*keyindex.Keys
	generation store.Generation[store.KeyRecord]
}

func (k *kept) Commit(next store.Generation[store.KeyRecord]) {
	k.generation = next
	k.Keys.Commit(next)
}
