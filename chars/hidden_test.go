package chars

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestHidden(t *testing.T) {
	for r, hidden := range map[rune]bool{
		'a': false, ' ': false, 'é': false, 'ü': false, '漢': false, 'а': false, '\u0301': false, '😀': false,
		0: true, '\n': true, 0x7f: true, 0x9b: true, 0xa0: true, 0xad: true, // C0, DEL, C1, no-break space, soft hyphen
		0x200b: true, 0x200d: true, 0x202e: true, 0x2028: true, 0x2029: true, 0x2066: true, 0xfeff: true, 0xe0041: true,
		0x2003: true, 0x3000: true, 0x2800: true, // blanks
		0xfe0f: true, 0xe0100: true, 0x180b: true, // variation selectors
		0x034f: true, 0x115f: true, 0x3164: true, 0xffa0: true, // drawn as nothing
		0xe000: true, 0x10ffff: true, 0x0378: true, // private, noncharacter, unassigned
	} {
		if IsHidden(r) != hidden {
			t.Errorf("%U: hidden is %v", r, !hidden)
		}
	}
}

func TestEscapeHidden(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"b"}` + "\n":    `{"a":"b"}` + "\n",
		`"café 漢"`:            `"café 漢"`,
		"\"\u202e\u009b\"":    `"\u202e\u009b"`,
		"\"a\x7f\U000e0041\"": `"a\u007f\udb40\udc41"`,
		"\ufeff":              `\ufeff`,
	} {
		if got := string(EscapeHidden([]byte(text))); got != want {
			t.Errorf("%+q: %+q, want %+q", text, got, want)
		}
	}
	text := []byte(`{"msg":"decision","path":"/caf%C3%A9"}`)
	if n := testing.AllocsPerRun(100, func() { EscapeHidden(text) }); n != 0 {
		t.Errorf("%v allocations for a text without hidden characters", n)
	}
}

func FuzzEscapeHidden(f *testing.F) {
	f.Add("a\u202e\U000e0041\u2028\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		escaped := EscapeHidden(encoded)
		var before, after string
		if json.Unmarshal(encoded, &before) != nil || json.Unmarshal(escaped, &after) != nil || before != after {
			t.Fatalf("%q means %q, but its escaped form means %q", text, before, after)
		}
		for _, r := range bytes.Runes(escaped) {
			if IsHidden(r) {
				t.Fatalf("%U is left in %q", r, escaped)
			}
		}
	})
}
