package journal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"keyward/store/journal/filesystem"
)

func (f *fixture) memory() string {
	f.t.Helper()
	text, err := os.ReadFile(f.path + lockSuffix)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// TestDamaged: a file that lost its content is refused, and left as it is.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "")
			if err := f.w.Update(context.Background(), appendLine("first\n")); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chmod(f.path, 0o640), os.Chmod(f.path+lockSuffix, 0o640), damage(f.path)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := f.w.Update(context.Background(), func(*Transaction) error { t.Error("called"); return nil })
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("update says %v", err)
				}
			}
			if text, _ := os.ReadFile(f.path); len(text) > 0 {
				t.Errorf("written: %q", text)
			}
			f.w.StartOver = true
			if err := f.w.Update(context.Background(), appendLine("again\n")); err != nil {
				t.Fatal(err)
			}
			f.want("again\n")
			if info, err := os.Stat(f.path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestNewFiles: what no writer ever wrote is new, and a writer that fails or
// writes nothing does not change that.
func TestNewFiles(t *testing.T) {
	f := newFixture(t, "")
	for _, make := range []func(){func() {}, func() { f.write(f.path, "") }} {
		make()
		if err := f.w.Update(context.Background(), func(*Transaction) error { return nil }); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("refused")
		if err := f.w.Update(context.Background(), func(*Transaction) error { return refused }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if had, err := hadContent(filesystem.OS(), f.path+lockSuffix); had || err != nil || f.memory() != "" {
			t.Errorf("remembers %v, %v: %q", had, err, f.memory())
		}
	}
	if err := f.w.Update(context.Background(), appendLine("first\n")); err != nil {
		t.Fatal(err)
	}
	f.want("first\n")
}

// TestMemoryIsWrittenOnce: when there is content for the first time, also
// where others wrote that.
func TestMemoryIsWrittenOnce(t *testing.T) {
	f := newFixture(t, "theirs\n")
	if err := f.w.Update(context.Background(), func(*Transaction) error { return nil }); err != nil {
		t.Fatal(err)
	}
	first := f.memory()
	for range 3 {
		if err := errors.Join(f.w.Update(context.Background(), appendLine("mine\n")), f.w.Update(context.Background(), upper)); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.memory(); got != first || !strings.Contains(got, `"written":true`) {
		t.Errorf("first %q, then %q", first, got)
	}
}

// TestMemoryOfOthers: an empty lock file is one of an earlier version, members
// of a later version stay, and what is not ours says nothing and stays.
func TestMemoryOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		written bool
		keeps   string
	}{
		"earlier version": {text: ""},
		"ours":            {text: "\n{\"keyward\":\"lock\",\"version\":1,\"written\":true}\n", written: true},
		"later version":   {text: `{"keyward":"lock","version":2,"written":false,"owner":[1]}` + "\n", keeps: `"owner":[1]`},
		"last line":       {text: `{"keyward":"lock","written":false}` + "\n" + `{"keyward":"lock","written":true}` + "\n", written: true},
		"torn":            {text: `{"keyward":"lock","written":true}` + "\n" + `{"keyward":"lo`, written: true},
		"torn at once":    {text: `{"keyward":"lo`, keeps: `{"keyward":"lo`},
		"foreign":         {text: "4711\n", keeps: "4711\n"},
		"another kind":    {text: `{"keyward":"keys","written":true}` + "\n", keeps: `"keys"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "")
			f.write(f.path+lockSuffix, c.text)
			if damaged, err := Damaged(filesystem.OS(), f.path); damaged != c.written || err != nil {
				t.Errorf("an empty file is damaged: %v, %v", damaged, err)
			}
			if err := f.w.Update(context.Background(), appendLine("mine\n")); errors.Is(err, ErrDamaged) != c.written {
				t.Fatal(err)
			}
			if c.written {
				return
			}
			if had, err := hadContent(filesystem.OS(), f.path+lockSuffix); !had || err != nil || !strings.Contains(f.memory(), c.keeps) {
				t.Errorf("then it remembers %v, %v: %q", had, err, f.memory())
			}
		})
	}
}

// TestHugeLock is not read.
func TestHugeLock(t *testing.T) {
	f := newFixture(t, "old\n")
	f.write(f.path+lockSuffix, strings.Repeat("x", maxMemory+1))
	if err := f.w.Update(context.Background(), appendLine("mine\n")); !errors.Is(err, filesystem.ErrBadLock) {
		t.Error(err)
	}
}
