package filewatch_test

import (
	"os"
	"path/filepath"
	"testing"

	"keyward/filewatch"
)

// TestDebounced: a change is reported from the second poll that sees it, until it
// is loaded, and a file that is missing is not a change.
func TestDebounced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	d := filewatch.NewDebounced(path)
	expect := func(when string, want ...bool) {
		t.Helper()
		for poll, want := range want {
			if got := d.Changed(); got != want {
				t.Errorf("%s: poll %d reports %v", when, poll+1, got)
			}
		}
	}
	expect("unchanged", false, false)
	write("ab")
	expect("written", false, true, true)
	d.Loading()
	expect("loaded", false, false)
	write("abc")
	expect("half written", false)
	write("abcd")
	expect("written on", false, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("removed", false, false)
	write("abcd")
	expect("there again", false, true)
}

// TestRenamedFileIsAnother: a file of the same size and time under the same name.
func TestRenamedFileIsAnother(t *testing.T) {
	dir := t.TempDir()
	path, fresh := filepath.Join(dir, "file"), filepath.Join(dir, "fresh")
	for _, name := range []string{path, fresh} {
		if err := os.WriteFile(name, []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(fresh, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	before := filewatch.StateOf(path)
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
	if filewatch.StateOf(path) == before {
		t.Error("the new file is taken for the old one")
	}
}

func TestNoPath(t *testing.T) {
	d := filewatch.NewDebounced("")
	for range 2 {
		if d.Changed() {
			t.Error("no file has changed")
		}
	}
}
