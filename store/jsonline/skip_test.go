package jsonline

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSkip: what is skipped is a value of JSON, as it was written.
func FuzzSkip(f *testing.F) {
	for _, text := range []string{
		` {"a":[1,-0.5e+3,"\u00e9\ud83d\ude00"],"b":{"c":null}} `, `[]`, `true`, `"x"`, `-0`, `1E9`, `01`, `[1,]`, `{"a":1,"a":2}`, `"\ud800"`, `nul`, `[[[[]]]]`, `-`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewScanner(text)
		raw, err := s.Skip()
		if err != nil || !s.End() {
			return
		}
		if !json.Valid(text) {
			t.Fatal("encoding/json refuses it")
		}
		if !bytes.Equal(raw, bytes.Trim(text, whiteSpace)) {
			t.Fatalf("skipped is %q", raw)
		}
	})
}

func TestSkip(t *testing.T) {
	for text, good := range map[string]bool{
		`null`: true, `{"a":[{"b":[]}]}`: true, `0`: true, `-12.50e-7`: true, `"a\/b"`: true, ` false `: true,
		``: false, `nil`: false, `.5`: false, `1.`: false, `+1`: false, `1e`: false, `--1`: false, `00`: false, `[1 2]`: false, `{"a"}`: false, `{a:1}`: false,
		`[,]`: false, "\"\n\"": false, `{"a":1,"a":1}`: false, `"\udc00"`: false, `tru`: false, `{"a":{"b":1,"\u0062":1}}`: false,
	} {
		s := NewScanner([]byte(text))
		_, err := s.Skip()
		if got := err == nil && s.End(); got != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
