package filestore

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/importer"
)

// TestLinesBehindAMaimedBatch: where lines of a batch were taken out by hand,
// what is appended behind it counts, now and after the next writer.
func TestLinesBehindAMaimedBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of some length"))})
	victim, _, err := j.Create(context.Background(), store.KeyParams{Name: "victim"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := importInto(j, importer.KeyFormat{}, strings.NewReader("one\ntwo\nthree\nfour\nfive\n"), store.KeyParams{Name: "imported"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	maimed := append(append([][]byte{}, lines[:4]...), lines[7:]...) // the second to the fourth
	if err := os.WriteFile(path, bytes.Join(maimed, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Revoke(context.Background(), victim.ID, ""); err != nil {
		t.Fatal(err)
	}
	if r, err := j.Get(context.Background(), victim.ID); err != nil || r.Revoked.IsZero() {
		t.Errorf("revoked, and then: %+v, %v", r, err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"torn`); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	if _, _, err := j.Create(context.Background(), store.KeyParams{Name: "next"}); err != nil {
		t.Fatal(err)
	}
	if r, err := j.Get(context.Background(), victim.ID); err != nil || r.Revoked.IsZero() {
		t.Errorf("after the next writer: %+v, %v", r, err)
	}
	if all, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{}); err != nil || len(all) != 4 {
		t.Errorf("%d keys, %v; want the victim, two imported ones and the next", len(all), err)
	}
}

func TestOnlyRegularFilesAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of some length"))})
	if _, _, err := j.Create(context.Background(), store.KeyParams{Name: "n"}); err == nil {
		t.Error("a key was made in a pipe")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().IsRegular() {
		t.Errorf("the pipe became %v, %v", info.Mode(), err)
	}
}

// TestUnservedLineDoesNotHoldUpARevocation: a line that servers step over, since its
// paths are none, is stepped over by writers too.
func TestUnservedLineDoesNotHoldUpARevocation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of some length"))})
	r, _, err := j.Create(context.Background(), store.KeyParams{Name: "n", Paths: []string{"/a"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, record, _ := bytes.Cut(text, []byte("\n"))
	bad := bytes.Replace(record, []byte(`"/a"`), []byte(`"nope"`), 1)
	if err := os.WriteFile(path, append(text, bad...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Revoke(context.Background(), r.ID, ""); err != nil || got.Revoked.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}
