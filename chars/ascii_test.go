package chars

import (
	"testing"
	"testing/quick"
)

// TestLowerASCII: the letters A to Z change, and no other byte does.
func TestLowerASCII(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "abc-1": "abc-1", "ABC-Z[@`{": "abc-z[@`{", "\u212aey": "\u212aey", "K\u0130": "k\u0130", "É": "É", "\xffA": "\xffa",
	} {
		if got := LowerASCII(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	check := func(b []byte) bool {
		got := LowerASCII(string(b))
		for i, c := range b {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			if got[i] != c {
				return false
			}
		}
		return len(got) == len(b)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(100, func() { LowerASCII("x-auth-subject") }); n != 0 {
		t.Errorf("%v allocations for a text in lower case", n)
	}
}
