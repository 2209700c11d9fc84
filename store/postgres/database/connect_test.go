package database

import (
	"os"
	"path/filepath"
	"testing"

	"keyward/store/postgres/pgurl"
)

// TestPoolIsBounded: by the machine's cores in no case.
func TestPoolIsBounded(t *testing.T) {
	for text, want := range map[string]int32{"postgres://keyward@/keyward": 4, "postgres://keyward@/keyward?pool_max_conns=2": 2, "postgres://keyward@/keyward?pool_max_conns=20": 20} {
		u, err := pgurl.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		pool, err := (&Config{URL: u}).poolConfig()
		if err != nil {
			t.Fatal(err)
		}
		if pool.MaxConns != want {
			t.Errorf("%s: %d connections, want %d", text, pool.MaxConns, want)
		}
	}
}

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
