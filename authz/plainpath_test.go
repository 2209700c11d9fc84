package authz

import (
	"strings"
	"testing"
)

// FuzzPlainPath: what the short way takes for plain, the long way finds nothing in.
func FuzzPlainPath(f *testing.F) {
	for _, path := range []string{"/", "/a/b/", "/a//b", "/a/./b", "/a%2fb", "/a;b", "/a\\b", "/é", strings.Repeat("/a", 256), strings.Repeat("/a", 257)} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if path == "" || path[0] != '/' || targetBad.any(path) || strings.Contains(path, "?") || !isPlainPath(path) {
			return
		}
		encoded, err := scanPath(path, PathRules{})
		if err != nil || encoded {
			t.Errorf("%q: encoded %t, %v", path, encoded, err)
		}
		if err := scanSegments(path, PathRules{}); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	})
}
