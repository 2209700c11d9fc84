package urlpath

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// rulesOf returns rules with the words of paths.allow; "all" is all words.
func rulesOf(words string) Rules {
	var rules Rules
	for word, allowed := range rules.Words() {
		*allowed = words == "all" || strings.Contains(words, word)
	}
	return rules
}

// escaped returns the text n times, in escapes.
func escaped(text string, n int) string {
	var b strings.Builder
	for i := range len(text) {
		writeEscape(&b, text[i])
	}
	return strings.Repeat(b.String(), n)
}

// TestExpensivePaths: clients cause the work before they are authenticated. A
// path that would take milliseconds is refused before the work is done.
func TestExpensivePaths(t *testing.T) {
	const arabic, marks, hangul = "\ufdfa", "a\u0308\u0323", "\u1100\u1161\u11a8"
	for _, test := range []struct{ words, path string }{
		{"all", "/%EF%BC%85" + escaped(arabic, 890) + "%80"}, // 7 ms
		{"look-alike non-utf8", "/%EF%BC%85" + escaped(arabic, 890) + "%80"},
		{"non-utf8", "/" + escaped(arabic, 900) + "%80"},
		{"look-alike", "/" + escaped(arabic, 900)}, // 2 ms, was accepted
		{"all", "/" + escaped(marks, 300) + "%80"}, // 3 ms, was accepted
		{"non-utf8", "/" + escaped("\u0308\u0323", 400) + "%80"},
		{"non-utf8", "/" + escaped(hangul, 300) + "%80"},
		{"all", "/" + strings.Repeat("%E9", 2700)},
	} {
		if _, err := Parse(test.path, rulesOf(test.words)); !errors.Is(err, encodedTooOften) {
			t.Errorf("with %s, %.30s… of %d bytes: %v, want it refused as too much work", test.words, test.path, len(test.path), err)
		}
		if bytes := allocated(func() { Parse(test.path, rulesOf(test.words)) }); bytes > 4*int(maxWork) {
			t.Errorf("with %s, %.30s… of %d bytes: %d bytes were allocated", test.words, test.path, len(test.path), bytes)
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) int {
	least := math.MaxInt
	var before, after runtime.MemStats
	for range 3 { // other goroutines allocate too
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, int(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

// TestWorkOfRealPaths: names of files in each script and charset pass, with
// each word, and with much to spare.
func TestWorkOfRealPaths(t *testing.T) {
	kilobyte := func(name string) string {
		return strings.Repeat("/"+escaped(name, 1), 1+1024/(3*len(name)+1)) // as sent
	}
	for name, path := range map[string]string{
		"Japanese": kilobyte("\u30ce\u30fc\u30c8\u6f22\u5b57\u3072\u3089\u304c\u306a"), "Chinese": kilobyte("\u4f60\u597d\u4e16\u754c\uff08\u6587\u4ef6\uff09"),
		"Korean": kilobyte("\ud55c\uad6d\uc5b4"), "Korean of macOS": kilobyte(norm.NFD.String("\ud55c\uad6d\uc5b4")), "Arabic": kilobyte("\u0635\u0641\u062d\u0629 \u0645\u0650\u062d\u0645\u0651\u062f"),
		"Arabic with a ligature": kilobyte("\u0645\u062d\u0645\u062f \ufdfa"), "Vietnamese of macOS": kilobyte(norm.NFD.String("ti\u1ebfng vi\u1ec7t")),
		"full-width": kilobyte("\uff21\uff22\uff23\uff11\uff12\uff1f"), "half-width": kilobyte("\uff76\uff9e\uff77\uff9e"), "Latin-1": kilobyte("caf\xe9"), "Shift-JIS": kilobyte("\x93\xfa\x96\x7b"),
		"GBK": kilobyte("\xc4\xe3\xba\xc3"), "Big5": kilobyte("\xa7\xda\xa6\x6e"), "Windows-1251": kilobyte("\xcf\xf0\xe8\xe2\xe5\xf2"), "EUC-KR": kilobyte("\xc7\xd1\xb1\xdb"),
		"mixed":      kilobyte("\u30ce\u30fc\u30c8\u6f22\u5b57") + "/caf%E9",
		"parameters": kilobyte("\u30ce\u30fc\u30c8") + ";v=1", "delimiters": kilobyte("\u30ce\u30fc\u30c8") + "%23x", "percent": "/100%25" + kilobyte("\u30ce\u30fc\u30c8"),
		"empty segments": "/proxy/https://example.com" + kilobyte("\u30ce\u30fc\u30c8"),
	} {
		left := maxWork
		p := Path{sent: path, canonical: path, decoded: path}
		if err := p.computeReadings(rulesOf("all"), &left); err != nil || left < maxWork/3 {
			t.Errorf("%s, %d bytes: %v, %d of %d left", name, len(path), err, left, maxWork)
		}
	}
}

// TestNFKCIsLimited: a result that would cost more than is left is not
// computed.
func TestNFKCIsLimited(t *testing.T) {
	text := strings.Repeat("\ufdfa", 500)
	folded := norm.NFKC.String(text)
	cost := work((workToFold+workToCompose)*len(text) + workPerComposed*len(folded))
	left := cost
	if got, err := left.nfkc(text); got != folded || err != nil || left != 0 {
		t.Errorf("%d bytes, %v, %d left", len(got), err, left)
	}
	left = cost - 1
	if got, err := left.nfkc(text); !errors.Is(err, encodedTooOften) {
		t.Errorf("%d bytes with too little work", len(got))
	}
	left = work((workToFold + workToCompose) * len(text))
	if bytes := allocated(func() { left := left; left.nfkc(text) }); bytes > 4*len(text) {
		t.Errorf("%d bytes were allocated for %d, and the result has %d", bytes, len(text), len(folded))
	}
}

// FuzzNFKC compares with the function that is not limited.
func FuzzNFKC(f *testing.F) {
	for _, text := range []string{"", "a", "\ufdfa", "a\u0308\u0323b", strings.Repeat("\u0308\u0323", 100), "\u1100\u1161\u11a8\xff", "\xe9\u0301", "\U0001ccd6\u0301", "a\u0344", strings.Repeat("\u0344", 40)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if left := maxWork; len(text) < 1000 { // at most 11 times as long
			if got, err := left.nfkc(text); err != nil || got != nfkc(text) {
				t.Errorf("%q: %q, want %q (%v)", text, got, nfkc(text), err)
			}
		}
	})
}
