package filestore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/importer"
)

// journalFixture is a journal on the real file system with a clock of the test's.
type journalFixture struct {
	*changedKeys
	t    *testing.T
	path string
	now  time.Time
}

func newJournalFixture(t *testing.T) *journalFixture {
	c := &journalFixture{t: t, path: filepath.Join(t.TempDir(), "keys.jsonl"), now: startOfTime}
	c.changedKeys = newKeys(KeyFileConfig{
		Path: c.path, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen")), Now: func() time.Time { return c.now },
	})
	return c
}

func (c *journalFixture) create(p store.KeyParams) (store.KeyRecord, authz.Secret) {
	c.t.Helper()
	r, secret, err := c.Create(context.Background(), p)
	if err != nil {
		c.t.Fatal(err)
	}
	return r, secret
}

func (c *journalFixture) lines() int {
	c.t.Helper()
	text, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

func TestCreate(t *testing.T) {
	c := newJournalFixture(t)
	scopes := []string{"read"}
	r, secret := c.create(store.KeyParams{Name: "n", User: "u", Project: "p", Paths: []string{"/a"}, Scopes: &scopes, Rate: "1/s", Prefix: "kw_", Expires: c.now.Add(time.Hour)})
	if !apikey.WellFormed(secret.Reveal(), "kw_") || r.Hint != secret.Reveal()[:7] || r.Hash != c.hasher.Digest(secret.Reveal()) {
		t.Errorf("%+v", r)
	}
	scopes[0] = "changed"
	got, err := c.Get(context.Background(), r.ID)
	if err != nil || !reflect.DeepEqual(got, r) || (*got.Scopes)[0] != "read" {
		t.Errorf("%+v, %v\nwant %+v", got, err, r)
	}
	text, _ := os.ReadFile(c.path)
	if bytes.Contains(text, []byte(secret.Reveal()[7:])) {
		t.Error("the file has the key in plain text")
	}
	for _, path := range []string{c.path, c.path + ".lock"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	hexed, secret := c.create(store.KeyParams{Prefix: "kw_", Format: apikey.FormatHex})
	if !apikey.IsHex(secret.Reveal()) || hexed.Prefix != "" {
		t.Errorf("%+v", hexed)
	}
	for name, p := range map[string]store.KeyParams{
		"bad prefix": {Prefix: "a b"}, "bad name": {Name: "a\nb"}, "bad path": {Paths: []string{"a"}},
		"bad scope": {Scopes: &[]string{"a b"}}, "raw": {Format: apikey.FormatRaw}, "year 10000": {Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, _, err := c.Create(context.Background(), p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if c.lines() != 3 {
		t.Errorf("%d lines", c.lines())
	}
}

func TestRevokeAndDelete(t *testing.T) {
	c := newJournalFixture(t)
	if _, err := c.Revoke(context.Background(), "k_000000000000", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	one, _ := c.create(store.KeyParams{})
	two, secret := c.create(store.KeyParams{})
	for _, id := range []string{"", "k_", "k_000000000000", one.ID + "0"} {
		if _, err := c.Revoke(context.Background(), id, ""); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	first, err := c.Revoke(context.Background(), one.ID, "")
	c.now = c.now.Add(time.Hour)
	again, err2 := c.Revoke(context.Background(), one.ID, "")
	if err != nil || err2 != nil || first.Revoked.IsZero() || !again.Revoked.Equal(first.Revoked) || c.lines() != 4 {
		t.Errorf("%+v %v, %+v %v, %d lines", first, err, again, err2, c.lines())
	}
	if _, _, err := c.Rotate(context.Background(), one.ID, "", 0); !errors.Is(err, store.ErrRevoked) {
		t.Errorf("a revoked key is rotated: %v", err)
	}
	if r, err := c.Delete(context.Background(), two.ID, ""); err != nil || r.Deleted.IsZero() {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := c.Delete(context.Background(), two.ID, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if r, err := c.Deleted(context.Background(), two.ID); err != nil || r.ID != two.ID || r.Deleted.IsZero() {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := c.Deleted(context.Background(), one.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a key that is there: %v", err)
	}
	if _, _, err := c.Rotate(context.Background(), two.ID, "", 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted key is rotated: %v", err)
	}
	if _, err := c.Get(context.Background(), two.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted key is shown: %v", err)
	}
	if _, err := c.FindBySecret(context.Background(), secret); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a deleted key is found: %v", err)
	}
	if all, _, err := c.List(context.Background(), store.KeyFilter{}, store.Page{}); err != nil || len(all) != 1 || all[0].ID != one.ID {
		t.Errorf("%+v %v", all, err)
	}
	if c.lines() != 5 {
		t.Errorf("%d lines", c.lines())
	}
}

func TestRotate(t *testing.T) {
	c := newJournalFixture(t)
	r, first := c.create(store.KeyParams{Name: "n", Prefix: "kw_"})
	_, second, err := c.Rotate(context.Background(), r.ID, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(30 * time.Minute)
	got, third, err := c.Rotate(context.Background(), r.ID, "", time.Minute)
	if err != nil || got.ID != r.ID || got.Name != "n" || !apikey.WellFormed(third.Reveal(), "kw_") || !got.Created.Equal(r.Created) {
		t.Fatal(got, err)
	}
	if len(got.Previous) != 2 || c.lines() != 4 {
		t.Errorf("%d previous secrets, %d lines", len(got.Previous), c.lines())
	}
	for i, secret := range []authz.Secret{first, second, third} {
		if found, err := c.FindBySecret(context.Background(), secret); err != nil || found.ID != r.ID {
			t.Errorf("secret %d: %v", i, err)
		}
	}
	c.now = c.now.Add(time.Minute)
	if found, err := c.FindBySecret(context.Background(), second); !errors.Is(err, store.ErrRevoked) || found.ID != r.ID {
		t.Errorf("after the grace: %v", err)
	}
	if found, err := c.FindBySecret(context.Background(), first); err != nil || found.ID != r.ID {
		t.Errorf("a grace of an hour is over early: %v", err)
	}
	if got, _, err = c.Rotate(context.Background(), r.ID, "", 0); err != nil || len(got.Previous) != 2 || !got.Previous[0].Until.IsZero() || !got.Previous[1].Until.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
	for i, secret := range []authz.Secret{first, third} {
		if found, err := c.FindBySecret(context.Background(), secret); !errors.Is(err, store.ErrRevoked) || found.ID != r.ID {
			t.Errorf("after a rotation without a grace, earlier secret %d: %v", i, err)
		}
	}
	if _, _, err := c.Rotate(context.Background(), r.ID, "", -time.Second); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a negative grace: %v", err)
	}
}

// A key that followed no format follows ours once its old secret is of no use.
func TestRotateImported(t *testing.T) {
	c := newJournalFixture(t)
	all, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader("one\ntwo\n"), store.KeyParams{})
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := c.Rotate(context.Background(), all[0].ID, "", 0); err != nil || r.Format != apikey.FormatKeyward {
		t.Errorf("%+v %v", r, err)
	}
	if r, secret, err := c.Rotate(context.Background(), all[1].ID, "", time.Hour); err != nil || r.Format != apikey.FormatRaw || !apikey.WellFormed(secret.Reveal(), "") {
		t.Errorf("%+v %v", r, err)
	}
	if r, _, err := c.Rotate(context.Background(), all[1].ID, "", 0); err != nil || r.Format != apikey.FormatKeyward {
		t.Errorf("%+v %v", r, err)
	}
}

func TestImport(t *testing.T) {
	c := newJournalFixture(t)
	_, ours := c.create(store.KeyParams{Prefix: "kw_"})
	hexKey := strings.Repeat("0123456789AB", 3) + "01234567"
	all, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader("old-key-1\n\n"+hexKey+"\r\nkw_rawraw"), store.KeyParams{Name: "n", Prefix: "kw_"})
	if err != nil || len(all) != 3 || c.lines() != 2+1+3 {
		t.Fatal(all, err, c.lines())
	}
	for i, want := range []struct {
		key    string
		format apikey.Format
		prefix string
	}{{"old-key-1", apikey.FormatRaw, ""}, {hexKey, apikey.FormatHex, ""}, {"kw_rawraw", apikey.FormatRaw, "kw_"}} {
		r, err := c.FindBySecret(context.Background(), authz.NewSecret(want.key))
		if err != nil || r.ID != all[i].ID || r.Format != want.format || r.Prefix != want.prefix || r.Name != "n" {
			t.Errorf("%s: %+v %v", want.key, r, err)
		}
	}
	before := c.lines()
	for name, bad := range map[string]struct {
		in   string
		err  error
		line string
	}{
		"twice in the input":   {"a\nb\n\na\n", store.ErrDuplicate, "input line 4:"},
		"in the file already":  {"a\nold-key-1\n", store.ErrDuplicate, "input line 2:"},
		"one that was created": {"a\nb\n" + ours.Reveal() + "\n", store.ErrDuplicate, "input line 3:"},
		"a space":              {"a\nb c\n", store.ErrInvalid, "input line 2:"},
		"not ASCII":            {"é\n", store.ErrInvalid, "input line 1:"},
	} {
		_, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader(bad.in), store.KeyParams{})
		if !errors.Is(err, bad.err) || !strings.Contains(fmt.Sprint(err), bad.line) || strings.Contains(fmt.Sprint(err), ours.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.lines() != before {
		t.Error("something was written")
	}
	if all, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader("\n"), store.KeyParams{}); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}

func TestImportHashed(t *testing.T) {
	c := newJournalFixture(t)
	d := c.hasher.Digest("some key")
	all, err := importInto(c.changedKeys, importer.KeyFormat{Hashed: true}, strings.NewReader("hmac-sha256:"+strings.ToUpper(hex.EncodeToString(d[:]))+"\n"), store.KeyParams{})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if r, err := c.FindBySecret(context.Background(), authz.NewSecret("some key")); err != nil || r.ID != all[0].ID || r.Format != apikey.FormatRaw {
		t.Errorf("%+v %v", r, err)
	}
	for _, in := range []string{"sha256:" + strings.Repeat("0", 64), "md5:00", strings.Repeat("0", 64), "hmac-sha256:00"} {
		if _, err := importInto(c.changedKeys, importer.KeyFormat{Hashed: true}, strings.NewReader(in), store.KeyParams{}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestCompact(t *testing.T) {
	c := newJournalFixture(t)
	kept, _ := c.create(store.KeyParams{Name: "kept"})
	gone, _ := c.create(store.KeyParams{Name: "gone"})
	if _, _, err := c.Rotate(context.Background(), kept.ID, "", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := importInto(c.changedKeys, importer.KeyFormat{}, strings.NewReader("one\ntwo\n"), store.KeyParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(context.Background(), gone.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.jsonl")
	if err := os.Symlink(c.path, link); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	j := newKeys(KeyFileConfig{Path: link, Hasher: c.hasher, Now: func() time.Time { return c.now }})
	if n, err := j.Compact(context.Background()); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if c.lines() != 4 {
		t.Errorf("%d lines", c.lines())
	}
	all, _, err := c.List(context.Background(), store.KeyFilter{}, store.Page{})
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, r := range all {
		if r.ID == kept.ID && len(r.Previous) != 0 {
			t.Error("a secret whose grace is over was kept")
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if info, err := os.Stat(c.path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode has changed: %v", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Dir(c.path) + "/*.tmp"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n, err := c.Compact(context.Background()); err != nil || n != 0 {
		t.Errorf("compacted again: %d gone, %v", n, err)
	}
}

// TestCompactKeepsVersions: leaving out a secret whose grace is over is not a
// change of the key.
func TestCompactKeepsVersions(t *testing.T) {
	c := newJournalFixture(t)
	r, _ := c.create(store.KeyParams{Name: "n"})
	r, _, err := c.Rotate(context.Background(), r.ID, store.AnyVersion, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	if _, err := c.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(context.Background(), r.ID)
	if err != nil || len(got.Previous) != 0 || got.Version() != r.Version() {
		t.Errorf("%+v, %v; version %q, then %q", got, err, r.Version(), got.Version())
	}
}
