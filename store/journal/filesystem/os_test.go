package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestRenameNew, by either way.
func TestRenameNew(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"rename": OS().RenameNew, "link": linkNew} {
		path := filepath.Join(t.TempDir(), "file")
		renameNew := func(content string) error {
			t.Helper()
			if err := os.WriteFile(path+".tmp", []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			return rename(path+".tmp", path)
		}
		read := func() string {
			content, _ := os.ReadFile(path)
			return string(content)
		}
		if err := renameNew("first"); err != nil || read() != "first" {
			t.Errorf("%s: %q, %v", name, read(), err)
		}
		if err := renameNew("second"); !errors.Is(err, fs.ErrExist) || read() != "first" {
			t.Errorf("%s: over a file: %q, %v", name, read(), err)
		}
	}
}
