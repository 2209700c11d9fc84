package strictjson

import (
	"maps"
	"strings"
	"testing"
)

var outlineLimits = Limits{Depth: 4, Members: 8}

func TestOutline(t *testing.T) {
	got, err := Outline([]byte(` {"iss":"i","exp":1,"aud":["a","]\\\"}"],"o":{"a":{"b":[]}},"n":null} `), outlineLimits)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Object([]byte(`{"iss":"i","exp":1,"n":null}`), outlineLimits)
	if err != nil {
		t.Fatal(err)
	}
	want["aud"], want["o"] = Nested{}, Nested{}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestOutlineRefuses(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{`, `{"a":[}`, `{"a":[`, `{"a":{"b":"`, `{"a":["\\`, `{"a":["\"]}`, `{"a":1,"a":[]}`, `{"a":[]} x`, `{"a":[]]}`,
		`{"a":[[[[]]]]}`, "{\"a\":\"\xff\"}", `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1}`,
	} {
		if got, err := Outline([]byte(text), outlineLimits); err == nil || got != nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// FuzzOutline checks that Outline accepts what Object accepts, with equal
// values except for the nested ones.
func FuzzOutline(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":[1,{"b":"]"}],"c":"d"}`, `{"a":[[[[]]]]}`, `{"a":"\\u0041","b":{"\"":"}"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		full, err := Object([]byte(text), outlineLimits)
		if err != nil {
			return
		}
		outline, err := Outline([]byte(text), outlineLimits)
		if err != nil || len(outline) != len(full) {
			t.Fatalf("%q: %v, %v", text, outline, err)
		}
		for name, v := range full {
			switch v.(type) {
			case map[string]any, []any:
				v = Nested{}
			}
			if outline[name] != v {
				t.Errorf("%q: %s is %v, want %v", text, name, outline[name], v)
			}
		}
	})
}

func BenchmarkOutline(b *testing.B) {
	data := []byte(`{"iss":"i","scope":["` + strings.Repeat(`a","`, 1400) + `"]}`)
	for name, parse := range map[string]func([]byte, Limits) (map[string]any, error){"outline": Outline, "object": Object} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(data, outlineLimits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
