package state

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
)

// TestFilesArePrivate: no file beside the state file can be read by others, with
// whatever characters in the name.
func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%41&e=f+g;h'i")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keyward.db")
	db := openFileAt(t, path)
	if _, _, err := db.Codes.Issue(t.Context(), 0, PurposeSetup, "", "v1", time.Minute); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if got := fmt.Sprint(names); got != "[keyward.db keyward.db-shm keyward.db-wal keyward.db.lock]" {
		t.Errorf("files %s", got)
	}
}

// TestOpenRefuses: a file that is not a state file is refused and stays as it is.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		defect string
		make   func(t *testing.T, path string)
		want   error
	}{
		{"read by the group", func(t *testing.T, path string) {
			closeState(t, path)
			chmod(t, path, 0o640)
		}, ErrNotPrivate},
		{"lock written by all", func(t *testing.T, path string) {
			closeState(t, path)
			chmod(t, path+".lock", 0o602)
		}, ErrNotPrivate},
		{"symbolic link", func(t *testing.T, path string) {
			closeState(t, path+".target")
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		}, ErrWrongFile},
		{"directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, ErrWrongFile},
		{"text", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(`{"keyward":"keys","version":1}`+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrWrongFile},
		{"another application", func(t *testing.T, path string) { alter(t, path, "CREATE TABLE a (b)") }, ErrWrongFile},
		{"another application with a version", func(t *testing.T, path string) {
			alter(t, path, "CREATE TABLE a (b); PRAGMA user_version = 1")
		}, ErrWrongFile},
		{"another application's id", func(t *testing.T, path string) { alter(t, path, "PRAGMA application_id = 7") }, ErrWrongFile},
		{"no version", func(t *testing.T, path string) {
			closeState(t, path)
			alter(t, path, "PRAGMA user_version = 0")
		}, ErrWrongFile},
		{"newer", func(t *testing.T, path string) {
			closeState(t, path)
			alter(t, path, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)+1))
		}, ErrNewer},
	} {
		t.Run(c.defect, func(t *testing.T) {
			path := statePath(t)
			c.make(t, path)
			before, _ := os.ReadFile(path)
			db, err := Open(t.Context(), Config{Path: path})
			if db != nil || !errors.Is(err, c.want) {
				t.Errorf("opened with %v, want %v", err, c.want)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := Open(t.Context(), Config{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a path: %v", err)
	}
	if _, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "no", "keyward.db")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// closeState makes a state file that no process has open.
func closeState(t *testing.T, path string) {
	t.Helper()
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func alter(t *testing.T, path, statement string) {
	t.Helper()
	pool, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(statement)
	if err := errors.Join(err, pool.Close()); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o600)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAtOnce: a file that does not exist yet is opened many times at once.
func TestOpenAtOnce(t *testing.T) {
	for range 5 {
		path := statePath(t)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				db, err := Open(t.Context(), Config{Path: path})
				if err == nil {
					err = db.Close()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

// TestWaitForAnotherChange: a change waits while another handle changes the file,
// until the context ends, and reading does not wait.
func TestWaitForAnotherChange(t *testing.T) {
	path := statePath(t)
	first, second := openFileAt(t, path), openFileAt(t, path)
	code, _, err := first.Codes.Issue(t.Context(), 0, PurposeSetup, "", "v1", time.Minute)
	want(t, "issue", err, nil)
	tx, err := fileOf(first).synced.Begin()
	want(t, "begin", err, nil)
	for name, db := range map[string]*DB{"same handle": first, "other handle": second} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err := db.Codes.Consume(ctx, PurposeSetup, code)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > busyTimeout {
			t.Errorf("%s: %v after %v", name, err, time.Since(start))
		}
		_, err = db.Codes.Peek(t.Context(), PurposeSetup, code)
		want(t, name+": peek", err, nil)
	}
	first.writing <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = first.Codes.Consume(ctx, PurposeSetup, code)
	want(t, "beside another goroutine", err, context.DeadlineExceeded)
	<-first.writing
	consumed := make(chan error)
	go func() {
		_, err := second.Codes.Consume(t.Context(), PurposeSetup, code)
		consumed <- err
	}()
	want(t, "rollback", tx.Rollback(), nil)
	want(t, "consume afterwards", <-consumed, nil)
}

// TestConnections: a change is synced on the connection that is for that, and
// nothing can be changed on those that read.
func TestConnections(t *testing.T) {
	db := newFile(t).open(t, nil)
	for pool, want := range map[*sql.DB]string{fileOf(db).synced: "2 wal 0", fileOf(db).lazy: "1 wal 0", fileOf(db).reading: "1 wal 1"} {
		var synchronous, queryOnly int
		var mode string
		if err := pool.QueryRow(`SELECT synchronous, journal_mode, query_only
			FROM pragma_synchronous, pragma_journal_mode, pragma_query_only`).Scan(&synchronous, &mode, &queryOnly); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(synchronous, " ", mode, " ", queryOnly); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestSurvivesPowerCut: which changes are synced. Those that are not are made
// while no synced one can be.
func TestSurvivesPowerCut(t *testing.T) {
	c := newClock()
	db := newFile(t).open(t, c)
	ctx := t.Context()
	session, cookie := login(t, db, Login{User: "ada"})
	code, _, err := db.Codes.Issue(ctx, 0, PurposePassword, "ada", "v1", time.Hour)
	want(t, "issue", err, nil)
	var attempts []Attempt
	for _, key := range []string{"1", "2", "3"} {
		a, err := db.Idempotency.Begin(ctx, operation("ada", key))
		want(t, "begin", err, nil)
		attempts = append(attempts, a)
	}
	only, err := fileOf(db).synced.Conn(ctx)
	want(t, "connection", err, nil)
	c.advance(10 * time.Minute)
	for name, change := range map[string]struct {
		synced bool
		make   func(context.Context) error
	}{
		"a session is created": {true, func(ctx context.Context) error {
			_, _, err := db.Sessions.Create(ctx, Login{User: "ada", Method: LoginOIDC})
			return err
		}},
		"a session is used": {false, func(ctx context.Context) error { _, err := db.Sessions.Find(ctx, cookie); return err }},
		"a session ends":    {true, func(ctx context.Context) error { return db.Sessions.End(ctx, 0, "ada", session.ID) }},
		"all sessions end":  {true, func(ctx context.Context) error { _, err := db.Sessions.EndUser(ctx, "ada", ""); return err }},
		"a code is issued": {true, func(ctx context.Context) error {
			_, _, err := db.Codes.Issue(ctx, 0, PurposeSetup, "", "v1", time.Hour)
			return err
		}},
		"a code is consumed": {true, func(ctx context.Context) error { _, err := db.Codes.Consume(ctx, PurposePassword, code); return err }},
		"a code is canceled": {true, func(ctx context.Context) error { return db.Codes.Cancel(ctx, PurposePassword, "ada") }},
		"an operation begins": {true, func(ctx context.Context) error {
			_, err := db.Idempotency.Begin(ctx, operation("ada", "4"))
			return err
		}},
		"an attempt is finished":  {false, func(ctx context.Context) error { return db.Idempotency.Finish(ctx, attempts[0], []byte("{}")) }},
		"an attempt is abandoned": {false, func(ctx context.Context) error { return db.Idempotency.Abandon(ctx, attempts[1]) }},
		"an attempt is released":  {false, func(ctx context.Context) error { return db.Idempotency.Release(ctx, attempts[2]) }},
		"attempts are taken over": {true, func(ctx context.Context) error { _, err := db.Idempotency.Interrupted(ctx); return err }},
		"expired rows are gone":   {false, db.Sweep},
	} {
		wanted, limit := error(nil), busyTimeout
		if change.synced {
			wanted, limit = context.DeadlineExceeded, 20*time.Millisecond
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		want(t, name, change.make(ctx), wanted)
		cancel()
	}
	if listed, err := db.Sessions.List(ctx, "ada"); err != nil || len(listed) != 1 || listed[0].Seen != c.now() {
		t.Errorf("the use of a session is not written: %+v, %v", listed, err)
	}
	want(t, "close", only.Close(), nil)
}

// TestJunkIsNotLookedUp: what cannot be a cookie or a code causes no query.
func TestJunkIsNotLookedUp(t *testing.T) {
	db, err := Open(t.Context(), Config{Path: statePath(t)})
	want(t, "open", err, nil)
	want(t, "close", db.Close(), nil)
	for _, text := range []string{"", "x", strings.Repeat("x", 42), strings.Repeat("x", 44), strings.Repeat("x", 1<<20)} {
		junk := authz.NewSecret(text)
		_, err := db.Sessions.Find(t.Context(), junk)
		want(t, "session", err, ErrNotFound)
		_, err = db.Codes.Peek(t.Context(), PurposeSetup, junk)
		want(t, "peek", err, ErrNotFound)
		_, err = db.Codes.Consume(t.Context(), PurposeSetup, junk)
		want(t, "consume", err, ErrNotFound)
	}
}

// TestNoSecretIsStored: neither a cookie nor a code nor a refresh token stands in the file.
func TestNoSecretIsStored(t *testing.T) {
	path := statePath(t)
	db := openFileAt(t, path)
	_, cookie, err := db.Sessions.Create(t.Context(), Login{User: "ada", Method: LoginPassword})
	want(t, "create", err, nil)
	code, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
	want(t, "issue", err, nil)
	f := newFamily(t, db, newClock())
	next := f.next(f.token)
	for _, name := range []string{path, path + "-wal", path + ".lock"} {
		content, err := os.ReadFile(name)
		want(t, "read", err, nil)
		for _, secret := range []authz.Secret{cookie, code, f.token, next} {
			raw, err := tokenEncoding.DecodeString(secret.Reveal())
			want(t, "decode", err, nil)
			if bytes.Contains(content, []byte(secret.Reveal())) || bytes.Contains(content, raw) {
				t.Errorf("%s has a secret", name)
			}
		}
	}
}

// TestSweep removes what has expired, and nothing else.
func TestSweep(t *testing.T) { onEach(t, testSweep) }

func testSweep(t *testing.T, newPlace newPlace) {
	c := newClock()
	db := newPlace(t).open(t, c)
	for n := range sweepBatch + 1 {
		_, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, fmt.Sprint("user", n), "v1", time.Hour)
		want(t, "issue", err, nil)
	}
	_, _, err := db.Codes.Issue(t.Context(), 0, PurposeSetup, "", "v1", 48*time.Hour)
	want(t, "issue", err, nil)
	_, _, err = db.Sessions.Create(t.Context(), Login{User: "ada", Method: LoginPassword})
	want(t, "create", err, nil)
	a, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
	want(t, "begin", err, nil)
	want(t, "finish", db.Idempotency.Finish(t.Context(), a, []byte("{}")), nil)
	for _, step := range []struct {
		after                        time.Duration
		sessions, codes, idempotency int
	}{
		{0, 1, sweepBatch + 2, 1},
		{30*time.Minute - time.Millisecond, 1, sweepBatch + 2, 1},
		{time.Millisecond, 0, sweepBatch + 2, 1},
		{30 * time.Minute, 0, 1, 1},
		{23 * time.Hour, 0, 1, 0},
		{24 * time.Hour, 0, 0, 0},
	} {
		c.advance(step.after)
		want(t, "sweep", db.Sweep(t.Context()), nil)
		if s, o, i := rows(t, db, "state_session"), rows(t, db, "state_code"), rows(t, db, "state_idempotency"); s != step.sessions || o != step.codes || i != step.idempotency {
			t.Errorf("at %s: %d sessions, %d codes, %d keys; want %+v", c.now(), s, o, i, step)
		}
	}
}
