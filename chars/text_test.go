package chars

import (
	"strings"
	"testing"
)

// TestSets: which set has which text.
func TestSets(t *testing.T) {
	for text, want := range map[string]struct{ line, plain, claim bool }{
		"":                       {true, true, false},
		"alice":                  {true, true, true},
		"café 漢字 😀":              {true, true, true},
		"می\u200cخواهم":          {true, true, true}, // a joiner
		" alice":                 {true, true, false},
		"alice ":                 {true, true, false},
		"a\nb":                   {},
		"a\tb":                   {},
		"a\x7fb":                 {},
		"a\u0085b":               {},
		"a\u2028b":               {},
		"a\u2029b":               {},
		"a\xffb":                 {},
		"a\u202eb":               {line: true}, // bidi override
		"\ufeffalice":            {line: true}, // byte order mark
		"a\u200bb":               {line: true}, // zero-width space
		strings.Repeat("x", 255): {true, true, true},
		strings.Repeat("x", 256): {true, true, false},
	} {
		if IsLine([]byte(text)) != want.line || IsPlain(text) != want.plain || IsClaim(text) != want.claim {
			t.Errorf("%+q: line %v, plain %v, claim %v; want %+v", text, IsLine([]byte(text)), IsPlain(text), IsClaim(text), want)
		}
	}
}
