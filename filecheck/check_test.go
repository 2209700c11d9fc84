package filecheck

import (
	"os"
	"path/filepath"
	"testing"

	"keyward/config"
)

func TestFileOfKeyWithoutCheckIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readable")
	if err := os.WriteFile(path, []byte("anything"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &check{cfg: &config.Config{}}
	for _, key := range []string{"keys.other_file", "tlsx.grpc.cert_file", ""} {
		if err := c.file(config.File{Key: key, Path: path}); err == nil {
			t.Errorf("check of %q accepts a file that it has no check for", key)
		}
	}
}
