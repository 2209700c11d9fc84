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

	"keyward/apikey"
	"keyward/authz"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

// FuzzKeyFile reads entire files: no input makes a reader panic, and what the
// journal and the server's reader say of a file they both accept is the same.
func FuzzKeyFile(f *testing.F) {
	head := `{"keyward":"keys","version":1,"hash":"sha256"}` + "\n"
	f.Add([]byte(head + goodKey + "\n"))
	f.Add([]byte(head + `{"batch":2}` + "\n" + goodKey + "\n"))
	f.Add([]byte(head + goodKey))
	f.Add([]byte(head))
	f.Add([]byte("{}"))
	newer := strings.Replace(goodKey, "{", `{"must":["frozen"],"frozen" : [{}],`, 1)
	f.Add([]byte(`{"keyward":"keys","versions":[2,3],"epoch":1,"hash":"sha256"}` + "\n" + goodKey + "\n" + newer + "\n"))
	f.Add([]byte(head + `{"batch":2}` + "\n" + `{"left":1,` + newer[1:] + "\n" + `{"must":["x"],"id":"k_0123456789ab"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files := newMemFS()
		files.entries[memPath] = &memNode{data: text}
		hasher := apikey.NewHasher(authz.Secret{})
		keys := keyindex.NewKeys()
		readOnce(t, KeyFeed{hasher, unwatched(memPath, files)}, keys)
		j := newKeys(KeyFileConfig{Path: memPath, Hasher: hasher, FS: files})
		all, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{})
		if keys.Ready() != nil {
			return // the journal may read a file that a server has reasons to refuse
		}
		if err != nil {
			t.Fatalf("a server reads it, the journal says %v", err)
		}
		for _, want := range all {
			got, err := keys.Find(want.Hash, time.Now())
			if want.Unsupported { // which may lack its secret, or have that of another key
				if err == nil && got.ID == want.ID && got.State == keyindex.Active {
					t.Fatalf("the server accepts %+v", want)
				}
				continue
			}
			if err != nil || got.ID != want.ID || got.Name != want.Name || got.State != keyindex.Active && !want.Ended() {
				t.Fatalf("the server has %+v (%v) for %+v", got, err, want)
			}
		}
		if _, err := j.Compact(context.Background()); len(text) > 0 && err != nil {
			t.Fatalf("cannot be compacted: %v", err)
		}
		after, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{})
		if err != nil || len(after) != len(all) {
			t.Fatalf("%d records before compacting, %d after (%v)", len(all), len(after), err)
		}
	})
}

func TestHeaderTellsFilesApart(t *testing.T) {
	one, two := apikey.NewHasher(authz.NewSecret("pepper number one")), apikey.NewHasher(authz.NewSecret("pepper number two"))
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	if _, _, err := newKeys(KeyFileConfig{Path: path, Hasher: one}).Create(context.Background(), store.KeyParams{}); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*apikey.Hasher{"another pepper": two, "no pepper": apikey.NewHasher(authz.Secret{})} {
		j := newKeys(KeyFileConfig{Path: path, Hasher: h})
		if _, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{}); !errors.Is(err, fileheader.ErrPepper) {
			t.Errorf("%s: List says %v", name, err)
		}
		if _, _, err := j.Create(context.Background(), store.KeyParams{}); !errors.Is(err, fileheader.ErrPepper) {
			t.Errorf("%s: Create says %v", name, err)
		}
		keys := keyindex.NewKeys()
		follower, err := KeyFeed{h, journal.FollowConfig{Path: path}}.Follow(keys)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Ready(); !errors.Is(err, fileheader.ErrPepper) || !errors.Is(err, keyindex.ErrNotLoaded) {
			t.Errorf("%s: Ready says %v", name, err)
		}
		_ = follower.Close()
	}
	for _, text := range []string{"hello", "hello\n", "{}\n", `{"keyward":"users","version":1}` + "\n", `{"keyward":"keys","version":2,"hash":"sha256"}` + "\n"} {
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := newKeys(KeyFileConfig{Path: other, Hasher: one}).Create(context.Background(), store.KeyParams{})
		if !errors.Is(err, journal.ErrWrongFile) || strings.Contains(fmt.Sprint(err), "hello") {
			t.Errorf("%q: %v", text, err)
		}
		if now, _ := os.ReadFile(other); string(now) != text {
			t.Errorf("%q was changed", text)
		}
	}
}
