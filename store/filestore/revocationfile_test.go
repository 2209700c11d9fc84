package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

const revocationsHead = `{"keyward":"revocations","version":1}` + "\n"

// revoking is a revocations file, its writer and a server's view of it.
type revoking struct {
	path     string
	file     *changedRevocations
	tokens   *keyindex.Revocations
	follower store.Follower
	seen     *seen
}

func followRevocations(t *testing.T, prepare func(path string)) *revoking {
	t.Helper()
	r := &revoking{path: filepath.Join(t.TempDir(), "revocations.jsonl"), tokens: keyindex.NewRevocations(), seen: &seen{}}
	r.file = newRevocations(RevocationFileConfig{Path: r.path}, nil)
	if prepare != nil {
		prepare(r.path)
	}
	var err error
	r.follower, err = RevocationFeed{journal.FollowConfig{
		Path: r.path, MissingOK: true, Every: time.Hour, Settle: 10 * time.Millisecond, Observer: r.seen,
	}}.Follow(r.tokens)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.follower.Close() })
	return r
}

// TestRevocationsAreFollowed: from the very first, which makes the file, each is in force within 50 ms.
func TestRevocationsAreFollowed(t *testing.T) {
	r := followRevocations(t, nil)
	if err := r.tokens.Ready(); err != nil {
		t.Fatalf("without a file there are revocations: %v", err)
	}
	now := time.Now()
	issued := now.Add(-time.Minute)
	// On a busy machine some are late; most are not, or the test's own luck would be a rule.
	var took []time.Duration
	inForce := func(what string, holds func() bool) { took = append(took, within(t, 10*time.Second, what, holds)) }
	for i := range 20 {
		id, subject := fmt.Sprint("t", i), fmt.Sprint("s", i)
		if r.tokens.Revoked(keyindex.Token{ID: id, Subject: subject, IssuedAt: issued}) {
			t.Fatal("revoked before its time")
		}
		changes := r.tokens.Changes()
		if got, err := r.file.RevokeToken(context.Background(), id); err != nil || got.TokenID != id || got.At.IsZero() {
			t.Fatal(got, err)
		}
		inForce("a jti", func() bool { return r.tokens.Revoked(keyindex.Token{ID: id, IssuedAt: now}) })
		inForce("another number", func() bool { return r.tokens.Changes() != changes })
		changes = r.tokens.Changes()
		if _, err := r.file.RevokeSubject(context.Background(), subject, now); err != nil {
			t.Fatal(err)
		}
		inForce("a subject", func() bool { return r.tokens.Revoked(keyindex.Token{Subject: subject, IssuedAt: issued}) })
		inForce("another number", func() bool { return r.tokens.Changes() != changes })
	}
	if _, err := r.file.RevokeIssuedBefore(context.Background(), now); err != nil {
		t.Fatal(err)
	}
	inForce("everyone", func() bool { return r.tokens.Revoked(keyindex.Token{IssuedAt: issued}) })
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("in force after %v, in the middle of %d", median, len(took))
	}
	if r.tokens.Revoked(keyindex.Token{Subject: "s0", IssuedAt: now}) {
		t.Error("a token of now is revoked too")
	}
	r.seen.mu.Lock()
	defer r.seen.mu.Unlock()
	if r.seen.revoked < 39 || r.seen.lag <= 0 || r.seen.bad+r.seen.failed > 0 { // the first may be read with its file
		t.Errorf("the observer received %+v", r.seen)
	}
}

func TestRevocationsAtStart(t *testing.T) {
	good := `{"jti":"t","at":"2026-01-01T00:00:00Z"}` + "\n"
	for name, c := range map[string]struct {
		text           string
		ready, revoked bool
	}{
		"empty":          {"", true, false},
		"header alone":   {revocationsHead, true, false},
		"a token":        {revocationsHead + good, true, true},
		"torn last line": {revocationsHead + good + good[:20], true, true},
		"bad line":       {revocationsHead + "{}\n" + good, false, true},
		"a users file":   {`{"keyward":"users","version":1}` + "\n", false, true},
		"newer version":  {`{"keyward":"revocations","version":2}` + "\n", false, true},
		"another file":   {"hello\n", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := followRevocations(t, func(path string) {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			if err := r.tokens.Ready(); (err == nil) != c.ready {
				t.Errorf("Ready says %v", err)
			}
			if got := r.tokens.Revoked(keyindex.Token{ID: "t", IssuedAt: time.Now()}); got != c.revoked {
				t.Errorf("revoked: %v", got)
			}
		})
	}
}

// TestBadRevocationsFileLeavesLastGoodSet: nothing done to the file while running takes a revocation back.
func TestBadRevocationsFileLeavesLastGoodSet(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("hello\n"), 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := followRevocations(t, func(path string) {
				if _, err := newRevocations(RevocationFileConfig{Path: path}, nil).RevokeToken(context.Background(), "t"); err != nil {
					t.Fatal(err)
				}
			})
			if err := spoil(r.path); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "an error told", func() bool { _, failed, _ := r.seen.get(); return failed > 0 })
			if !r.tokens.Revoked(keyindex.Token{ID: "t", IssuedAt: time.Now()}) || r.tokens.Ready() != nil {
				t.Error("the last good set is not in force")
			}
			changes := r.tokens.Changes()
			text := revocationsHead + `{"jti":"other","at":"2026-01-01T00:00:00Z"}` + "\n"
			if err := errors.Join(os.WriteFile(r.path+".new", []byte(text), 0o600), os.Rename(r.path+".new", r.path)); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "healed", func() bool { return r.tokens.Revoked(keyindex.Token{ID: "other", IssuedAt: time.Now()}) })
			within(t, time.Second, "another number", func() bool { return r.tokens.Changes() != changes })
			if r.tokens.Revoked(keyindex.Token{ID: "t", IssuedAt: time.Now()}) {
				t.Error("what the new file does not say is still in force")
			}
		})
	}
}

func TestRevocationsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revocations.jsonl")
	file := newRevocations(RevocationFileConfig{Path: path}, nil)
	now := time.Now()
	for name, do := range map[string]func() (store.Revocation, error){
		"empty id": func() (store.Revocation, error) { return file.RevokeToken(context.Background(), "") },
		"long id": func() (store.Revocation, error) {
			return file.RevokeToken(context.Background(), strings.Repeat("x", 256))
		},
		"id of two lines": func() (store.Revocation, error) { return file.RevokeToken(context.Background(), "a\nb") },
		"no UTF-8":        func() (store.Revocation, error) { return file.RevokeToken(context.Background(), "\xff") },
		"id with a space": func() (store.Revocation, error) { return file.RevokeToken(context.Background(), "a ") },
		"hidden subject":  func() (store.Revocation, error) { return file.RevokeSubject(context.Background(), "ali\u200bce", now) },
		"marked subject":  func() (store.Revocation, error) { return file.RevokeSubject(context.Background(), "\ufeffalice", now) },
		"subject, spaced": func() (store.Revocation, error) { return file.RevokeSubject(context.Background(), " alice", now) },
		"empty subject":   func() (store.Revocation, error) { return file.RevokeSubject(context.Background(), "", now) },
		"subject, no time": func() (store.Revocation, error) {
			return file.RevokeSubject(context.Background(), "alice", time.Time{})
		},
		"all, no time": func() (store.Revocation, error) { return file.RevokeIssuedBefore(context.Background(), time.Time{}) },
	} {
		if _, err := do(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused revocation made the file: %v", err)
	}
	if _, err := file.RevokeSubject(context.Background(), "می\u200cخواهم", now); err != nil {
		t.Errorf("a subject with a joiner, as tokens may have: %v", err)
	}
	users := filepath.Join(t.TempDir(), "users.jsonl")
	if _, err := newUsers(UserFileConfig{Path: users}, nil).Set(context.Background(), "alice", "", records.UserPatch{}); err != nil {
		t.Fatal(err)
	}
	if _, err := newRevocations(RevocationFileConfig{Path: users}, nil).RevokeToken(context.Background(), "t"); !errors.Is(err, journal.ErrWrongFile) {
		t.Errorf("written to a users file: %v", err)
	}
}

// TestRevocationsOnAFailingDisk: a revocation that was acknowledged is there, one that was not leaves no trace.
func TestRevocationsOnAFailingDisk(t *testing.T) {
	on := func(files filesystem.FS) *changedRevocations {
		return newRevocations(RevocationFileConfig{Path: memPath, FS: files}, func() time.Time { return startOfTime })
	}
	revoked := func(files *memFS, jti string) bool {
		tokens := keyindex.NewRevocations()
		cfg := unwatched(memPath, files)
		cfg.MissingOK = true
		readOnce(t, RevocationFeed{cfg}, tokens)
		if err := tokens.Ready(); err != nil {
			t.Fatal(err)
		}
		return tokens.Revoked(keyindex.Token{ID: jti, IssuedAt: startOfTime})
	}
	initial := newMemFS()
	if _, err := on(initial).RevokeToken(context.Background(), "first"); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, fault := range faults {
		for n := 1; n <= 24; n++ {
			files := initial.clone()
			files.failAt, files.fault, files.short = n, fault.err, fault.short
			_, err := on(files).RevokeToken(context.Background(), "second")
			files.failAt = 0
			if err != nil {
				failed++
			}
			if !revoked(files, "first") || revoked(files, "second") != (err == nil) {
				t.Errorf("%s at call %d: the command said %v", fault.name, n, err)
			}
			if _, err := on(files).RevokeToken(context.Background(), "third"); err != nil || !revoked(files, "third") {
				t.Errorf("%s at call %d, and the next command: %v", fault.name, n, err)
			}
		}
	}
	if failed < 5*len(faults) {
		t.Errorf("only %d failing calls failed the command", failed)
	}
}

// TestLostRevocationsAndALockThatIsNotToBeRead: where the lock file may not be
// read, which remembers whether there were revocations, a missing file is not one without.
func TestLostRevocationsAndALockThatIsNotToBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revocations.jsonl")
	if _, err := newRevocations(RevocationFileConfig{Path: path}, nil).RevokeToken(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	files, tokens := &failingFS{FS: filesystem.OS(), err: os.ErrPermission}, keyindex.NewRevocations()
	follower, err := RevocationFeed{journal.FollowConfig{Path: path, FS: files, MissingOK: true}}.Follow(tokens)
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	if err := tokens.Ready(); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}
