package urlpath

import (
	"strings"
	"testing"
)

// TestIncludes: a set includes another one only if no path of that is outside.
func TestIncludes(t *testing.T) {
	for _, c := range []struct {
		set, of string // patterns; "" is any path
		want    bool
	}{
		{"", "", true}, {"", "/a", true}, {"/a", "", false}, {"/", "", false},
		{"/", "/a", true}, {"/a", "/a", true}, {"/a", "/a/b", true}, {"/a", "=/a", true}, {"/a", "/a/", true},
		{"/a", "/ab", false}, {"/a/", "/a", false}, {"/a/", "=/a", false}, {"/a/", "/a/b", true}, {"/a/b", "/a", false},
		{"=/a", "=/a", true}, {"=/a", "/a", false}, {"=/a", "=/a/b", false},
		{"/a /b", "/a/x /b/y", true}, {"/a /b", "/a /c", false}, {"/a /b", "/", false},
		{"/a", "/A", false}, {"/a%2fb", "/a%2fb/c", true}, {"/a", "/a%2fb", false},
	} {
		set, of := setOf(t, c.set), setOf(t, c.of)
		if got := set.Includes(of); got != c.want {
			t.Errorf("%q includes %q: %v", c.set, c.of, got)
		}
	}
	if (Set{}).Includes(Any()) || (Set{}).Includes(setOf(t, "/a")) || !setOf(t, "/a").Includes(Set{}) {
		t.Error("the empty set")
	}
}

func setOf(t *testing.T, text string) Set {
	t.Helper()
	set, err := ParseSet(strings.Fields(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// FuzzIncludes: what an included pattern matches, the set matches too.
func FuzzIncludes(f *testing.F) {
	f.Add("/a", "/a/b", "/a/b/c")
	f.Add("=/a", "=/a", "/a")
	f.Add("/a/", "/a%2fb", "/a%2fb/c")
	f.Add("/é", "/%C3%A9/x", "/%c3%a9/x/y")
	f.Fuzz(func(t *testing.T, set, of, target string) {
		p, err := ParsePattern(set, permissiveRules)
		if err != nil {
			return
		}
		q, err := ParsePattern(of, permissiveRules)
		if err != nil || !p.Covers(q) {
			return
		}
		path, err := Parse(target, permissiveRules)
		if err != nil {
			return
		}
		if q.Matches(path) && !p.Matches(path) || q.Decoded().Matches(path.Decoded()) && !p.Decoded().Matches(path.Decoded()) {
			t.Errorf("%q covers %q, and %q is of the second alone", set, of, target)
		}
	})
}
