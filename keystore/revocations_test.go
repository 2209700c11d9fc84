package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/store/journal"
)

const revocationsHead = `{"keyward":"revocations","version":1}` + "\n"

func setOf(t *testing.T, lines ...string) *Revocations {
	t.Helper()
	v := NewRevocations()
	set := v.Begin()
	for _, line := range lines {
		if _, err := set.Apply([]byte(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	v.Commit(set)
	return v
}

// TestRevoked is the policy: which token is ended by which lines.
func TestRevoked(t *testing.T) {
	const at = `"at":"2026-01-01T00:00:00Z"}`
	var (
		token  = `{"jti":"t1",` + at
		alice2 = `{"subject":"alice","issued_before":"2026-02-01T00:00:00Z",` + at
		alice3 = `{"subject":"alice","issued_before":"2026-03-01T00:00:00Z",` + at
		cafe   = `{"subject":"caf\u00e9","issued_before":"2026-02-01T00:00:00Z",` + at
		cafe2  = `{"subject":"cafe\u0301","issued_before":"2026-02-01T00:00:00Z",` + at
		all    = `{"issued_before":"2026-02-01T00:00:00Z",` + at
	)
	february := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	before, after, late := february.Add(-1), february.Add(1), february.AddDate(1, 0, 0)
	for _, c := range []struct {
		name         string
		lines        []string
		jti, subject string
		issued       time.Time
		want         bool
	}{
		{"nothing revoked", nil, "t1", "alice", before, false},
		{"nothing revoked, no claims", nil, "", "", time.Time{}, false},
		{"the token", []string{token}, "t1", "bob", late, true},
		{"another token", []string{token}, "t2", "bob", before, false},
		{"the id in other case", []string{token}, "T1", "bob", before, false},
		{"a token without id", []string{token}, "", "t1", before, false},
		{"the subject, before", []string{alice2}, "t2", "alice", before, true},
		{"the subject, at that time", []string{alice2}, "t2", "alice", february, false},
		{"the subject, after", []string{alice2}, "t2", "alice", after, false},
		{"the subject, at no time", []string{alice2}, "t2", "alice", time.Time{}, true},
		{"another subject", []string{alice2}, "t2", "bob", before, false},
		{"another subject, at no time", []string{alice2}, "t2", "bob", time.Time{}, false},
		{"no subject", []string{alice2}, "t2", "", before, false},
		{"the subject with its accent apart", []string{cafe}, "", "cafe\u0301", before, true},
		{"the subject with its accent in the letter", []string{cafe2}, "", "caf\u00e9", before, true},
		{"the subject as the line has it", []string{cafe2}, "", "cafe\u0301", before, true},
		{"another subject than one with an accent", []string{cafe, cafe2}, "", "cafe", before, false},
		{"the token's id with its accent apart", []string{`{"jti":"\u00e9",` + at}, "e\u0301", "", late, true},
		{"a later time wins", []string{alice2, alice3}, "", "alice", after, true},
		{"in either order", []string{alice3, alice2}, "", "alice", after, true},
		{"everyone, before", []string{all}, "t2", "bob", before, true},
		{"everyone, no claims", []string{all}, "", "", time.Time{}, true},
		{"everyone, after", []string{all}, "t2", "bob", february, false},
		{"an earlier time takes nothing back", []string{`{"issued_before":"2026-03-01T00:00:00Z",` + at, all}, "", "bob", after, true},
		{"each for itself", []string{token, alice3, all}, "t1", "bob", late, true},
	} {
		if got := setOf(t, c.lines...).Revoked(c.jti, c.subject, c.issued); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if v := NewRevocations(); !v.Revoked("t", "s", late) || v.Ready() == nil {
		t.Error("lets a token through before anything is loaded")
	}
}

func TestRevocationLinesRefused(t *testing.T) {
	const at = `"at":"2026-01-01T00:00:00Z"`
	for name, line := range map[string]string{
		"nothing":           `{` + at + `}`,
		"no at":             `{"jti":"a"}`,
		"empty jti":         `{"jti":"",` + at + `}`,
		"empty subject":     `{"subject":"","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"no time":           `{"subject":"a",` + at + `}`,
		"jti and subject":   `{"jti":"a","subject":"a",` + at + `}`,
		"all three":         `{"jti":"a","subject":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"jti and time":      `{"jti":"a","issued_before":"2026-01-01T00:00:00Z",` + at + `}`,
		"local time":        `{"issued_before":"2026-01-01T00:00:00+01:00",` + at + `}`,
		"a number":          `{"issued_before":1767225600,` + at + `}`,
		"null":              `{"jti":null,` + at + `}`,
		"twice":             `{"jti":"a","jti":"b",` + at + `}`,
		"other case":        `{"JTI":"a",` + at + `}`,
		"unknown member":    `{"jti":"a","exp":1,` + at + `}`,
		"two objects":       `{"jti":"a",` + at + `}{}`,
		"control character": `{"jti":"a\n",` + at + `}`,
		"too long":          `{"jti":"` + strings.Repeat("a", 256) + `",` + at + `}`,
		"no UTF-8":          `{"jti":"` + "\xff" + `",` + at + `}`,
	} {
		var r Revocation
		var bad journal.LineError
		if err := r.read([]byte(line)); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// revoking is a revocations file, its writer and a server's view of it.
type revoking struct {
	path     string
	file     *RevocationFile
	tokens   *Revocations
	follower *journal.Follower
	seen     *seen
}

func followRevocations(t *testing.T, prepare func(path string)) *revoking {
	t.Helper()
	r := &revoking{path: filepath.Join(t.TempDir(), "revocations.jsonl"), tokens: NewRevocations(), seen: &seen{}}
	r.file = NewRevocationFile(RevocationFileConfig{Path: r.path})
	if prepare != nil {
		prepare(r.path)
	}
	var err error
	r.follower, err = journal.Follow(journal.FollowConfig{
		Path: r.path, Into: r.tokens, MissingOK: true, Every: time.Hour, Settle: 10 * time.Millisecond, Observer: r.seen,
	})
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
		t.Fatalf("no file is no revocations: %v", err)
	}
	now := time.Now()
	issued := now.Add(-time.Minute)
	// On a busy machine some are late; most are not, or the test's own luck would be a rule.
	var took []time.Duration
	inForce := func(what string, holds func() bool) { took = append(took, within(t, 10*time.Second, what, holds)) }
	for i := range 20 {
		id, subject := fmt.Sprint("t", i), fmt.Sprint("s", i)
		if r.tokens.Revoked(id, subject, issued) {
			t.Fatal("revoked before its time")
		}
		changes := r.tokens.Changes()
		if got, err := r.file.RevokeToken(id); err != nil || got.TokenID != id || got.At.IsZero() {
			t.Fatal(got, err)
		}
		inForce("a jti", func() bool { return r.tokens.Revoked(id, "", now) })
		inForce("another number", func() bool { return r.tokens.Changes() != changes })
		changes = r.tokens.Changes()
		if _, err := r.file.RevokeSubject(subject, now); err != nil {
			t.Fatal(err)
		}
		inForce("a subject", func() bool { return r.tokens.Revoked("", subject, issued) })
		inForce("another number", func() bool { return r.tokens.Changes() != changes })
	}
	if _, err := r.file.RevokeIssuedBefore(now); err != nil {
		t.Fatal(err)
	}
	inForce("everyone", func() bool { return r.tokens.Revoked("", "", issued) })
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("in force after %v, in the middle of %d", median, len(took))
	}
	if r.tokens.Revoked("", "s0", now) {
		t.Error("a token of now is revoked too")
	}
	r.seen.mu.Lock()
	defer r.seen.mu.Unlock()
	if r.seen.revoked < 39 || r.seen.lag <= 0 || r.seen.bad+r.seen.failed > 0 { // the first may be read with its file
		t.Errorf("the observer was told %+v", r.seen)
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
		"none of ours":   {"hello\n", false, true},
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
			if got := r.tokens.Revoked("t", "", time.Now()); got != c.revoked {
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
				if _, err := NewRevocationFile(RevocationFileConfig{Path: path}).RevokeToken("t"); err != nil {
					t.Fatal(err)
				}
			})
			if err := spoil(r.path); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "an error told", func() bool { _, failed, _ := r.seen.get(); return failed > 0 })
			if !r.tokens.Revoked("t", "", time.Now()) || r.tokens.Ready() != nil {
				t.Error("the last good set is not in force")
			}
			changes := r.tokens.Changes()
			text := revocationsHead + `{"jti":"other","at":"2026-01-01T00:00:00Z"}` + "\n"
			if err := errors.Join(os.WriteFile(r.path+".new", []byte(text), 0o600), os.Rename(r.path+".new", r.path)); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "healed", func() bool { return r.tokens.Revoked("other", "", time.Now()) })
			within(t, time.Second, "another number", func() bool { return r.tokens.Changes() != changes })
			if r.tokens.Revoked("t", "", time.Now()) {
				t.Error("what the new file does not say is still in force")
			}
		})
	}
}

func TestRevocationsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revocations.jsonl")
	file := NewRevocationFile(RevocationFileConfig{Path: path})
	now := time.Now()
	for name, do := range map[string]func() (Revocation, error){
		"empty id":         func() (Revocation, error) { return file.RevokeToken("") },
		"long id":          func() (Revocation, error) { return file.RevokeToken(strings.Repeat("x", 256)) },
		"id of two lines":  func() (Revocation, error) { return file.RevokeToken("a\nb") },
		"no UTF-8":         func() (Revocation, error) { return file.RevokeToken("\xff") },
		"id with a space":  func() (Revocation, error) { return file.RevokeToken("a ") },
		"hidden subject":   func() (Revocation, error) { return file.RevokeSubject("ali\u200bce", now) },
		"marked subject":   func() (Revocation, error) { return file.RevokeSubject("\ufeffalice", now) },
		"subject, spaced":  func() (Revocation, error) { return file.RevokeSubject(" alice", now) },
		"empty subject":    func() (Revocation, error) { return file.RevokeSubject("", now) },
		"subject, no time": func() (Revocation, error) { return file.RevokeSubject("alice", time.Time{}) },
		"all, no time":     func() (Revocation, error) { return file.RevokeIssuedBefore(time.Time{}) },
	} {
		if _, err := do(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused revocation made the file: %v", err)
	}
	if _, err := file.RevokeSubject("می\u200cخواهم", now); err != nil {
		t.Errorf("a subject with a joiner, as tokens may have: %v", err)
	}
	users := filepath.Join(t.TempDir(), "users.jsonl")
	if _, err := NewUserFile(UserFileConfig{Path: users}).SetUser("alice", UserPatch{}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewRevocationFile(RevocationFileConfig{Path: users}).RevokeToken("t"); !errors.Is(err, journal.ErrWrongFile) {
		t.Errorf("written to a users file: %v", err)
	}
}

// TestRevocationsOnAFailingDisk: a revocation that was acknowledged is there, one that was not leaves no trace.
func TestRevocationsOnAFailingDisk(t *testing.T) {
	on := func(files journal.FS) *RevocationFile {
		return NewRevocationFile(RevocationFileConfig{Path: memPath, FS: files, Now: func() time.Time { return startOfTime }})
	}
	revoked := func(files *memFS, jti string) bool {
		tokens := NewRevocations()
		readOnce(t, journal.FollowConfig{Path: memPath, Into: tokens, FS: files, MissingOK: true})
		if err := tokens.Ready(); err != nil {
			t.Fatal(err)
		}
		return tokens.Revoked(jti, "", startOfTime)
	}
	initial := newMemFS()
	if _, err := on(initial).RevokeToken("first"); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, fault := range faults {
		for n := 1; n <= 24; n++ {
			files := initial.clone()
			files.failAt, files.fault, files.short = n, fault.err, fault.short
			_, err := on(files).RevokeToken("second")
			files.failAt = 0
			if err != nil {
				failed++
			}
			if !revoked(files, "first") || revoked(files, "second") != (err == nil) {
				t.Errorf("%s at call %d: the command said %v", fault.name, n, err)
			}
			if _, err := on(files).RevokeToken("third"); err != nil || !revoked(files, "third") {
				t.Errorf("%s at call %d, and the next command: %v", fault.name, n, err)
			}
		}
	}
	if failed < 5*len(faults) {
		t.Errorf("only %d failing calls failed the command", failed)
	}
}

// FuzzRevocationLine: no line makes the reader panic, and what it reads can be
// written and is then read the same.
func FuzzRevocationLine(f *testing.F) {
	f.Add([]byte(`{"jti":"\u00e9","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"subject":"alice","issued_before":"2026-01-01T00:00:00.5Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"issued_before":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"jti":"a","subject":"","at":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var r Revocation
		if r.read(line) != nil {
			return
		}
		if r.TokenID == "" && r.IssuedBefore.IsZero() || r.TokenID != "" && (r.Subject != "" || !r.IssuedBefore.IsZero()) {
			t.Fatalf("read as %+v", r)
		}
		again, err := r.line()
		if err != nil {
			t.Fatal(err)
		}
		var second Revocation
		if err := second.read(again); err != nil || second != r {
			t.Fatalf("%+v\n%+v %v", r, second, err)
		}
	})
}

// TestLostRevocationsAndALockThatIsNotToBeRead: where the lock file may not be
// read, which remembers whether there were revocations, a missing file is not one without.
func TestLostRevocationsAndALockThatIsNotToBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revocations.jsonl")
	if _, err := NewRevocationFile(RevocationFileConfig{Path: path}).RevokeToken("one"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	files, tokens := &failingFS{FS: journal.OS(), err: os.ErrPermission}, NewRevocations()
	follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: tokens, FS: files, MissingOK: true})
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	if err := tokens.Ready(); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}
