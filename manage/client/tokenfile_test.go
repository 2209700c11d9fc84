package client

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenFile: what is read, and what is refused. No error has the content.
func TestTokenFile(t *testing.T) {
	const key = "kw_4X8DKSS24K3yA5svpnIXoG1meypn3RUA19kNKA"
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string // in the error; "" is read
	}{
		"a line":                  {key + "\n", 0o600, ""},
		"no newline":              {key, 0o400, ""},
		"of another system":       {key + "\r\n", 0o600, ""},
		"more lines":              {key + "\nsecond line\n", 0o600, ""},
		"empty":                   {"", 0o600, "its first line is empty"},
		"an empty line":           {"\n" + key, 0o600, "its first line is empty"},
		"too long":                {strings.Repeat("a", maxToken+1), 0o600, "more than 8192 bytes"},
		"readable by the group":   {key, 0o640, "use chmod 600"},
		"readable by all":         {key, 0o644, "use chmod 600"},
		"writable by all":         {key, 0o602, "use chmod 600"},
		"executable by the group": {key, 0o610, "use chmod 600"},
	} {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadTokenFile(path)
		switch {
		case test.want == "" && (err != nil || got.Reveal() != key):
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !got.Empty() || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "kw_4X8D")):
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadTokenFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := ReadTokenFile(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}
