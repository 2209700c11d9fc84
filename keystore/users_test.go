package keystore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"keyward/authz"
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

func TestUserNames(t *testing.T) {
	file, _ := newUserFile(t)
	for name, valid := range map[string]bool{
		"alice": true, "a b": true, "ünï": true, strings.Repeat("x", 255): true,
		"": false, "a:b": false, "a\nb": false, "a\x7fb": false, "\xff": false, strings.Repeat("x", 256): false,
	} {
		if _, err := file.SetUser(name, UserPatch{}); (err == nil) != valid || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := file.SetUser("x", UserPatch{Scopes: &[]string{"a b"}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a scope that is none: %v", err)
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
	follower, err := Follow(FollowConfig{Path: path, Into: users, Every: time.Hour, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	alice, found := users.Lookup("alice")
	if !found || alice.Scopes.String() != "read" || !alice.Paths.Anywhere() || alice.Superseded() {
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

func TestPasswordHashes(t *testing.T) {
	hash, err := HashPassword(rand.Reader, authz.NewSecret("correct horse"))
	if err != nil || !validPasswordHash(hash) {
		t.Fatal(hash, err)
	}
	parts := strings.Split(hash, "$")
	salt, sum := make([]byte, 16), make([]byte, 32)
	if n, err := base64.RawStdEncoding.Decode(salt, []byte(parts[4])); err != nil || n != 16 {
		t.Fatal(n, err)
	}
	if n, err := base64.RawStdEncoding.Decode(sum, []byte(parts[5])); err != nil || n != 32 {
		t.Fatal(n, err)
	}
	if got := argon2.IDKey([]byte("correct horse"), salt, 2, 19*1024, 1, 32); string(got) != string(sum) {
		t.Error("not the hash of the password")
	}
	for _, password := range []string{"", strings.Repeat("x", 73)} {
		if _, err := HashPassword(rand.Reader, authz.NewSecret(password)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: %v", len(password), err)
		}
	}
	for name, bad := range map[string]string{
		"plain":         "secret",
		"argon2i":       strings.Replace(hash, "argon2id", "argon2i", 1),
		"old version":   strings.Replace(hash, "v=19", "v=16", 1),
		"much memory":   strings.Replace(hash, "m=19456", "m=65537", 1),
		"no memory":     strings.Replace(hash, "m=19456", "m=0", 1),
		"much time":     strings.Replace(hash, "t=2", "t=11", 1),
		"plus sign":     strings.Replace(hash, "t=2", "t=+2", 1),
		"many threads":  strings.Replace(hash, "p=1", "p=5", 1),
		"no salt":       strings.Replace(hash, parts[4], "", 1),
		"no hash":       strings.Replace(hash, parts[5], "", 1),
		"more":          hash + "$x",
		"bcrypt cost":   "$2b$15$" + strings.Repeat("a", 53),
		"bcrypt length": "$2b$10$" + strings.Repeat("a", 52),
		"bcrypt kind":   "$2x$10$" + strings.Repeat("a", 53),
	} {
		if validPasswordHash(bad) {
			t.Errorf("%s: accepted", name)
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
	set := &userSet{byName: map[string]*User{}}
	users.publish(set)
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
