package confusable

import (
	"slices"
	"testing"
)

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "alice": "alice", "café": "café", `a\b`: `a\b`, "иван": "иван",
		"alice ": `"alice "`, "a  b": `"a  b"`, "\ufeffalice": `"\ufeffalice"`, "a\u202eb": `"a\u202eb"`, "a\u009bb": `"a\u009bb"`,
		"cafe\u0301": `"cafe\u0301"`, `"alice "`: `"\"alice \""`, "a\xffb": `"a\xffb"`, "a\U000e0041": `"a\U000e0041"`,
	} {
		if got := Shown(text); got != want {
			t.Errorf("%+q: %+q, want %+q", text, got, want)
		}
	}
}

func TestMixedScripts(t *testing.T) {
	for name, want := range map[string][]string{
		"alice": nil, "alice-2 (x)": nil, "иван": nil, "ünï": nil, "東京tower": nil, "ひらカナ漢字abc": nil, "한글abc": nil, "a·b": nil, "": nil,
		"аlice":  {"Cyrillic", "Latin"},
		"αlice":  {"Greek", "Latin"},
		"аβ":     {"Cyrillic", "Greek"},
		"ひら한글漢":  {"Han", "Hangul", "Hiragana"},
		"alіce漢": {"Cyrillic", "Han", "Latin"},
	} {
		if got := MixedScripts(name); !slices.Equal(got, want) {
			t.Errorf("%+q: %v, want %v", name, got, want)
		}
	}
}
