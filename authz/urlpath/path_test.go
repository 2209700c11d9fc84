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
		"/%c0%af", "/%ed%a0%80", "/caf%E9", "/%EF%BC%9F", "/..%20", "/a/..%20/b", "/.%20.", "/%20", "/a/%20/b", "/%E3%80%80", "/%C2%A0..", "/..%E2%80%83/", "/a//b", "/a//", "/.", "/..", "/...", "/a/./b", "/a/..",
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
		{"encoded-percent", "/" + "%" + strings.Repeat("25", 31) + "41", false},
		{"encoded-percent", "/" + "%" + strings.Repeat("25", 29) + "41", true},
		{"non-utf8 encoded-percent", "/a/%25C0%25AE%25C0%25AE/b", false},
		{"non-utf8 encoded-percent", "/%25E9/x", true},
		{"non-utf8 encoded-percent", "/%25E9/%E9", false},
		{"non-utf8", "/" + strings.Repeat("%E9", 1000), true},
		{"non-utf8", "/" + strings.Repeat("%E9", 2700), false}, // too much work
		{"encoded-percent", "/100%2500", true},
		{"encoded-percent", "/50%25DEAL", true},
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
		{"encoded-delimiter", "/room/%23general%3Aexample.org", true},
		{"encoded-delimiter", "/bucket/what%3F.png", true},
		{"encoded-delimiter", "/a/..%3F", false},
		{"encoded-delimiter", "/a/%3F/..%23x/b", false},
		{"encoded-delimiter encoded-unreserved", "/a%3F/%2E%2E/b", false}, // to servers that cut nothing off
		{"encoded-delimiter semicolon", "/a;%3Fb/c", false},
		{"encoded-backslash", "/files/C%3A%5Ctemp%5Ca.txt", true},
		{"encoded-backslash", "/files/%5C%5Cserver%5Cshare", true},
		{"encoded-backslash", "/files/..%5Ca", false},
		{"encoded-backslash", "/files%5C..%5Cadmin", false},
		{"encoded-backslash encoded-delimiter", "/a%3F%5C..%5Cb", false},
		{"encoded-backslash semicolon", "/a;%5Cb", false},
		{"look-alike", "/wiki/%E4%BD%95%EF%BC%9F", true},
		{"look-alike", "/posts/to-be-continued%E2%80%A6", true},
		{"look-alike", "/p/100%EF%BC%85", true},
		{"look-alike", "/%EF%BD%81dmin", true},
		{"look-alike", "/a/%E2%80%A6/b", false},                  // …
		{"look-alike", "/a/%EF%BC%8E%EF%BC%8E/b", false},         // ．．
		{"look-alike", "/a/%EF%BC%8E%EF%BC%8E%EF%BC%8Fb", false}, // ．．／
		{"look-alike", "/a/%EF%BC%85%32%65%EF%BC%85%32%65/b", false},
		{"look-alike encoded-unreserved", "/a/%EF%BC%852e%EF%BC%852e/b", false}, // ％2e％2e
		{"look-alike", "/a%EF%BC%9B%E2%88%95b", false},                          // ；∕
		{"non-utf8", "/caf%E9", true},
		{"non-utf8", "/p/%93%FA%96%7B", true}, // Shift-JIS
		{"non-utf8", "/posts/%83%5C", false},
		{"non-utf8 encoded-backslash", "/posts/%83%5C", true},
		{"non-utf8", "/a/%C0%AE%C0%AE/b", false}, // overlong
		{"non-utf8", "/a%C0%AFb", false},
		{"non-utf8", "/a%E0%80%AFb", false},
		{"non-utf8", "/a%ED%A0%B5%ED%B0%9A", false}, // surrogates
		{"non-utf8", "/a/.%FF./b", false},           // dropped
		{"non-utf8", "/a/%85/b", false},             // … in Windows-1252
		{"non-utf8", "/a/%C0n%C0n%C0ob", false},     // ../ to a server that does not check continuation bytes
		{"non-utf8", "/a/%81D%81D/b", false},        // ．． in Shift-JIS
		{"non-utf8", "/a/%A3%AE%A3%AE/b", false},    // ．． in GBK
		{"non-utf8", "/a/%A1D%A1D/b", false},        // ．． in Big5
		{"non-utf8", "/%C2%80%E9", false},           // a control character stays refused
	}
	for _, test := range tests {
		var rules urlpath.Rules
		for _, word := range strings.Fields(test.allow) {
			*rules.Words()[word] = true
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

func BenchmarkParsePath(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := urlpath.Parse("/api/v1/projects/12345/items?limit=10", urlpath.Rules{}); err != nil {
			b.Fatal(err)
		}
	}
}
