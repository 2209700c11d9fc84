package words

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"keyward/config"
)

// TestEveryWord: no style leaves a word out, but haplo, which has no button that
// replaces a key.
func TestEveryWord(t *testing.T) {
	for _, style := range Styles() {
		w := reflect.ValueOf(Of(style)).Elem()
		for i := range w.NumField() {
			name := w.Type().Field(i).Name
			if w.Field(i).Kind() == reflect.String && w.Field(i).Len() == 0 && !(style == config.ConsoleHaplo && name == "Replace") {
				t.Errorf("%s has no %s", style, name)
			}
		}
	}
	if !reflect.DeepEqual(Of("unknown"), Of(config.ConsoleGeneric)) {
		t.Error("a style that is not known is not generic")
	}
}

// TestEveryPageInEachStyle: the navigations have the same pages, once each.
func TestEveryPageInEachStyle(t *testing.T) {
	pages := func(style config.ConsoleStyle) (paths []string) {
		for _, section := range Of(style).Sections {
			for _, entry := range section.Entries {
				paths = append(paths, entry.Path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	want := pages(config.ConsoleGeneric)
	for _, style := range Styles() {
		if got := pages(style); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", style, got, want)
		}
	}
}

// TestTry: the commands have the key, and the API's address where there is one.
func TestTry(t *testing.T) {
	for style, want := range map[config.ConsoleStyle][]string{
		config.ConsoleGeneric: {"export API_KEY=kw_1", "https://api.test/v1/auth/verify"},
		config.ConsoleHalo:    {`HALO_API_TOKEN="kw_1"`, "https://api.test/api/v1alpha1/posts"},
		config.ConsoleHalfred: {`HALFRED_API_KEY="kw_1"`, "https://api.test/v1/models"},
		config.ConsoleHaplo:   {"curl --user haplo:kw_1 https://api.test/api/catalogue"},
	} {
		got := Of(style).Try("kw_1", "https://api.test", "=/api/catalogue")
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q lacks %q", style, got, part)
			}
		}
	}
	if got := Of(config.ConsoleHaplo).Use("https://api.test"); got != "curl --user haplo:$API_KEY https://api.test/" {
		t.Errorf("haplo: %q", got)
	}
	if got := Of(config.ConsoleHalfred).Use(""); strings.Contains(got, "export") || !strings.Contains(got, "Bearer $HALFRED_API_KEY") {
		t.Errorf("halfred: %q", got)
	}
	if got := Of(config.ConsoleGeneric).Try("$API_KEY", "", ""); !strings.Contains(got, "https://api.example.com/") {
		t.Errorf("without an address: %q", got)
	}
}
