package urlpath

import (
	"strings"
	"testing"

	"keyward/chars"
)

// FuzzLiteralPath: scanPath accepts every path that isLiteralPath accepts.
func FuzzLiteralPath(f *testing.F) {
	for _, path := range []string{"/", "/a/b/", "/a//b", "/a/./b", "/a%2fb", "/a;b", "/a\\b", "/é", "", "a", "/ ", "/\x7f", "/#", "/?", "/" + strings.Repeat("a", maxPathBytes), strings.Repeat("/a", 256), strings.Repeat("/a", 257)} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !isLiteralPath(path) {
			return
		}
		if !strings.HasPrefix(path, "/") || chars.InvalidTarget.Any(path) || strings.Contains(path, "?") || len(path) > maxPathBytes {
			t.Fatalf("%q: accepted, but it does not start with a slash", path)
		}
		err := scanPath(path, Rules{})
		if err != nil || strings.Contains(path, "%") {
			t.Errorf("%q: %v", path, err)
		}
		if err := scanSegments(path, Rules{}); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	})
}
