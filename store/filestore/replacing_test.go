package filestore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/prove"
	"keyward/store"
	"keyward/store/journal/filesystem"
)

const (
	replacedFile   = "KEYWARD_TEST_REPLACED"
	replacedClass  = "KEYWARD_TEST_CLASS"
	replacedKeys   = "KEYWARD_TEST_KEYS"
	writerCount    = 3
	replacingClass = writerCount // the keys that are revoked by replacing the file
	classes        = writerCount + 1
)

// change is what one command reported as done.
type change struct {
	key    int
	hash   string // the new secret's, in hexadecimal; "-" is a revocation
	synced int64  // when the file had it, in Unix nanoseconds
	named  bool   // the path named a file that had it when the command had returned
	looked int64  // when that was looked at
}

// replacement is one mv.
type replacement struct {
	copied, renaming, renamed int64 // when the lock for copying was held, and around the rename
	key                       int   // revoked by it
}

// syncClock notes when the last sync of a file, or exchange of files, was over.
type syncClock struct {
	filesystem.FS
	at    int64
	turns int // how often the lock was taken
}

func (s *syncClock) Lock(ctx context.Context, path string, like os.FileInfo, wait time.Duration) (filesystem.File, error) {
	s.turns++
	return s.FS.Lock(ctx, path, like, wait)
}

func (s *syncClock) OpenAppend(path string) (filesystem.File, error) {
	f, err := s.FS.OpenAppend(path)
	if err != nil {
		return nil, err
	}
	return &clockedFile{f, s}, nil
}

type clockedFile struct {
	filesystem.File
	clock *syncClock
}

func (f *clockedFile) Sync() error {
	err := f.File.Sync()
	f.clock.at = time.Now().UnixNano()
	return err
}

// TestReplacedWriterChild is not a test: it is one of the writers of TestReplacing.
// It changes the keys of its class at random and says what was done.
func TestReplacedWriterChild(t *testing.T) {
	path := os.Getenv(replacedFile)
	if path == "" {
		t.Skip("run by TestReplacing")
	}
	var class, keys int
	if _, err := fmt.Sscan(os.Getenv(replacedClass)+" "+os.Getenv(replacedKeys), &class, &keys); err != nil {
		t.Fatal(err)
	}
	clock := &syncClock{FS: filesystem.OS()}
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{}), FS: clock})
	input := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(input) }() // closed by the parent to end us
	for {
		select {
		case <-input:
			return
		case <-time.After(time.Duration(rand.IntN(50)) * time.Millisecond):
		}
		changeOne(t, j, clock, rand.IntN(keys/classes)*classes+class)
	}
}

// changeOne runs one command and says what it did.
func changeOne(t *testing.T, j *changedKeys, clock *syncClock, key int) {
	clock.turns, clock.at = 0, 0
	var hash string
	var err error
	switch n := rand.IntN(20); {
	case n == 0:
		if _, err = j.Compact(context.Background()); err == nil {
			fmt.Println("compacted", clock.turns)
			return
		}
	case n < 12:
		_, err = j.Revoke(context.Background(), idOf(key), "")
		hash = "-"
	default:
		var r store.KeyRecord
		r, _, err = j.Rotate(context.Background(), idOf(key), "", 0)
		hash = hex.EncodeToString(r.Hash[:])
	}
	if errors.Is(err, store.ErrRevoked) || err == nil && clock.at == 0 {
		return // it was revoked already
	}
	if err != nil {
		t.Fatal(err)
	}
	synced, named := clock.at, fileSays(t, j, key, hash)
	fmt.Println("changed", key, hash, synced, named, time.Now().UnixNano(), clock.turns)
}

func idOf(key int) string { return fmt.Sprintf("k_%012d", key) }

// fileSays reports whether the file that the path names has the change.
func fileSays(t *testing.T, j *changedKeys, key int, hash string) bool {
	r, err := j.Get(context.Background(), idOf(key))
	if err != nil {
		t.Fatal(err)
	}
	return hash == "-" && r.Ended() || hash == hex.EncodeToString(r.Hash[:])
}

// writer is one of the child processes.
type writer struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	done    chan error
	changes []change

	changed, compactions, again atomic.Int64 // again: transactions begun again
}

func startWriter(t *testing.T, path string, class, keys int) *writer {
	t.Helper()
	w := &writer{cmd: exec.Command(os.Args[0], "-test.run=^TestReplacedWriterChild$"), done: make(chan error, 1)}
	w.cmd.Env = append(os.Environ(), replacedFile+"="+path, fmt.Sprint(replacedClass, "=", class), fmt.Sprint(replacedKeys, "=", keys))
	w.cmd.Stderr = os.Stderr
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.stdin = stdin
	go func() { w.done <- errors.Join(w.read(stdout), w.cmd.Wait()) }()
	return w
}

func (w *writer) read(from io.Reader) error {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var c change
		var turns int64
		if n, _ := fmt.Sscan(lines.Text(), new(string), &turns); n == 2 && bytes.HasPrefix(lines.Bytes(), []byte("compacted")) {
			w.compactions.Add(1)
			w.again.Add(turns - 1)
			continue
		}
		n, _ := fmt.Sscanf(lines.Text(), "changed %d %s %d %t %d %d", &c.key, &c.hash, &c.synced, &c.named, &c.looked, &turns)
		if n == 6 {
			w.changes = append(w.changes, c)
			w.changed.Add(1)
			w.again.Add(turns - 1)
		} else if text := lines.Text(); text != "PASS" {
			return fmt.Errorf("a writer says: %s", text)
		}
	}
	return nil
}

func (w *writer) end() error {
	_ = w.stdin.Close()
	return <-w.done
}

// replaceOnce does what docs/commands.md asks of other programs, except that it
// releases the lock before the rename.
func replaceOnce(t *testing.T, path string, key int, wait time.Duration) replacement {
	t.Helper()
	files := filesystem.OS()
	lock, err := files.Lock(context.Background(), path+".lock", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := replacement{key: key, copied: time.Now().UnixNano()}
	err = errors.Join(copyAndRevoke(path, key), lock.Close())
	time.Sleep(wait)
	r.renaming = time.Now().UnixNano()
	err = errors.Join(err, os.Rename(path+".new", path))
	r.renamed = time.Now().UnixNano()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func copyAndRevoke(path string, key int) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = writeKey(to, key, true)
	}
	return errors.Join(err, to.Close())
}

// TestReplacing: three processes change keys while others replace the file at
// random moments, without the lock. What a command reported as done is in the
// file that the path names; no revoked key comes back. What is in neither is
// what was written between the copying of a file and the renaming of the copy.
func TestReplacing(t *testing.T) {
	keys, rounds := prove.Size(4000, 400_000), prove.Size(50, 1000)
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	writeKeys(t, path, keys)
	began := time.Now()
	var writers []*writer
	for class := range writerCount {
		writers = append(writers, startWriter(t, path, class, keys))
	}
	var moves []replacement
	for n := 0; n < rounds || n < keys/classes && !enough(writers, rounds); n++ {
		time.Sleep(time.Duration(rand.IntN(prove.Size(100, 1000))) * time.Millisecond)
		wait := time.Duration(0)
		if n%2 == 1 { // at another moment of the transaction that follows
			wait = time.Duration(rand.IntN(prove.Size(20, 400))) * time.Millisecond
		}
		moves = append(moves, replaceOnce(t, path, n*classes+replacingClass, wait))
	}
	v := &verdict{t: t, moves: moves, hash: map[int]string{}, open: map[int]bool{}}
	for _, w := range writers {
		if err := w.end(); err != nil {
			t.Error(err)
		}
		v.check(w)
	}
	v.compare(path)
	t.Logf("%d keys, %d replacements, %d changes, %d of them undone by a replacement with an older copy, %d compactions, %d transactions begun again, %v",
		keys, len(moves), v.changes, v.undone, v.compactions, v.again, time.Since(began).Round(time.Second))
	if !enough(writers, rounds) || v.changes-v.undone < rounds/2 {
		t.Error("too little happened")
	}
}

// enough reports whether the replacements met what they are to meet.
func enough(writers []*writer, changes int) bool {
	var changed, compactions, again int64
	for _, w := range writers {
		changed, compactions, again = changed+w.changed.Load(), compactions+w.compactions.Load(), again+w.again.Load()
	}
	return changed >= int64(changes) && compactions > 0 && again > 0
}
