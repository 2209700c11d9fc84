package strictjson_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"keyward/verifier/strictjson"
)

var limits = strictjson.Limits{Depth: 4, Members: 3}

func TestAccepts(t *testing.T) {
	for text, want := range map[string]map[string]any{
		`{}`:                                     {},
		" \t\r\n{ \"a\" : 1 , \"b\" : [ ] } \n":  {"a": json.Number("1"), "b": []any{}},
		`{"a":-0.5e+10,"b":0,"c":9e-1}`:          {"a": json.Number("-0.5e+10"), "b": json.Number("0"), "c": json.Number("9e-1")},
		`{"a":true,"b":false,"c":null}`:          {"a": true, "b": false, "c": nil},
		`{"":"","A":"Ä€😀"}`:                      {"": "", "A": "Ä€😀"},
		`{"a":"\"\\\/\b\f\n\r\t\u00e4\u0000"}`:   {"a": "\"\\/\b\f\n\r\tä\x00"},
		`{"a":"x\uD83D\uDE00y","\u0062":"b"}`:    {"a": "x😀y", "b": "b"},
		`{"a":[{"b":[1,"2",null]}]}`:             {"a": []any{map[string]any{"b": []any{json.Number("1"), "2", nil}}}},
		`{"a":{"1":1,"2":2,"3":3,"4":4}}`:        {"a": map[string]any{"1": json.Number("1"), "2": json.Number("2"), "3": json.Number("3"), "4": json.Number("4")}},
		`{"a":"\uFFFD` + "\ufffd\u2028" + `"}`:   {"a": "\ufffd\ufffd\u2028"},
		`{"a":{"x":1},"b":{"x":1},"c":{"a":{}}}`: {"a": map[string]any{"x": json.Number("1")}, "b": map[string]any{"x": json.Number("1")}, "c": map[string]any{"a": map[string]any{}}},
	} {
		got, err := strictjson.Object([]byte(text), limits)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ why, text string }{
		{"nothing", ""},
		{"white space alone", "  "},
		{"null", "null"},
		{"an array", "[{}]"},
		{"a string", `"{}"`},
		{"a byte order mark", "\ufeff{}"},
		{"a NUL after it", "{}\x00"},
		{"a second value", "{}{}"},
		{"a member twice", `{"a":1,"a":1}`},
		{"a member twice, one escaped", `{"ab":1,"\u0061b":1}`},
		{"a member twice, nested", `{"a":[{"b":1,"b":2}]}`},
		{"a member twice, both empty", `{"":1,"":1}`},
		{"bytes that are not UTF-8", "{\"a\":\"\xff\"}"},
		{"bytes that are not UTF-8, in a name", "{\"\xc3\":1}"},
		{"bytes that are not UTF-8, after an escape", "{\"a\":\"\\n\xff\"}"},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}"},
		{"an overlong encoding", "{\"a\":\"\xc0\xaf\"}"},
		{"a high surrogate alone", `{"a":"\uD83D"}`},
		{"a high surrogate and text", `{"a":"\uD83Dx1234567"}`},
		{"a high surrogate and an escape", `{"a":"\uD83D\n12345"}`},
		{"two high surrogates", `{"a":"\uD83D\uD83D"}`},
		{"a low surrogate alone", `{"a":"\uDE00"}`},
		{"surrogates the wrong way round", `{"a":"\uDE00\uD83D"}`},
		{"an escape cut off", `{"a":"\u12`},
		{"an escape with other digits", `{"a":"\u12g4"}`},
		{"an unknown escape", `{"a":"\x41"}`},
		{"a backslash at the end", `{"a":"\`},
		{"a line break in a string", "{\"a\":\"\n\"}"},
		{"a NUL in a string", "{\"a\":\"\x00\"}"},
		{"a control character after an escape", "{\"a\":\"\\n\x01\"}"},
		{"a string without end", `{"a":"`},
		{"no colon", `{"a" 1}`},
		{"no value", `{"a":}`},
		{"no name", `{:1}`},
		{"a name that is not a string", `{a:1}`},
		{"single quotes", `{'a':1}`},
		{"no comma", `{"a":1 "b":2}`},
		{"a comma too many", `{"a":1,}`},
		{"a comma alone", `{,}`},
		{"two commas", `{"a":1,,"b":2}`},
		{"no end", `{"a":1`},
		{"the other bracket", `{"a":1]`},
		{"an array's comma too many", `{"a":[1,]}`},
		{"an array without comma", `{"a":[1 2]}`},
		{"an array without end", `{"a":[1`},
		{"a comment", `{"a":1/*x*/}`},
		{"another space", "{\"a\":\u00a01}"},
		{"a leading zero", `{"a":01}`},
		{"a minus alone", `{"a":-}`},
		{"a minus and zero and a digit", `{"a":-01}`},
		{"a plus", `{"a":+1}`},
		{"a point without digits", `{"a":1.}`},
		{"a point first", `{"a":.5}`},
		{"an exponent without digits", `{"a":1e}`},
		{"an exponent with a sign alone", `{"a":1e+}`},
		{"two signs", `{"a":1e+-1}`},
		{"hexadecimal", `{"a":0x10}`},
		{"NaN", `{"a":NaN}`},
		{"Infinity", `{"a":Infinity}`},
		{"a word cut off", `{"a":tru`},
		{"a word in other letters", `{"a":True}`},
		{"a word too long", `{"a":nulll}`},
		{"a level too deep", `{"a":[[[[]]]]}`},
		{"a level too deep, of objects", `{"a":{"a":{"a":{"a":{}}}}}`},
		{"a member too many", `{"a":1,"b":2,"c":3,"d":4}`},
	} {
		if got, err := strictjson.Object([]byte(c.text), limits); err == nil || got != nil {
			t.Errorf("%s: %v, %v", c.why, got, err)
		}
	}
}

func TestLimitsMustBePositive(t *testing.T) {
	for _, l := range []strictjson.Limits{{}, {Depth: 1}, {Members: 1}, {Depth: -1, Members: 1}} {
		if _, err := strictjson.Object([]byte(`{}`), l); err == nil {
			t.Errorf("%+v: accepted", l)
		}
	}
}

// TestDepthOfClosedLevels checks that a closed level no longer counts.
func TestDepthOfClosedLevels(t *testing.T) {
	text := `{"a":[` + strings.Repeat("[[]],", 100) + `{"b":{}}]}`
	if _, err := strictjson.Object([]byte(text), limits); err != nil {
		t.Error(err)
	}
}

func TestErrorsDoNotQuote(t *testing.T) {
	for _, text := range []string{`{"geheim":1,"geheim":2}`, `{"a":"geheim`, `{"a":geheim}`, `{} geheim`} {
		if _, err := strictjson.Object([]byte(text), limits); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("error %v", err)
		}
	}
}

// FuzzObject compares with encoding/json: it accepts what Object accepts, with
// the same value. Encoded and parsed again, the value stays the same.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,2.5e3,-0,"x\u00e4\uD83D\uDE00",true,false,null,{"b":{}}]}`, `{"a":1,"a":2}`,
		"{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":01}`, ` {"a" : [ ] } `, `{"a":1}{`, `{"a":[[[[[[]]]]]]}`, `{"":[1e700,{"":{}}]}`} {
		f.Add([]byte(seed))
	}
	l := strictjson.Limits{Depth: 16, Members: 128}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := strictjson.Object(data, l)
		if err != nil {
			if got != nil {
				t.Fatal("an error and a map")
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil || !json.Valid(data) || !utf8.Valid(data) || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v; encoding/json: %v, %v", data, got, want, err)
		}
		if members := countMembers(t, data); members != countIn(got) {
			t.Fatalf("%q: %d members in the text, %d read", data, members, countIn(got))
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := strictjson.Object(written, l); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q, written again: %v, %v", data, again, err)
		}
	})
}

// countMembers counts the names in the text, including duplicates.
func countMembers(t *testing.T, data []byte) int {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // 1e700 is a number too
	var inObject, wantName []bool
	n := 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return n
		}
		top := len(inObject) - 1
		switch delim, _ := token.(json.Delim); {
		case delim == '}' || delim == ']':
			inObject, wantName = inObject[:top], wantName[:top]
			continue
		case top >= 0 && inObject[top] && wantName[top]:
			n++
			wantName[top] = false
			continue
		case top >= 0:
			wantName[top] = true
		}
		if delim, opens := token.(json.Delim); opens {
			inObject, wantName = append(inObject, delim == '{'), append(wantName, true)
		}
	}
}

func countIn(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, each := range v {
			n += 1 + countIn(each)
		}
	case []any:
		for _, each := range v {
			n += countIn(each)
		}
	}
	return n
}

func BenchmarkClaims(b *testing.B) {
	text := []byte(`{"iss":"https://issuer.example","aud":"api","sub":"alice","iat":1767225540,"exp":1767229200,"scope":"read write","jti":"0123456789abcdef"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := strictjson.Object(text, strictjson.Limits{Depth: 16, Members: 128}); err != nil {
			b.Fatal(err)
		}
	}
}
