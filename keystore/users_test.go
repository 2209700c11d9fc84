package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/journal"
)

func newUserFile(t *testing.T) (*UserFile, string) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	return NewUserFile(UserFileConfig{Path: path}), path
}

func TestSetUserChangesOnlyWhatIsGiven(t *testing.T) {
	file, _ := newUserFile(t)
	yes, password := true, authz.NewSecret("correct horse")
	first, err := file.SetUser("alice", UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/a"}, Password: &password})
	if err != nil || first.Disabled || !strings.HasPrefix(first.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(first, err)
	}
	second, err := file.SetUser("alice", UserPatch{Disabled: &yes})
	if err != nil || !second.Disabled || second.Password != first.Password || second.Paths[0] != "/a" || second.Scopes[0] != "read" {
		t.Errorf("%+v %v", second, err)
	}
	third, err := file.SetUser("alice", UserPatch{Paths: &[]string{}, Scopes: &[]string{}})
	if err != nil || len(third.Paths)+len(third.Scopes) != 0 || !third.Disabled {
		t.Errorf("%+v %v", third, err)
	}
	all, err := file.ListUsers()
	if err != nil || len(all) != 1 || all[0].Password != "" {
		t.Errorf("%+v %v", all, err)
	}
	if err := file.DeleteUser("alice"); err != nil {
		t.Error(err)
	}
	if err := file.DeleteUser("alice"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if again, err := file.SetUser("alice", UserPatch{}); err != nil || again.Disabled || again.Password != "" {
		t.Errorf("made again: %+v %v", again, err)
	}
}

// usersOf reads a users file's text as a server does at start.
func usersOf(t *testing.T, text string, log *slog.Logger) *Users {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	users := NewUsers()
	if log != nil {
		users.LogTo(log)
	}
	follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })
	if err := users.Ready(); err != nil {
		t.Fatal(err)
	}
	return users
}

// TestDeletedUsersTimeStays: what a deleted user had stays ended, in a file of
// which only the last lines are left, when the clock went back, and when a
// program that does not know valid_since writes to the file.
func TestDeletedUsersTimeStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	now := start
	file := NewUserFile(UserFileConfig{Path: path, Now: func() time.Time { return now }})
	step := func(by time.Duration, change func() error) {
		t.Helper()
		now = now.Add(by)
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	set := func() error { _, err := file.SetUser("alice", UserPatch{}); return err }
	remove := func() error { return file.DeleteUser("alice") }
	step(0, set)
	step(time.Hour, set)
	step(-time.Minute, remove) // and so the line before this one says what is latest
	ended := start.Add(time.Hour)
	step(time.Hour, set)
	step(time.Hour, set)

	wanted := func(users *Users) {
		t.Helper()
		alice, found := users.Lookup("alice")
		if !found || alice.Since(ended) || alice.Since(time.Time{}) || !alice.Since(ended.Add(time.Microsecond)) {
			t.Errorf("%+v", alice)
		}
	}
	lines := func() []string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	all := lines()
	wanted(usersOf(t, strings.Join(all, "")+"\n", nil))
	wanted(usersOf(t, all[0]+all[len(all)-1]+"\n", nil))
	older := `{"name":"alice","created":"2026-11-02T00:00:00Z","at":"2026-11-02T00:00:00Z"}` + "\n"
	wanted(usersOf(t, strings.Join(all, "")+"\n"+older, nil))
	appendTo(t, path, older)
	step(0, set)
	all = lines()
	wanted(usersOf(t, all[0]+all[len(all)-1]+"\n", nil))
	if got, err := file.EndedUsers(); err != nil || len(got) != 1 || !got["alice"].Equal(ended) {
		t.Errorf("%v %v", got, err)
	}

	// The line that deletes has only what older versions read too: they must not step over it.
	step(time.Hour, remove)
	all = lines()
	if last := all[len(all)-1]; strings.Contains(last, "valid_since") {
		t.Errorf("older versions would step over the deletion: %s", last)
	}
	if got, err := file.EndedUsers(); err != nil || !got["alice"].Equal(now) {
		t.Errorf("%v %v", got, err)
	}
}

// TestDeletedUserWithKeyFromAFastClock: what ends with the user is at least all that is known to be its.
func TestDeletedUserWithKeyFromAFastClock(t *testing.T) {
	file, _ := newUserFile(t)
	journal := NewJournal(JournalConfig{Path: filepath.Join(t.TempDir(), "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{}), Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if _, err := file.SetUser("alice", UserPatch{}); err != nil {
		t.Fatal(err)
	}
	first, _, err := journal.Create(Params{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := journal.Create(Params{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := journal.LatestKeys([]string{"alice", "bob"})
	if err != nil || !made["alice"].Equal(second.Created) || !made["bob"].IsZero() {
		t.Fatal(made, err)
	}
	if err := file.DeleteUserWith("alice", made["alice"]); err != nil {
		t.Fatal(err)
	}
	ended, err := file.EndedUsers()
	if err != nil || ended.Of("alice", first.Created).IsZero() || ended.Of("alice", second.Created).IsZero() || !ended.Of("alice", second.Created.Add(time.Second)).IsZero() {
		t.Error(ended, err)
	}
}

// TestOlderUserFiles: a deletion that an older version wrote counts as well, and
// so does the one before a record that lacks valid_since.
func TestOlderUserFiles(t *testing.T) {
	users := usersOf(t, `{"keyward":"users","version":1}
{"name":"alice","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}
{"name":"alice","created":"2026-01-01T00:00:00Z","deleted":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}
{"name":"alice","created":"2026-01-03T00:00:00Z","at":"2026-01-03T00:00:00Z"}
{"name":"cafe\u0301 ","created":"2026-01-03T00:00:00Z","at":"2026-01-03T00:00:00Z"}
`, nil)
	deleted := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	if alice, found := users.Lookup("alice"); !found || alice.Since(deleted) || !alice.Since(deleted.Add(time.Second)) || alice.Disabled {
		t.Errorf("%+v", alice)
	}
	if odd, found := users.Lookup("cafe\u0301 "); !found || odd.Disabled {
		t.Errorf("%+v", odd)
	}
}

// TestReservedUsersAreDisabled: those that a file has are refused, and named in
// the log once, as is one that an older program adds later.
func TestReservedUsersAreDisabled(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"keyward":"users","version":1}` + "\n")
	line := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n", name)
	}
	text.WriteString(line("alice") + line("k_alice") + line("k_alice"))
	for i := range 20 {
		text.WriteString(line(fmt.Sprint("c_", i)))
	}
	var log bytes.Buffer
	users := usersOf(t, text.String(), slog.New(slog.NewTextHandler(&log, nil)))
	for name, disabled := range map[string]bool{"alice": false, "k_alice": true, "c_7": true} {
		if user, found := users.Lookup(name); !found || user.Disabled != disabled {
			t.Errorf("%s: %+v", name, user)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "users=21") || !strings.Contains(got, "k_alice") || strings.Contains(got, "c_19") {
		t.Errorf("log: %s", got)
	}
	log.Reset()
	set := users.set.Load()
	for range 2 {
		if _, err := set.Apply([]byte(line("k_bob"))); err != nil {
			t.Fatal(err)
		}
		users.Applied()
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "k_bob") {
		t.Errorf("log: %s", got)
	}
}

func TestUsersAreFollowed(t *testing.T) {
	file, path := newUserFile(t)
	if _, err := file.SetUser("alice", UserPatch{Scopes: &[]string{"read"}}); err != nil {
		t.Fatal(err)
	}
	users := NewUsers()
	if _, found := users.Lookup("alice"); found || users.Ready() == nil {
		t.Error("known before it was read")
	}
	follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: users, Every: time.Hour, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	alice, found := users.Lookup("alice")
	if !found || alice.Scopes.String() != "read" || !alice.Paths.IsAnyPath() || alice.Superseded() {
		t.Fatalf("%+v", alice)
	}
	yes := true
	if _, err := file.SetUser("alice", UserPatch{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "superseded", alice.Superseded)
	disabled, _ := users.Lookup("alice")
	if !disabled.Disabled || disabled.Superseded() {
		t.Errorf("%+v", disabled)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "superseded by another file", disabled.Superseded)
	last, _ := users.Lookup("alice")
	if err := file.DeleteUser("alice"); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "deleted", last.Superseded)
	if _, found := users.Lookup("alice"); found {
		t.Error("deleted and found")
	}
}

func TestImportHtpasswd(t *testing.T) {
	file, _ := newUserFile(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	apache := "$2y$" + string(hash[4:])
	if _, err := file.SetUser("bob", UserPatch{Scopes: &[]string{"read"}}); err != nil {
		t.Fatal(err)
	}
	got, err := file.ImportHtpasswd(strings.NewReader("# users\nalice:" + apache + "\n\nbob:" + string(hash) + "\n"))
	if err != nil || len(got) != 2 || got[0].Password != "" || got[1].Scopes[0] != "read" {
		t.Fatal(got, err)
	}
	for in, line := range map[string]string{
		"carol:" + apache + "\ndave:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=": "input line 2:",
		"carol:$apr1$x$y":               "input line 1:",
		"carol:plain":                   "input line 1:",
		"\n:" + apache:                  "input line 2:",
		"nothing":                       "input line 1:",
		"a:" + apache + "\na:" + apache: "input line 2:",
		"carol:" + strings.Replace(apache, "$04$", "$15$", 1): "input line 1:",
	} {
		_, err := file.ImportHtpasswd(strings.NewReader(in))
		if !strings.Contains(fmt.Sprint(err), line) || strings.Contains(fmt.Sprint(err), apache[7:]) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if all, err := file.ListUsers(); err != nil || len(all) != 2 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestSetUserRefusesPasswords: a password that no hash can be of is invalid.
func TestSetUserRefusesPasswords(t *testing.T) {
	file := NewUserFile(UserFileConfig{Path: filepath.Join(t.TempDir(), "users.jsonl")})
	for _, text := range []string{"", strings.Repeat("x", 73)} {
		password := authz.NewSecret(text)
		if _, err := file.SetUser("alice", UserPatch{Password: &password}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

// FuzzUserLine: no line makes the reader panic, and what it reads can be
// written and is then read the same.
func FuzzUserLine(f *testing.F) {
	f.Add([]byte(`{"name":"alice","paths":["/a"],"scopes":["read"],"disabled":true,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"left":3,"name":"\u00e9","created":"2026-01-01T00:00:00Z","deleted":"2026-01-01T00:00:00.5Z","at":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var u userLine
		if u.read(line) != nil {
			return
		}
		if _, _, err := terms(u.record.Paths, u.record.Scopes); err != nil {
			return
		}
		again, err := u.record.line()
		if err != nil {
			t.Fatal(err)
		}
		var second userLine
		if err := second.read(again); err != nil || fmt.Sprint(second.record) != fmt.Sprint(u.record) {
			t.Fatalf("%+v\n%+v %v", u.record, second.record, err)
		}
	})
}

// TestDecoy: unknown users cost what known ones do, in the proportion in which
// the file has them, and each name the same each time.
func TestDecoy(t *testing.T) {
	users := NewUsers()
	if !users.Decoy("x").Empty() {
		t.Error("a decoy of no users")
	}
	set := users.Begin().(*userSet)
	users.Commit(set)
	if !users.Decoy("x").Empty() {
		t.Error("a decoy where nobody has a password")
	}
	for i := range 2 * maxDecoys {
		set.addDecoy(authz.Secret{})
		set.addDecoy(authz.NewSecret(fmt.Sprint("old ", i)))
	}
	for i := range maxDecoys {
		set.addDecoy(authz.NewSecret([]string{"argon", "bcrypt"}[i%2]))
	}
	seen := map[string]int{}
	for i := range 1000 {
		name := fmt.Sprint("user", i)
		hash := users.Decoy(name)
		if users.Decoy(name) != hash {
			t.Fatal("another decoy for the same name")
		}
		seen[hash.Reveal()]++
	}
	if len(seen) != 2 || seen["argon"] < 300 || seen["bcrypt"] < 300 {
		t.Errorf("decoys %v", seen)
	}
}
