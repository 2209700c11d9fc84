package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// replacingFS has others replace a file when a writer has opened it.
type replacingFS struct {
	filesystem.FS
	replace func()
}

func (r *replacingFS) OpenAppend(path string) (filesystem.File, error) {
	f, err := r.FS.OpenAppend(path)
	if replace := r.replace; replace != nil {
		r.replace = nil
		replace()
	}
	return f, err
}

// mv puts a file with that content in place of another.
func mv(t *testing.T, content []byte, path string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestKeyFileReplacedDuringACommand: what the command did is in the file that
// the path names then, and what others put there is there too.
func TestKeyFileReplacedDuringACommand(t *testing.T) {
	for _, command := range commands {
		t.Run(command.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.jsonl")
			files := &replacingFS{FS: filesystem.OS()}
			j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{}), FS: files})
			others := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
			one, _, err := others.Create(context.Background(), store.KeyParams{Name: "one", Prefix: "kw_"})
			if err != nil {
				t.Fatal(err)
			}
			two, _, err := others.Create(context.Background(), store.KeyParams{Name: "two", Prefix: "kw_"})
			if err != nil {
				t.Fatal(err)
			}
			before := contentOf(t, path)
			if _, err := others.Revoke(context.Background(), two.ID, ""); err != nil {
				t.Fatal(err)
			}
			revoked := contentOf(t, path)
			mv(t, before, path)

			files.replace = func() { mv(t, revoked, path) }
			if err := command.run(j, one.ID); err != nil {
				t.Fatal(err)
			}
			if r, err := others.Get(context.Background(), two.ID); err != nil || !r.Ended() {
				t.Errorf("the key that others revoked: %+v, %v", r, err)
			}
			all, _, err := others.List(context.Background(), store.KeyFilter{}, store.Page{})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := others.Get(context.Background(), one.ID)
			var done bool
			switch command.name {
			case "create":
				done = len(all) == 3
			case "import":
				done = len(all) == 5
			case "revoke", "delete":
				done = got.Ended() || got.ID == ""
			case "rotate", "rotate with grace":
				done = got.Hash != one.Hash
			case "compact":
				done = len(all) == 2 && strings.Count(string(contentOf(t, path)), "\n") == 3
			}
			if !done {
				t.Errorf("the command's change is not in the file: %+v", all)
			}
		})
	}
}

// TestUsersFileReplacedDuringACommand, and so for users.
func TestUsersFileReplacedDuringACommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	files := &replacingFS{FS: filesystem.OS()}
	f := newUsers(UserFileConfig{Path: path, FS: files}, nil)
	if _, err := f.Set(context.Background(), "alice", "", records.UserPatch{}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"set": func() error {
			_, err := f.Set(context.Background(), "alice", "", records.UserPatch{Disabled: new(true)})
			return err
		},
		"import": func() error {
			_, err := importHtpasswd(f, strings.NewReader("bob:$2a$04$IHyYHbbbcb.Dr7Ulk5yCaeWtyBZ2QBHGSBI.4eXV2XZhV3fHbkUtm\n"))
			return err
		},
		"delete": func() error { return f.Delete(context.Background(), "alice", "", time.Time{}) },
	} {
		before := contentOf(t, path)
		files.replace = func() { mv(t, before, path) }
		if err := change(); err != nil {
			t.Fatal(err)
		}
		after := contentOf(t, path)
		if !strings.HasPrefix(string(after), string(before)) || strings.Count(string(after[len(before):]), "\n") != 1 {
			t.Errorf("%s: the file has %q behind what it had", name, after[len(before):])
		}
		mv(t, before, path)
	}
}

// TestRevocationsFileReplacedDuringACommand, and so for revoked tokens.
func TestRevocationsFileReplacedDuringACommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revocations.jsonl")
	files := &replacingFS{FS: filesystem.OS()}
	f := newRevocations(RevocationFileConfig{Path: path, FS: files}, nil)
	if _, err := f.RevokeToken(context.Background(), "first"); err != nil {
		t.Fatal(err)
	}
	before := contentOf(t, path)
	files.replace = func() { mv(t, before, path) }
	if _, err := f.RevokeToken(context.Background(), "victim"); err != nil {
		t.Fatal(err)
	}
	if text := string(contentOf(t, path)); !strings.Contains(text, "victim") || !strings.Contains(text, "first") {
		t.Errorf("the file has %q", text)
	}
}

// TestDamagedFiles: no command takes a file that lost its content for a new
// one, and none writes to it.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	hasher := apikey.NewHasher(authz.Secret{})
	j := newKeys(KeyFileConfig{Path: path("keys"), Hasher: hasher})
	u := newUsers(UserFileConfig{Path: path("users")}, nil)
	v := newRevocations(RevocationFileConfig{Path: path("revocations")}, nil)
	r, _, err := j.Create(context.Background(), store.KeyParams{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.Set(context.Background(), "alice", "", records.UserPatch{})
	_, err2 := v.RevokeToken(context.Background(), "first")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	run := map[string]func() error{
		"set user": func() error { _, err := u.Set(context.Background(), "bob", "", records.UserPatch{}); return err },
		"list":     func() error { _, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{}); return err },
		"users":    func() error { _, _, err := u.List(context.Background(), store.UserFilter{}, store.Page{}); return err },
		"token":    func() error { _, err := v.RevokeToken(context.Background(), "second"); return err },
	}
	for _, command := range commands {
		run[command.name] = func() error { return command.run(j, r.ID) }
	}
	for _, damage := range []func(string) error{func(name string) error { return os.Truncate(name, 0) }, os.Remove} {
		for _, name := range []string{"keys", "users", "revocations"} {
			if err := damage(path(name)); err != nil {
				t.Fatal(err)
			}
		}
		for name, command := range run {
			if err := command(); !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{"keys", "users", "revocations"} {
			if info, err := os.Stat(path(name)); err == nil && info.Size() > 0 {
				t.Errorf("%s was written", name)
			}
		}
	}
	again := newKeys(KeyFileConfig{Path: path("keys"), Hasher: hasher, StartOver: true})
	if _, _, err := again.Create(context.Background(), store.KeyParams{}); err != nil {
		t.Error(err)
	}
	if all, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{}); err != nil || len(all) != 1 || all[0].ID == r.ID {
		t.Errorf("started over: %+v, %v", all, err)
	}
}

// TestFirstStepFails: where there was no file, a command that fails leaves none
// that says anything, and the next one is not taken for one of a damaged file.
func TestFirstStepFails(t *testing.T) {
	for _, fault := range faults {
		for _, command := range commands[:2] { // those that make a file
			clean := newMemFS()
			if err := command.run(journalOn(clean, 2), ""); err != nil {
				t.Fatal(err)
			}
			want := len(stateOf(t, clean))
			for n := 1; n <= clean.calls; n++ {
				files := newMemFS()
				files.failAt, files.fault, files.short = n, fault.err, fault.short
				err := command.run(journalOn(files, 2), "")
				files.failAt = 0
				if got := len(stateOf(t, files)); err == nil && got != want || err != nil && got != 0 {
					t.Errorf("%s, %s: call %d failed, the command said %v, and there are %d keys", fault.name, command.name, n, err, got)
				}
				if node := files.entries[memPath]; err != nil && node != nil && len(node.data) > 0 {
					t.Errorf("%s, %s: call %d failed, and so did the command, which left %q", fault.name, command.name, n, node.data)
				}
				if err := command.run(journalOn(files, 3), ""); err != nil && !refused(err) {
					t.Errorf("%s, %s: call %d failed, and so did the next command: %v", fault.name, command.name, n, err)
				}
			}
		}
	}
}

// TestRefusedCommandWritesNothing, be the file missing, empty or a good one.
func TestRefusedCommandWritesNothing(t *testing.T) {
	for _, content := range []string{"-", "", `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n"} {
		path := filepath.Join(t.TempDir(), "keys.jsonl")
		if content != "-" {
			mv(t, []byte(content), path)
		}
		j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
		_, err := j.Revoke(context.Background(), "k_000000000000", "")
		_, _, err2 := j.Rotate(context.Background(), "k_000000000000", "", time.Hour)
		if !errors.Is(err, store.ErrNotFound) || !errors.Is(err2, store.ErrNotFound) {
			t.Errorf("%q: %v, %v", content, err, err2)
		}
		after, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) != (content == "-") || content != "-" && string(after) != content {
			t.Errorf("%q has become %q, %v", content, after, err)
		}
	}
}

// arrivingFS has a file's first content arrive after the file was looked for,
// and before its lock file is.
type arrivingFS struct {
	filesystem.FS
	lock   string
	arrive func()
}

func (a *arrivingFS) Stat(path string) (fs.FileInfo, error) {
	if arrive := a.arrive; arrive != nil && path == a.lock {
		a.arrive = nil
		arrive()
	}
	return a.FS.Stat(path)
}

// TestFirstContentArrives: a file that has its first content while it is looked
// for is not damaged.
func TestFirstContentArrives(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"missing": func(string) error { return nil },
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			arriving := func(write func(path string) error) (string, *arrivingFS) {
				path := filepath.Join(t.TempDir(), "file.jsonl")
				if err := prepare(path); err != nil {
					t.Fatal(err)
				}
				return path, &arrivingFS{FS: filesystem.OS(), lock: path + ".lock", arrive: func() {
					if err := write(path); err != nil {
						t.Error(err)
					}
				}}
			}
			keys := func(path string, files filesystem.FS) *changedKeys {
				return newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{}), FS: files})
			}
			path, files := arriving(func(path string) error {
				_, _, err := keys(path, nil).Create(context.Background(), store.KeyParams{Name: "one", Prefix: "kw_"})
				return err
			})
			if _, _, err := keys(path, files).List(context.Background(), store.KeyFilter{}, store.Page{}); err != nil {
				t.Errorf("a command: %v", err)
			}
			path, files = arriving(func(path string) error {
				_, err := newRevocations(RevocationFileConfig{Path: path}, nil).RevokeToken(context.Background(), "t")
				return err
			})
			tokens, seen := keyindex.NewRevocations(), &seen{}
			f, err := RevocationFeed{journal.FollowConfig{Path: path, MissingOK: true, Settle: time.Millisecond, FS: files, Observer: seen}}.Follow(tokens)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			within(t, 10*time.Second, "in force", func() bool { return tokens.Revoked(keyindex.Token{ID: "t", IssuedAt: time.Now()}) })
			if _, failed, _ := seen.get(); failed != 0 {
				t.Errorf("the observer received %d errors", failed)
			}
		})
	}
}
