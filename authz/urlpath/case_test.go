package urlpath

import (
	"testing"
	"unicode"
)

// TestFoldRune: runes that differ only in case become one. The dotless and the
// dotted i of Turkish become i, as conversion to upper and to lower case makes
// them.
func TestFoldRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			if foldRune(other) != foldRune(r) {
				t.Errorf("%U and %U differ only in case, but become %U and %U", r, other, foldRune(r), foldRune(other))
			}
		}
		if folded := foldRune(r); folded != foldRune(unicode.ToLower(r)) || folded != foldRune(unicode.ToUpper(r)) {
			t.Errorf("%U becomes %U, which folds to another rune", r, folded)
		}
	}
	for _, i := range "iIıİ" {
		if foldRune(i) != 'i' {
			t.Errorf("%c becomes %c", i, foldRune(i))
		}
	}
}

// TestPathCase has the readings of a path for each choice.
func TestPathCase(t *testing.T) {
	for _, test := range []struct {
		target             string
		pathCase           Case
		canonical, decoded string
	}{
		{"/Admin/X", CaseRefuse, "/Admin/X", "/admin/x"},
		{"/Admin/X", CaseSensitive, "/Admin/X", "/Admin/X"},
		{"/Admin/X", CaseInsensitive, "/admin/x", "/admin/x"},
		{"/caf%c3%89", CaseRefuse, "/caf%C3%89", "/caf\u00e9"},
		{"/caf%c3%89", CaseSensitive, "/caf%C3%89", "/caf\u00c9"},
		{"/CAF%c3%89", CaseInsensitive, "/caf%C3%A9", "/caf\u00e9"},
		{"/adm%C4%B1n", CaseRefuse, "/adm%C4%B1n", "/admin"},
		{"/ADM%C4%B1N%20X", CaseInsensitive, "/adm%C4%B1n%20x", "/admin x"},
		{"/%E2%B1%A6", CaseInsensitive, "/%E2%B1%A6", "/\u2c66"},
		{"/%C8%BE", CaseInsensitive, "/%E2%B1%A6", "/\u2c66"}, // two bytes become three
		{"/Admin.%20/a", CaseRefuse, "/Admin.%20/a", "/admin/a"},
		{"/v1.", CaseSensitive, "/v1.", "/v1"},
		{"/%20a", CaseSensitive, "/%20a", "/a"},
		{"/.well-known", CaseRefuse, "/.well-known", "/.well-known"},
	} {
		path, err := Parse(test.target, Rules{Case: test.pathCase})
		if err != nil || path.Canonical() != test.canonical || path.Decoded().Canonical() != test.decoded || path.String() != test.target {
			t.Errorf("%s by %d: %q and %q, %v; want %q and %q", test.target, test.pathCase, path.Canonical(), path.Decoded().Canonical(), err, test.canonical, test.decoded)
		}
	}
}

// TestPatternsInAnyCase: a pattern of a key or a user is parsed before it is
// known whether case matters.
func TestPatternsInAnyCase(t *testing.T) {
	for _, test := range []struct {
		pattern, target string
		sensitive, not  bool // whether it matches if case matters, and if it does not
	}{
		{"/Docs", "/docs/x", false, true},
		{"/Docs", "/Docs/X", true, true},
		{"=/docs", "/DOCS", false, true},
		{"=/docs", "/DOCS/x", false, false},
		{"/docs/", "/DOCS/x", false, true},
		{"/docs", "/DOCSx", false, false},
		{"/caf%C3%A9", "/CAF%C3%89/x", false, true},
		{"/admin", "/adm%C4%B1n", false, false},
		{"/", "/X", true, true},
	} {
		set, err := ParseSet([]string{test.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for pathCase, want := range map[Case]bool{CaseRefuse: test.sensitive, CaseSensitive: test.sensitive, CaseInsensitive: test.not} {
			path, err := Parse(test.target, Rules{Case: pathCase})
			if err != nil || set.Contains(path) != want {
				t.Errorf("%s under %s by %d: %v %v, want %v", test.target, test.pattern, pathCase, set.Contains(path), err, want)
			}
		}
	}
}
