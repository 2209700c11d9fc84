package signingkeys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/internal/powercut"
	"keyward/store/journal/filesystem"
)

func openDirectory(t testing.TB, path string) *Directory {
	t.Helper()
	d, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// inDirectory returns a process whose keys are in the files of a new directory.
func inDirectory(t *testing.T) (f *fixture, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "signing-keys")
	f = &fixture{t: t, machine: &machine{real: new(time.Duration)}}
	f.cfg = config(openDirectory(t, path), f.machine)
	f.restart()
	return f, path
}

func keyFile(path, id string) string { return filepath.Join(path, keyPrefix+id+keySuffix) }

// TestDirectory: keys survive a restart, files are private, and those of removed keys are
// removed.
func TestDirectory(t *testing.T) {
	f, path := inDirectory(t)
	first := f.signsWith()
	f.restart()
	if f.signsWith() != first {
		t.Fatal("another key signs after a restart")
	}
	if err := f.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	f.run(15 * time.Minute)
	f.restart()
	second := f.signsWith()
	f.wantPublished("rotated", first, second)
	if err := os.WriteFile(keyFile(path, "left")+".tmp", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(90 * time.Minute)
	f.wantPublished("expired", second)
	files, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
		if info, err := file.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", file.Name(), info.Mode(), err)
		}
	}
	if want := []string{filepath.Base(keyFile(path, second)), recordsName, lockName}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

// TestNotPrivate: neither a directory nor a file that others may access is used, and what
// was read before stays in force.
func TestNotPrivate(t *testing.T) {
	f, path := inDirectory(t)
	id := f.signsWith()
	for _, name := range []string{keyFile(path, id), filepath.Join(path, recordsName)} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			if err := f.Maintain(t.Context()); !errors.Is(err, ErrNotPrivate) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s with mode %v: %v", name, mode, err)
			}
			if f.signsWith() != id {
				t.Error("another key signs")
			}
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o750, 0o701} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDirectory(path); !errors.Is(err, ErrNotPrivate) {
			t.Errorf("a directory with mode %v: %v", mode, err)
		}
	}
}

// TestLostFiles: a file that is removed, is another key or is none ends its key alone. The
// error names the file, and nothing of its content.
func TestLostFiles(t *testing.T) {
	for what, damage := range map[string]func(name string) error{
		"removed": os.Remove,
		"empty":   func(name string) error { return os.WriteFile(name, nil, 0o600) },
		"not PEM": func(name string) error { return os.WriteFile(name, []byte("c2VjcmV0"), 0o600) },
		"not PKCS #8": func(name string) error {
			return os.WriteFile(name, []byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), 0o600)
		},
		"large":     func(name string) error { return os.WriteFile(name, make([]byte, maxFileSize+1), 0o600) },
		"directory": func(name string) error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o700)) },
		"another key": func(name string) error {
			other, err := generate(EdDSA)
			public, errPublic := publicKeyOf(other)
			d := newDirectory(filesystem.OS(), filepath.Dir(name))
			err = errors.Join(err, errPublic, d.writeKey(&Key{Record: Record{ID: public.ID}, Private: other}))
			return errors.Join(err, os.Rename(keyFile(d.path, public.ID), name))
		},
	} {
		t.Run(what, func(t *testing.T) {
			f, path := inDirectory(t)
			first := f.signsWith()
			if err := f.Rotate(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			f.run(12 * time.Minute)
			second := f.signsWith()
			if err := damage(keyFile(path, second)); err != nil {
				t.Fatal(err)
			}
			f.restart()
			err := f.Maintain(t.Context())
			if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), second) || strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%v", err)
			}
			if what == "large" && !errors.Is(err, errTooLong) {
				t.Errorf("a large file is read: %v", err)
			}
			f.run(2 * time.Minute)
			f.wantPublished("lost", first, f.signsWith())
			if f.signsWith() == second {
				t.Error("a lost key signs")
			}
		})
	}
}

// TestLostRecords: without records, a running process writes them again, and one that
// starts publishes the keys that are there and signs with a new one.
func TestLostRecords(t *testing.T) {
	for what, content := range map[string]string{"missing": "", "empty": "\n", "not JSON": "{", "no records": "{}"} {
		t.Run(what, func(t *testing.T) {
			f, path := inDirectory(t)
			damage := func() {
				t.Helper()
				name := filepath.Join(path, recordsName)
				err := os.Remove(name)
				if content != "" {
					err = os.WriteFile(name, []byte(content), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			first := f.signsWith()
			damage()
			if err := f.Maintain(t.Context()); !errors.Is(err, ErrWentBack) || !errors.Is(err, ErrDamaged) || f.signsWith() != first {
				t.Errorf("in a running process: %v", err)
			}
			damage()
			f.restart()
			if err := f.Maintain(t.Context()); !errors.Is(err, ErrDamaged) {
				t.Errorf("in one that starts: %v", err)
			}
			f.run(2 * time.Minute)
			f.wantPublished("in one that starts", first, f.signsWith())
			if f.signsWith() == first {
				t.Error("a key signs of which it is not known what it was for")
			}
		})
	}
}

// TestNewerRecords: files of a later version are neither used nor changed.
func TestNewerRecords(t *testing.T) {
	f, path := inDirectory(t)
	newer := []byte(`{"form": 2, "version": 9}`)
	name := filepath.Join(path, recordsName)
	if err := os.WriteFile(name, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Maintain(t.Context()); !errors.Is(err, errNewer) {
		t.Error(err)
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != string(newer) {
		t.Errorf("%s, %v", now, err)
	}
}

// TestProcessesAtOnce: processes that start and rotate at once have one set, with one key
// of each state.
func TestProcessesAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-keys")
	real := new(time.Duration)
	var mu sync.Mutex
	signs := map[string]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			keys, err := Open(t.Context(), config(openDirectory(t, path), &machine{real: real}))
			if err != nil {
				t.Error(err)
				return
			}
			token, errSign := keys.Sign(TypeJWT, struct{}{})
			if err := errors.Join(errSign, keys.Rotate(t.Context(), false)); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			signs[keyID(t, token)] = true
		})
	}
	all.Wait()
	set, err := openDirectory(t, path).Load(t.Context())
	if err != nil || len(set.Keys) != 2 || set.Version != 2 || len(signs) != 1 {
		t.Errorf("%+v, %v; %d keys sign", set, err, len(signs))
	}
}

// changing is a file system on which a directory is changed between two files that a Load
// reads.
type changing struct {
	filesystem.FS
	change func()
}

func (c *changing) Open(path string) (filesystem.File, error) {
	if change := c.change; change != nil && strings.HasSuffix(path, keySuffix) {
		c.change = nil
		change()
	}
	return c.FS.Open(path)
}

// TestChangedWhileRead: a key that was removed while the directory is read is not lost.
func TestChangedWhileRead(t *testing.T) {
	f, path := inDirectory(t)
	files := &changing{FS: filesystem.OS()}
	files.change = func() {
		if err := f.Rotate(t.Context(), true); err != nil {
			t.Error(err)
		}
	}
	set, err := newDirectory(files, path).Load(t.Context())
	if err != nil || set.Version != 2 || len(set.Keys) != 1 || set.Keys[0].Lost != nil {
		t.Errorf("%+v, %v", set, err)
	}
}

// TestPowerCut: after a cut at any call, the set is the one before or the one after, all
// its keys can be read, and what was reported as stored is stored.
func TestPowerCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sets := someSets(t)
	for calls, done := 0, false; !done; calls++ {
		for _, lucky := range []bool{false, true} {
			disk := powercut.New()
			d := newDirectory(disk, "/keys")
			disk.FailAfter(calls)
			stored := 0
			for i, set := range sets {
				if d.Store(t.Context(), int64(i), set) != nil {
					break
				}
				stored++
			}
			done = stored == len(sets) && !disk.Cut()
			after := newDirectory(disk.Restart(lucky, rnd), "/keys")
			got, err := after.Load(t.Context())
			if err != nil {
				t.Fatalf("after %d calls: %v", calls, err)
			}
			version := int(got.Version)
			if version < stored || version > stored+1 {
				t.Fatalf("after %d calls: version %d, and %d were stored", calls, version, stored)
			}
			if version > 0 && !slices.EqualFunc(got.Keys, sets[version-1].Keys, func(a, b Key) bool { return a.ID == b.ID && a.Private != nil }) {
				t.Fatalf("after %d calls, in version %d: %+v", calls, version, got)
			}
			next := sets[min(version, len(sets)-1)]
			next.Version = got.Version + 1
			if err := after.Store(t.Context(), got.Version, next); err != nil {
				t.Fatalf("after %d calls: no more changes: %v", calls, err)
			}
		}
	}
}

// someSets are sets of which each is stored after the one before.
func someSets(t *testing.T) (sets []Set) {
	t.Helper()
	f := newFixture(t)
	add := func() { sets = append(sets, f.storage.set.clone()) }
	add()
	for _, revoke := range []bool{false, true, false} {
		if err := f.Rotate(t.Context(), revoke); err != nil {
			t.Fatal(err)
		}
		add()
	}
	for i := range sets {
		if sets[i].Version != int64(i+1) {
			t.Fatalf("version %d is that of set %d", sets[i].Version, i)
		}
	}
	return sets
}

const childDirectory = "KEYWARD_TEST_SIGNING_KEYS"

// TestRotatingChild is not a test: it is the program that TestKill kills. It revokes all
// keys again and again, and prints each that signs.
func TestRotatingChild(t *testing.T) {
	path := os.Getenv(childDirectory)
	if path == "" {
		t.Skip("run by TestKill")
	}
	keys, err := Open(t.Context(), Config{Storage: openDirectory(t, path), Algorithm: EdDSA, RotateEvery: time.Hour, TokenTTL: time.Hour})
	for err == nil {
		fmt.Println("signs", keys.inForce())
		err = keys.Rotate(t.Context(), true)
	}
	t.Fatal(err)
}

// inForce returns the id of the key that signs.
func (k *Keys) inForce() string { return k.view.Load().set.find(Signing).ID }

// TestKill: a process that is killed at any time leaves one key that signs, the last that
// it printed or the one after that.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-keys")
	printed := map[string]bool{}
	for range 15 {
		last := killRotating(t, path, printed)
		set, err := openDirectory(t, path).Load(context.Background())
		if err != nil || set.Damaged != nil || len(set.Keys) != 1 || set.Keys[0].Private == nil || set.Keys[0].State != Signing {
			t.Fatalf("%+v, %v", set, err)
		}
		if id := set.Keys[0].ID; id != last && printed[id] {
			t.Fatalf("key %s signs, which was revoked before %s", id, last)
		}
		maps.DeleteFunc(printed, func(id string, _ bool) bool { return id == set.Keys[0].ID })
	}
}

// killRotating runs the child, kills it at some time, and returns the last key that it
// printed.
func killRotating(t *testing.T, path string, printed map[string]bool) (last string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestRotatingChild$")
	child.Env = append(os.Environ(), childDirectory+"="+path)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n, until := 0, 1+rand.IntN(20); lines.Scan(); n++ {
		if id, ok := strings.CutPrefix(lines.Text(), "signs "); ok && len(id) == 43 {
			last, printed[id] = id, true
		}
		if n == until {
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = child.Process.Kill() })
		}
	}
	_ = child.Wait()
	if last == "" {
		t.Fatal("the child printed nothing")
	}
	return last
}

// TestOtherOwner: root writes no key that the directory's owner could not read.
func TestOtherOwner(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Skip("only root can give a directory to another user")
	}
	d, err := OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Store(t.Context(), 0, Set{Version: 1}); !errors.Is(err, ErrOtherOwner) {
		t.Errorf("%v, want ErrOtherOwner", err)
	}
}
