package database

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{"hunter2": "hunter2", "hunter2\n": "hunter2", " a b \n\n": " a b \n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPassword(file); err != nil || got != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if got, err := readPassword(file + ".missing"); err == nil || got != "" {
		t.Errorf("a missing file: %q, %v", got, err)
	}
}
