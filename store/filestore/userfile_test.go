package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/journal"
)

func newUserFile(t *testing.T) (*changedUsers, string) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	return newUsers(UserFileConfig{Path: path}, nil), path
}

// passwordIn is the password hash that the file has for the user.
func passwordIn(t *testing.T, file *changedUsers, name string) string {
	t.Helper()
	all, err := file.all(unlocked(context.Background(), &file.lines))
	if err != nil {
		t.Fatal(err)
	}
	return all.find(name).Password
}

func TestSetUserChangesOnlyWhatIsGiven(t *testing.T) {
	file, _ := newUserFile(t)
	yes, password := true, authz.NewSecret("correct horse")
	first, err := file.Set(context.Background(), "alice", "", records.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/a"}, Password: &password})
	hash := passwordIn(t, file, "alice")
	if err != nil || first.Disabled || first.Password != "" || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(first, hash, err)
	}
	second, err := file.Set(context.Background(), "alice", "", records.UserPatch{Disabled: &yes})
	if err != nil || !second.Disabled || passwordIn(t, file, "alice") != hash || second.Paths[0] != "/a" || second.Scopes[0] != "read" {
		t.Errorf("%+v %v", second, err)
	}
	third, err := file.Set(context.Background(), "alice", "", records.UserPatch{Paths: &[]string{}, Scopes: &[]string{}})
	if err != nil || len(third.Paths)+len(third.Scopes) != 0 || !third.Disabled {
		t.Errorf("%+v %v", third, err)
	}
	all, _, err := file.List(context.Background(), store.UserFilter{}, store.Page{})
	if err != nil || len(all) != 1 || all[0].Password != "" {
		t.Errorf("%+v %v", all, err)
	}
	if err := file.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Error(err)
	}
	if err := file.Delete(context.Background(), "alice", "", time.Time{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if again, err := file.Set(context.Background(), "alice", "", records.UserPatch{}); err != nil || again.Disabled || passwordIn(t, file, "alice") != "" {
		t.Errorf("made again: %+v %v", again, err)
	}
}

// usersOf reads a users file's text as a server does at start.
func usersOf(t *testing.T, text string) *keyindex.Users {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	users := keyindex.NewUsers()
	follower, err := UserFeed{journal.FollowConfig{Path: path}}.Follow(users)
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
	file := newUsers(UserFileConfig{Path: path}, func() time.Time { return now })
	step := func(by time.Duration, change func() error) {
		t.Helper()
		now = now.Add(by)
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	set := func() error { _, err := file.Set(context.Background(), "alice", "", records.UserPatch{}); return err }
	remove := func() error { return file.Delete(context.Background(), "alice", "", time.Time{}) }
	step(0, set)
	step(time.Hour, set)
	step(-time.Minute, remove) // and so the line before this one says what is latest
	ended := start.Add(time.Hour)
	step(time.Hour, set)
	step(time.Hour, set)

	wanted := func(users *keyindex.Users) {
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
	wanted(usersOf(t, strings.Join(all, "")+"\n"))
	wanted(usersOf(t, all[0]+all[len(all)-1]+"\n"))
	older := `{"name":"alice","created":"2026-11-02T00:00:00Z","at":"2026-11-02T00:00:00Z"}` + "\n"
	wanted(usersOf(t, strings.Join(all, "")+"\n"+older))
	appendTo(t, path, older)
	step(0, set)
	all = lines()
	wanted(usersOf(t, all[0]+all[len(all)-1]+"\n"))
	if got, err := file.Ended(context.Background()); err != nil || len(got) != 1 || !got["alice"].Equal(ended) {
		t.Errorf("%v %v", got, err)
	}

	// The line that deletes has only what older versions read too: they must not step over it.
	step(time.Hour, remove)
	all = lines()
	if last := all[len(all)-1]; strings.Contains(last, "valid_since") {
		t.Errorf("older versions would step over the deletion: %s", last)
	}
	if got, err := file.Ended(context.Background()); err != nil || !got["alice"].Equal(now) {
		t.Errorf("%v %v", got, err)
	}
}

// TestDeletedUserWithKeyFromAFastClock: what ends with the user is at least all that is known to be its.
func TestDeletedUserWithKeyFromAFastClock(t *testing.T) {
	file, _ := newUserFile(t)
	journal := newKeys(KeyFileConfig{Path: filepath.Join(t.TempDir(), "keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{}), Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{}); err != nil {
		t.Fatal(err)
	}
	first, _, err := journal.Create(context.Background(), store.KeyParams{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := journal.Create(context.Background(), store.KeyParams{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := journal.LatestKeys(context.Background(), []string{"alice", "bob"})
	if err != nil || !made["alice"].Equal(second.Created) || !made["bob"].IsZero() {
		t.Fatal(made, err)
	}
	if err := file.Delete(context.Background(), "alice", "", made["alice"]); err != nil {
		t.Fatal(err)
	}
	ended, err := file.Ended(context.Background())
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
`)
	deleted := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	if alice, found := users.Lookup("alice"); !found || alice.Since(deleted) || !alice.Since(deleted.Add(time.Second)) || alice.Disabled {
		t.Errorf("%+v", alice)
	}
	if odd, found := users.Lookup("cafe\u0301 "); !found || odd.Disabled {
		t.Errorf("%+v", odd)
	}
}

func TestUsersAreFollowed(t *testing.T) {
	file, path := newUserFile(t)
	if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{Scopes: &[]string{"read"}}); err != nil {
		t.Fatal(err)
	}
	users := keyindex.NewUsers()
	if _, found := users.Lookup("alice"); found || users.Ready() == nil {
		t.Error("known before it was read")
	}
	follower, err := UserFeed{journal.FollowConfig{Path: path, Every: time.Hour, Settle: time.Millisecond}}.Follow(users)
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	alice, found := users.Lookup("alice")
	if !found || alice.Scopes.String() != "read" || !alice.Paths.IsAnyPath() || alice.Stale() {
		t.Fatalf("%+v", alice)
	}
	yes := true
	if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "stale", alice.Stale)
	disabled, _ := users.Lookup("alice")
	if !disabled.Disabled || disabled.Stale() {
		t.Errorf("%+v", disabled)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "stale by another file", disabled.Stale)
	last, _ := users.Lookup("alice")
	if err := file.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, "deleted", last.Stale)
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
	if _, err := file.Set(context.Background(), "bob", "", records.UserPatch{Scopes: &[]string{"read"}}); err != nil {
		t.Fatal(err)
	}
	got, err := importHtpasswd(file, strings.NewReader("# users\nalice:"+apache+"\n\nbob:"+string(hash)+"\n"))
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
		_, err := importHtpasswd(file, strings.NewReader(in))
		if !strings.Contains(fmt.Sprint(err), line) || strings.Contains(fmt.Sprint(err), apache[7:]) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if all, _, err := file.List(context.Background(), store.UserFilter{}, store.Page{}); err != nil || len(all) != 2 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestSetUserRefusesPasswords: a password that no hash can be of is invalid.
func TestSetUserRefusesPasswords(t *testing.T) {
	file := newUsers(UserFileConfig{Path: filepath.Join(t.TempDir(), "users.jsonl")}, nil)
	for _, text := range []string{"", strings.Repeat("x", 73)} {
		password := authz.NewSecret(text)
		if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{Password: &password}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}
