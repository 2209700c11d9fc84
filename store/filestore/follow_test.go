package filestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/syncbuffer"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/importer"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
	"keyward/store/jsonline"
)

// followed is a key file, its writer, and a server's view of it.
type followed struct {
	t        *testing.T
	path     string
	journal  *changedKeys
	keys     *keyindex.Keys
	follower store.Follower
	commits  func() int64 // how often all of the file was read and put in force
	seen     *seen
	log      *syncbuffer.Buffer
}

// seen is what the observer received.
type seen struct {
	mu                       sync.Mutex
	ok, failed, bad, revoked int
	rolledBack               int
	lag                      time.Duration
}

func (s *seen) Reloaded(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed++
	} else {
		s.ok++
	}
}
func (s *seen) BadLine()                { s.mu.Lock(); s.bad++; s.mu.Unlock() }
func (s *seen) RolledBack()             { s.mu.Lock(); s.rolledBack++; s.mu.Unlock() }
func (s *seen) Succeeded(time.Time)     {}
func (s *seen) Revoked(d time.Duration) { s.mu.Lock(); s.revoked++; s.lag = d; s.mu.Unlock() }

func (s *seen) get() (ok, failed, bad int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ok, s.failed, s.bad
}

// prepare makes a file with one key, which is not followed yet.
func prepare(t *testing.T) (*followed, store.KeyRecord) {
	t.Helper()
	f := &followed{t: t, path: filepath.Join(t.TempDir(), "keys.jsonl"), seen: &seen{}, log: &syncbuffer.Buffer{}}
	f.journal = newKeys(KeyFileConfig{Path: f.path, Hasher: apikey.NewHasher(authz.Secret{})})
	return f, f.create("first")
}

func (f *followed) create(name string) store.KeyRecord {
	f.t.Helper()
	r, _, err := f.journal.Create(context.Background(), store.KeyParams{Name: name, Prefix: "kw_"})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// goodKey is the line of a key.
const goodKey = `{"id":"k_0123456789ab","format":"keyward","hash":"` +
	`00000000000000000000000000000000000000000000000000000000000000ff","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`

// counted counts the generations that a sink put in force.
type counted[R any] struct {
	store.Sink[R]
	commits atomic.Int64
}

func (c *counted[R]) Commit(next store.Generation[R]) {
	c.Sink.Commit(next)
	c.commits.Add(1)
}

// follow starts following the keys. Looking without news is put off for an hour:
// a test sees changes by their events, unless it asks for more.
func (f *followed) follow(change func(*journal.FollowConfig)) {
	f.t.Helper()
	f.keys = keyindex.NewKeys()
	followInto(f, change, f.keys, func(cfg journal.FollowConfig) store.Feed[store.KeyRecord] {
		return KeyFeed{apikey.NewHasher(authz.Secret{}), cfg}
	})
}

func followInto[R any](f *followed, change func(*journal.FollowConfig), into store.Sink[R], feed func(journal.FollowConfig) store.Feed[R]) {
	f.t.Helper()
	cfg := journal.FollowConfig{
		Path: f.path, Every: time.Hour, Settle: 10 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Observer: f.seen,
	}
	if change != nil {
		change(&cfg)
	}
	sink := &counted[R]{Sink: into}
	f.commits = sink.commits.Load
	var err error
	if f.follower, err = feed(cfg).Follow(sink); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = f.follower.Close() })
}

func (f *followed) state(r store.KeyRecord) string {
	key, err := f.keys.Find(r.Hash, time.Now())
	switch {
	case err != nil:
		return err.Error()
	case key.ID != r.ID:
		return "another key"
	case key.State == keyindex.Revoked:
		return "revoked"
	}
	return "active"
}

func (f *followed) read() []byte {
	f.t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// replace puts a file in place of the followed one, in one step.
func (f *followed) replace(text []byte) {
	f.t.Helper()
	temp := f.path + ".new"
	if err := errors.Join(os.WriteFile(temp, text, 0o600), os.Rename(temp, f.path)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *followed) append(text string) {
	f.t.Helper()
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		f.t.Fatal(err)
	}
}

// within polls until what is wanted holds, and returns how long it took.
func within(t *testing.T, d time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !holds() {
		if time.Since(start) > d {
			t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(100 * time.Microsecond)
	}
	return time.Since(start)
}

// pass lets some polls happen, so that a test can tell that they did nothing.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	until := time.Now().Add(d)
	within(t, 2*d+time.Second, "time passes", func() bool { return time.Now().After(until) })
}

// noWatcher is of a system that has no watch to give.
func noWatcher() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }

// unwatched reads a file once: no event reports its changes.
func unwatched(path string, files filesystem.FS) journal.FollowConfig {
	return journal.FollowConfig{Path: path, FS: files, NewWatcher: noWatcher}
}

// readOnce reads the feed into the sink, and does not follow it.
func readOnce[R any](t testing.TB, feed store.Feed[R], into store.Sink[R]) {
	t.Helper()
	follower, err := feed.Follow(into)
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutNews: where the system has no watch to give, a change is in force
// within two seconds all the same.
func TestWithoutNews(t *testing.T) {
	f, first := prepare(t)
	f.keys = keyindex.NewKeys()
	feed := KeyFeed{apikey.NewHasher(authz.Secret{}), journal.FollowConfig{Path: f.path, Every: time.Hour, Observer: f.seen, NewWatcher: noWatcher}}
	follower, err := feed.Follow(f.keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })
	if f.state(first) != "active" {
		t.Fatal(f.state(first))
	}
	if _, err := f.journal.Revoke(context.Background(), first.ID, ""); err != nil {
		t.Fatal(err)
	}
	within(t, 2*time.Second, "revoked", func() bool { return f.state(first) == "revoked" })
}

func TestAppendsAreSeen(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	if f.state(first) != "active" {
		t.Fatal(f.state(first))
	}
	var worst time.Duration
	for range 20 {
		r := f.create("next")
		worst = max(worst, within(t, 5*time.Second, "created", func() bool { return f.state(r) == "active" }))
		key, err := f.keys.Find(r.Hash, time.Now())
		if err != nil || !f.keys.IsCurrent(key.Revision) {
			t.Fatalf("just found and not current (%v)", err)
		}
		if _, err := f.journal.Revoke(context.Background(), r.ID, ""); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, within(t, 5*time.Second, "revoked", func() bool { return f.state(r) == "revoked" }))
		if f.keys.IsCurrent(key.Revision) {
			t.Fatal("revoked, and what was found before is still current")
		}
	}
	t.Logf("worst lag %v", worst)
	f.seen.mu.Lock()
	defer f.seen.mu.Unlock()
	if f.seen.revoked != 20 || f.seen.lag <= 0 || f.seen.failed+f.seen.bad > 0 {
		t.Errorf("the observer received %+v", f.seen)
	}
}

func TestImportIsSeen(t *testing.T) {
	f, _ := prepare(t)
	f.follow(nil)
	if f.keys.HasRawKeys() {
		t.Error("raw keys before the import")
	}
	var in strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&in, "imported-%d\n", i)
	}
	all, err := importInto(f.journal, importer.KeyFormat{}, strings.NewReader(in.String()), store.KeyParams{Name: "imported"})
	if err != nil || len(all) != 20_000 {
		t.Fatal(len(all), err)
	}
	last := all[len(all)-1]
	within(t, 5*time.Second, "import", func() bool { return f.state(last) == "active" })
	if !f.keys.HasRawKeys() {
		t.Error("no raw keys after the import")
	}
}

func TestCompactIsFollowed(t *testing.T) {
	f, first := prepare(t)
	second := f.create("second")
	f.follow(nil)
	if _, err := f.journal.Delete(context.Background(), second.ID, ""); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "deleted", func() bool { return f.state(second) == "revoked" })
	key, _ := f.keys.Find(first.Hash, time.Now())
	if gone, err := f.journal.Compact(context.Background()); err != nil || gone != 2 {
		t.Fatal(gone, err)
	}
	within(t, time.Second, "compacted", func() bool { return f.state(second) == keyindex.ErrUnknown.Error() })
	if f.state(first) != "active" || f.keys.IsCurrent(key.Revision) {
		t.Error("the new set is not in force")
	}
	r := f.create("third")
	within(t, time.Second, "an append to the new file", func() bool { return f.state(r) == "active" })
}

// At start: what is ready, and what heals.
func TestStart(t *testing.T) {
	head := `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n"
	for name, c := range map[string]struct {
		text      string
		missing   bool
		missingOK bool
		lock      bool // stays, and remembers that the file had content
		ready     bool
	}{
		"empty":            {text: "", ready: true},
		"emptied":          {text: "", lock: true},
		"header alone":     {text: head, ready: true},
		"a key":            {text: head + goodKey + "\n", ready: true},
		"torn last line":   {text: head + goodKey + "\n" + goodKey[:50], ready: true},
		"torn batch":       {text: head + `{"batch":2}` + "\n" + goodKey + "\n", ready: true},
		"bad line":         {text: head + "{}\n" + goodKey + "\n"},
		"not a key file":   {text: "hello\n"},
		"torn header":      {text: head[:20]},
		"users file":       {text: `{"keyward":"users","version":1}` + "\n"},
		"newer version":    {text: `{"keyward":"keys","version":2,"hash":"sha256"}` + "\n"},
		"missing":          {missing: true},
		"missing, allowed": {missing: true, missingOK: true, ready: true},
		"lost":             {missing: true, lock: true},
		"lost, allowed":    {missing: true, missingOK: true, lock: true},
	} {
		t.Run(name, func(t *testing.T) {
			f, first := prepare(t)
			good := f.read()
			if c.missing {
				if err := os.Remove(f.path); err != nil {
					t.Fatal(err)
				}
			} else {
				f.replace([]byte(c.text))
			}
			if !c.lock {
				if err := os.Remove(f.path + ".lock"); err != nil {
					t.Fatal(err)
				}
			}
			f.follow(func(cfg *journal.FollowConfig) { cfg.MissingOK = c.missingOK })
			if err := f.keys.Ready(); (err == nil) != c.ready {
				t.Fatalf("Ready says %v", err)
			}
			if _, err := f.keys.Find(first.Hash, time.Now()); c.ready != errors.Is(err, keyindex.ErrUnknown) || c.ready == errors.Is(err, keyindex.ErrNotLoaded) {
				t.Errorf("Find says %v", err)
			}
			f.replace(good)
			within(t, 2*time.Second, "healed", func() bool { return f.state(first) == "active" })
			r := f.create("next")
			within(t, time.Second, "an append after that", func() bool { return f.state(r) == "active" })
		})
	}
}

// While running, an invalid file leaves the last good set in force, is
// reported once, and is replaced by the next valid one.
func TestBadFileLeavesLastGoodSet(t *testing.T) {
	peppered := `{"keyward":"keys","version":1,"hash":"hmac-sha256","pepper":"01234567"}` + "\n"
	for name, spoil := range map[string]func(f *followed) error{
		"emptied":                  func(f *followed) error { return os.Truncate(f.path, 0) },
		"replaced by an empty one": func(f *followed) error { f.replace(nil); return nil },
		"removed":                  func(f *followed) error { return os.Remove(f.path) },
		"other format":             func(f *followed) error { f.replace([]byte("hello\nsecretcontent\n")); return nil },
		"other pepper":             func(f *followed) error { f.replace([]byte(peppered)); return nil },
		"a directory":              func(f *followed) error { return errors.Join(os.Remove(f.path), os.Mkdir(f.path, 0o700)) },
		"dangling link":            func(f *followed) error { return errors.Join(os.Remove(f.path), os.Symlink("nowhere", f.path)) },
		"link to itself":           func(f *followed) error { return errors.Join(os.Remove(f.path), os.Symlink(f.path, f.path)) },
		"torn header":              func(f *followed) error { return os.WriteFile(f.path, f.read()[:10], 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			f, first := prepare(t)
			f.follow(func(cfg *journal.FollowConfig) { cfg.Every = 20 * time.Millisecond })
			good := f.read()
			if err := spoil(f); err != nil {
				t.Fatal(err)
			}
			within(t, 2*time.Second, "an error told", func() bool { _, failed, _ := f.seen.get(); return failed > 0 })
			pass(t, 50*time.Millisecond) // damage in two steps may be reported twice
			_, told, _ := f.seen.get()
			pass(t, 100*time.Millisecond)
			if _, failed, _ := f.seen.get(); failed != told || failed > 2 {
				t.Errorf("told %d times, then %d", told, failed)
			}
			if f.state(first) != "active" || f.keys.Ready() != nil {
				t.Errorf("the last good set is not in force: %s", f.state(first))
			}
			if log := f.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, f.path) || strings.Contains(log, "secretcontent") {
				t.Errorf("logged: %s", log)
			}
			_ = os.Remove(f.path)
			f.replace(good)
			next := f.create("next")
			within(t, 2*time.Second, "healed", func() bool { return f.state(next) == "active" })
			if f.state(first) != "active" {
				t.Error(f.state(first))
			}
		})
	}
}

// failingFS cannot open files while it is set to fail: permissions do not
// stop root, who may be running this.
type failingFS struct {
	filesystem.FS
	mu  sync.Mutex
	err error
}

func (f *failingFS) set(err error) { f.mu.Lock(); f.err = err; f.mu.Unlock() }

func (f *failingFS) Open(path string) (filesystem.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return f.FS.Open(path)
}

func TestUnreadable(t *testing.T) {
	for _, atStart := range []bool{true, false} {
		f, first := prepare(t)
		files := &failingFS{FS: filesystem.OS()}
		if atStart {
			files.set(os.ErrPermission)
		}
		f.follow(func(cfg *journal.FollowConfig) { cfg.FS, cfg.Every = files, 20*time.Millisecond })
		if (f.keys.Ready() == nil) == atStart {
			t.Errorf("at start %v: Ready says %v", atStart, f.keys.Ready())
		}
		if !atStart {
			files.set(os.ErrPermission)
			f.replace(f.read())
			within(t, time.Second, "an error told", func() bool { _, failed, _ := f.seen.get(); return failed == 1 })
		}
		files.set(nil)
		within(t, time.Second, "healed", func() bool { return f.state(first) == "active" })
	}
}

// A whole bad line is counted and stepped over while running: it must not
// block a later revocation.
func TestBadLineIsSteppedOver(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	f.append("{\"id\":\"secretcontent\"}\n" + strings.Repeat("x", jsonline.MaxLine+5) + "\n" + `{"batch":0}` + "\n")
	if _, err := f.journal.Revoke(context.Background(), first.ID, ""); err != nil {
		t.Fatalf("bad lines are in the way of a revocation: %v", err)
	}
	if _, _, err := f.journal.List(context.Background(), store.KeyFilter{}, store.Page{}); err == nil || !strings.Contains(err.Error(), f.path+":3:") || strings.Contains(err.Error(), "secretcontent") {
		t.Errorf("List says %v", err)
	}
	if _, err := f.journal.Compact(context.Background()); err == nil {
		t.Error("compacting threw a line away that it could not read")
	}
	within(t, time.Second, "revoked", func() bool { return f.state(first) == "revoked" })
	if _, failed, bad := f.seen.get(); failed != 0 || bad != 3 {
		t.Errorf("%d errors, %d bad lines, want 0 and 3", failed, bad)
	}
	if log := f.log.String(); !strings.Contains(log, "line=3") || strings.Contains(log, "secretcontent") {
		t.Errorf("logged: %s", log)
	}
}

// Two keys with one hash would make a revocation of one of no effect.
func TestHashOfAnotherKeyIsABadLine(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	f.append(fmt.Sprintf(`{"id":"k_zzzzzzzzzzzz","format":"keyward","hash":"%x","created":"2026-01-01T00:00:00Z","at":"2026-01-02T00:00:00Z"}`+"\n", first.Hash[:]))
	within(t, time.Second, "a bad line", func() bool { _, _, bad := f.seen.get(); return bad == 1 })
	if f.state(first) != "active" {
		t.Error(f.state(first))
	}
}

// A write in progress is not read before its newline is there, nor a batch
// before its last line.
func TestTornAppendIsWaitedFor(t *testing.T) {
	f, _ := prepare(t)
	f.follow(nil)
	var r store.KeyRecord
	r.ID, r.Hash = "k_0123456789ab", apikey.Digest{31: 0xff}
	f.append(`{"batch":1}` + "\n" + goodKey[:40])
	f.follower.Reload()
	within(t, time.Second, "read again", func() bool { return strings.Contains(f.log.String(), "torn") })
	if f.state(r) != keyindex.ErrUnknown.Error() {
		t.Error(f.state(r))
	}
	f.append(goodKey[40:])
	f.append("\n")
	within(t, time.Second, "completed", func() bool { return f.state(r) == "active" })
	if _, failed, bad := f.seen.get(); failed+bad > 0 {
		t.Errorf("%d errors, %d bad lines", failed, bad)
	}
}

// The same file rewritten in place is read again.
func TestRewrittenInPlace(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	other := strings.Replace(goodKey, "k_0123456789ab", "k_aaaaaaaaaaaa", 1)
	text := `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n" + strings.Repeat(other+"\n", 5)
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, 2*time.Second, "the new content", func() bool { return f.state(first) == keyindex.ErrUnknown.Error() })
	if got := f.state(store.KeyRecord{ID: "k_aaaaaaaaaaaa", Hash: apikey.Digest{31: 0xff}}); got != "active" {
		t.Error(got)
	}
}

// A Secret mounted by Kubernetes: the file is a link through ..data, which is
// swapped for one to another directory.
func TestMountedSecretSwap(t *testing.T) {
	dir := t.TempDir()
	publish := func(n int) store.KeyRecord {
		version := filepath.Join(dir, fmt.Sprintf("..2026_%d", n))
		j := newKeys(KeyFileConfig{Path: filepath.Join(version, "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		r, _, err := j.Create(context.Background(), store.KeyParams{Name: "mounted"})
		if err != nil {
			t.Fatal(err)
		}
		temp := filepath.Join(dir, "..data_tmp")
		if err := errors.Join(os.Symlink(filepath.Base(version), temp), os.Rename(temp, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
		_ = os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..2026_%d", n-1)))
		return r
	}
	r := publish(0)
	if err := os.Symlink(filepath.Join("..data", "keys.jsonl"), filepath.Join(dir, "keys.jsonl")); err != nil {
		t.Fatal(err)
	}
	f := &followed{t: t, path: filepath.Join(dir, "keys.jsonl"), seen: &seen{}, log: &syncbuffer.Buffer{}}
	f.follow(nil)
	if f.state(r) != "active" {
		t.Fatal(f.state(r))
	}
	var worst time.Duration
	for n := 1; n <= 100; n++ {
		old := r
		r = publish(n)
		worst = max(worst, within(t, 2*time.Second, fmt.Sprintf("swap %d", n), func() bool { return f.state(r) == "active" }))
		if f.state(old) != keyindex.ErrUnknown.Error() {
			t.Fatalf("swap %d: the old file is still in force", n)
		}
	}
	t.Logf("worst %v", worst)
}

func TestCloseWaits(t *testing.T) {
	f, first := prepare(t)
	f.follow(nil)
	for range 2 {
		if err := f.follower.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f.follower.Reload()
	if f.state(first) != "active" {
		t.Error("closing took the keys away")
	}
}

// TestAwait: what a file has is in force when Await returns, without a notification and
// long before the next poll; a file that cannot be read is an error.
func TestAwait(t *testing.T) {
	f, _ := prepare(t)
	keys := keyindex.NewKeys()
	follower, err := KeyFeed{Hasher: apikey.NewHasher(authz.Secret{}), FollowConfig: journal.FollowConfig{
		Path: f.path, Every: time.Hour, NewWatcher: func() (*fsnotify.Watcher, error) { return nil, errors.New("no watcher") },
	}}.Follow(keys)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := f.create("later")
		if err := follower.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.FindID(r.ID); err != nil {
			t.Errorf("after Await: %v", err)
		}
	}
	if err := os.WriteFile(f.path, []byte("not a key file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := follower.Await(t.Context()); err == nil {
		t.Error("Await of a file that cannot be read succeeds")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := follower.Close(); err != nil {
		t.Error(err)
	}
	if err := follower.Await(canceled); err == nil {
		t.Error("Await of what is closed succeeds")
	}
}
