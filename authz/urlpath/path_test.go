package urlpath_test

import (
	"errors"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/internal/vectors"

	"golang.org/x/text/unicode/norm"
)

func TestPathVectors(t *testing.T) {
	for _, v := range vectors.Paths(t) {
		got := judgePath(t, v.Target, v.Prefix)
		if got != v.Expect {
			t.Errorf("%q under %q: %s, want %s (%s)", v.Target, v.Prefix, got, v.Expect, v.Why)
		}
	}
}

func judgePath(t *testing.T, target, pattern string) string {
	t.Helper()
	set, err := urlpath.ParseSet([]string{pattern})
	if err != nil {
		t.Fatalf("pattern %q: %v", pattern, err)
	}
	path, err := urlpath.Parse(target, urlpath.Rules{})
	switch {
	case errors.Is(err, urlpath.ErrAmbiguous):
		return "deny_ambiguous"
	case err != nil:
		t.Fatalf("%q: an unexpected error: %v", target, err)
	case set.Contains(path):
		return "allow"
	}
	return "deny"
}

// TestPathRefusals has a line for each rule that refuses, so that none can be
// removed unnoticed.
func TestPathRefusals(t *testing.T) {
	long := "/" + strings.Repeat("a", 8192)
	many := strings.Repeat("/a", 257)
	for _, target := range []string{
		"", "a", "*", "/a b", "/a\x00", "/a\x7f", "/a#b", "/a?b#c", "/a?b c", long, many,
		"/a\x80", "/a\\b", "/a;b", "/%", "/%4", "/%4g", "/%2f", "/%2F", "/%5c", "/%2e", "/%25", "/%3b", "/%3f", "/%23",
		"/%00", "/%1f", "/%7f", "/%c2%80", "/%41", "/%7a", "/%30", "/%2d", "/%5f", "/%ff", "/%c3", "/%c3a", "/%c3%41",
		"/%ed%a0%80", "/%ef%bc%8f", "/%e2%88%95", "/%EF%BD%81dmin", "/%E2%84%AAiosk", "//",
		"/..%20", "/a/..%20/b", "/.%20.", "/%20", "/a/%20/b", "/%E3%80%80", "/%C2%A0..", "/..%E2%80%83/", "/a//b", "/a//", "/.", "/..", "/...", "/a/./b", "/a/..",
	} {
		if _, err := urlpath.Parse(target, urlpath.Rules{}); !errors.Is(err, urlpath.ErrAmbiguous) {
			t.Errorf("ParsePath(%.40q) = %v, want ErrAmbiguousPath", target, err)
		}
	}
	for _, target := range []string{"/" + strings.Repeat("a", 8191), strings.Repeat("/a", 256), strings.Repeat("/a", 255) + "/"} {
		if _, err := urlpath.Parse(target, urlpath.Rules{}); err != nil {
			t.Errorf("ParsePath(%.40q): %v, want it at the limit accepted", target, err)
		}
	}
}

// TestAllowedSpellings: a spelling that an operator allows must not smuggle in
// one that stays refused.
func TestAllowedSpellings(t *testing.T) {
	tests := []struct {
		allow  string
		target string
		ok     bool
	}{
		{"semicolon", "/a;v=1/b", true},
		{"semicolon", "/a/%3bb", true},
		{"semicolon", "/a/..;/b", false},
		{"semicolon", "/a/..;x=y/b", false},
		{"semicolon", "/a/.;/b", false},
		{"semicolon", "/a/..%3b/b", false},
		{"encoded-slash", "/a%2fb", true},
		{"encoded-slash", "/a/..%2fb", false},
		{"encoded-slash", "/a%2f..%2fb", false},
		{"encoded-slash", "/a%2f%2e%2e%2fb", false},
		{"encoded-percent", "/a%25b", true},
		{"encoded-percent", "/a/%252e%252e/b", false},
		{"encoded-percent", "/a/%25252e%25252e/b", false},
		{"encoded-percent", "/a/..%252fb", false},
		{"encoded-percent", "/a/" + "%" + strings.Repeat("25", 8) + "2e", false},
		{"encoded-unreserved", "/%61%2d%5f", true},
		{"encoded-unreserved", "/a%2ejson", true},
		{"encoded-unreserved", "/%2e%2e/b", false},
		{"encoded-unreserved", "/.%2e/b", false},
		{"semicolon encoded-slash", "/a/b;%2Fc/d", false},
		{"semicolon encoded-slash", "/a/b;x%2Fc/d", false},
		{"semicolon encoded-slash", "/a;v=1/b%2Fc", true},
		{"empty-segment", "/a//b", true},
		{"empty-segment", "//", true},
		{"empty-segment", "/a//../b", false},
	}
	for _, test := range tests {
		rules := urlpath.Rules{
			Semicolon: strings.Contains(test.allow, "semicolon"), EncodedSlash: strings.Contains(test.allow, "encoded-slash"),
			EncodedPercent: strings.Contains(test.allow, "encoded-percent"), EncodedUnreserved: strings.Contains(test.allow, "encoded-unreserved"),
			EmptySegment: strings.Contains(test.allow, "empty-segment"),
		}
		if _, err := urlpath.Parse(test.target, rules); (err == nil) != test.ok {
			t.Errorf("with %s allowed, %q: %v, want ok %v", test.allow, test.target, err, test.ok)
		}
		if _, err := urlpath.Parse(test.target, urlpath.Rules{}); err == nil {
			t.Errorf("with nothing allowed, %q: accepted", test.target)
		}
	}
}

func TestEncodedUnreservedIsTheSamePath(t *testing.T) {
	rules := urlpath.Rules{EncodedUnreserved: true}
	path, err := urlpath.Parse("/%61dmin", rules)
	if err != nil {
		t.Fatal(err)
	}
	pattern, err := urlpath.ParsePattern("/admin", rules)
	if err != nil || !pattern.Matches(path) {
		t.Errorf("/%%61dmin does not match /admin (%v), but an upstream would treat them alike", err)
	}
}

// TestLookalikes compares the tables with golang.org/x/text: every rune that
// NFKC turns into a path character, or into ASCII letters, is refused, and no
// rune of ordinary words is.
func TestLookalikes(t *testing.T) {
	for r := rune(0xa0); r <= 0x10ffff; r++ {
		if 0xd800 <= r && r <= 0xdfff {
			continue
		}
		folded := norm.NFKC.String(string(r))
		want := strings.ContainsAny(folded, `/\.%;?#`) || isWordOfASCII(folded)
		_, err := urlpath.Parse("/a"+escape(string(r)), urlpath.Rules{})
		if want && err == nil {
			t.Errorf("%U is %q by NFKC, but is accepted", r, folded)
		}
		if !want && err != nil && strings.Contains(err.Error(), "ASCII letter") && r>>8 != 0x1cc { // those are from a later version of Unicode
			t.Errorf("%U is %q by NFKC: %v", r, folded, err)
		}
	}
	for _, word := range []string{"é", "你好", "ノート", "صفحة", "😀", "½", "ß", "ı", "（あ）", "～"} {
		if _, err := urlpath.Parse("/"+escape(word), urlpath.Rules{}); err != nil {
			t.Errorf("%q: %v", word, err)
		}
	}
}

// isWordOfASCII reports whether s is in ASCII and contains a character that a
// path must not have encoded.
func isWordOfASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= 0x80 }) < 0 &&
		strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		const hex = "0123456789ABCDEF"
		b.Write([]byte{'%', hex[s[i]>>4], hex[s[i]&15]})
	}
	return b.String()
}

func TestPatterns(t *testing.T) {
	for pattern, targets := range map[string]struct{ in, out string }{
		"/":   {"/ /x /x/y /x/", ""},
		"/a":  {"/a /a/ /a/b", "/ /ab /A /b/a"},
		"/a/": {"/a/ /a/b /a/b/", "/a /ab /"},
		"=/a": {"/a /a?b", "/a/ /ab /a/b /"},
	} {
		for _, target := range strings.Fields(targets.in) {
			if got := judgePath(t, target, pattern); got != "allow" {
				t.Errorf("%s under %s: %s, want allow", target, pattern, got)
			}
		}
		for _, target := range strings.Fields(targets.out) {
			if got := judgePath(t, target, pattern); got != "deny" {
				t.Errorf("%s under %s: %s, want deny", target, pattern, got)
			}
		}
	}
	for _, bad := range []string{"", "=", "a", "=a", "/a?b", "=/a?b", "/a b", "/a/../b", "/a/%2e%2e", "/a#b", "/%zz", "==/a"} {
		if _, err := urlpath.ParsePattern(bad, urlpath.Rules{}); err == nil {
			t.Errorf("ParsePattern(%q): accepted", bad)
		}
		if set, err := urlpath.ParseSet([]string{"/ok", bad}); err == nil || set.Contains(urlpath.Path{}) {
			t.Errorf("ParsePathSet with %q: accepted", bad)
		}
	}
	if set, err := urlpath.ParseSet(nil); err != nil || !set.IsAnyPath() {
		t.Errorf("no patterns: any path %v, %v", set.IsAnyPath(), err)
	}
}

func TestScopes(t *testing.T) {
	for _, bad := range []string{"", "a b", "a\"b", `a\b`, "a\x7f", "a\x1f", "é", strings.Repeat("s", 256)} {
		if _, err := authz.ParseScopes([]string{"ok", bad}); err == nil {
			t.Errorf("the scope %.20q: accepted", bad)
		}
	}
	scopes, err := authz.ParseScopes([]string{"b", "a", "b", "c:d/e,f%", strings.Repeat("s", 255)})
	if err != nil || !strings.HasPrefix(scopes.String(), "a b c:d/e,f% ss") || len(scopes.Names()) != 4 {
		t.Errorf("%s, %v", scopes, err)
	}
}

func TestZeroPathsMatchNothing(t *testing.T) {
	path, err := urlpath.Parse("/a", urlpath.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if (urlpath.Set{}).Contains(path) {
		t.Error("the zero PathSet contains a path")
	}
	if (urlpath.Pattern{}).Matches(path) || (urlpath.Pattern{}).Matches(urlpath.Path{}) {
		t.Error("the zero Pattern matches")
	}
	root, err := urlpath.ParsePattern("/", urlpath.Rules{})
	if err != nil || root.Matches(urlpath.Path{}) {
		t.Error("the zero Path is inside a pattern")
	}
}

// FuzzPath: every accepted path stays within its pattern in every reading. No
// reading has a dot segment, and no server finds the path outside the pattern
// that it matches.
func FuzzPath(f *testing.F) {
	for _, v := range vectors.Paths(f) {
		f.Add(v.Target, uint8(0))
		f.Add(v.Target, uint8(31))
		f.Add(v.Target, uint8(31+64))
		f.Add(v.Target, uint8(31+128))
	}
	f.Fuzz(func(t *testing.T, target string, allow uint8) {
		rules := urlpath.Rules{
			Semicolon: allow&1 != 0, EncodedSlash: allow&2 != 0, EncodedPercent: allow&4 != 0,
			EncodedUnreserved: allow&8 != 0, EmptySegment: allow&16 != 0, LookAlike: allow&32 != 0, Case: urlpath.Case(allow >> 6 % 3),
		}
		path, err := urlpath.Parse(target, rules)
		if err != nil {
			if path != (urlpath.Path{}) {
				t.Fatal("an error was returned with a path")
			}
			return
		}
		if !strings.HasPrefix(target, path.String()) || path.Canonical()[0] != '/' {
			t.Fatalf("%q became %q", target, path.String())
		}
		for _, reading := range []string{path.Canonical(), path.Decoded().Canonical()} {
			for segment := range strings.SplitSeq(reading, "/") {
				if segment != "" && strings.Trim(segment, ".") == "" {
					t.Fatalf("%q has the reading %q, which has a dot segment", target, reading)
				}
			}
		}
		again, err := urlpath.Parse(path.String(), rules)
		if err != nil || again.Canonical() != path.Canonical() {
			t.Fatalf("%q: an accepted path is refused the second time: %v", target, err)
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := urlpath.Parse("/api/v1/projects/12345/items?limit=10", urlpath.Rules{}); err != nil {
			b.Fatal(err)
		}
	}
}
