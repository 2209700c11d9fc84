package urlpath_test

import (
	"strings"
	"testing"

	"keyward/authz/urlpath"
	"keyward/internal/markdown"
)

// TestAmbiguitiesAreDocumented compares the table of docs/reasons.md with the
// kinds. Each has one row, with its word, and the first example of the row is
// refused for it.
func TestAmbiguitiesAreDocumented(t *testing.T) {
	shown := map[string]string{}
	for _, s := range markdown.Read(t, "../../docs/reasons.md") {
		for _, table := range s.Tables {
			if !table.Has("kind", "word") {
				continue
			}
			for _, row := range table.Rows {
				kind := markdown.Code(table.Column(row, "kind"))[0]
				shown[kind] = strings.Trim(table.Column(row, "word"), "`")
				refusesExample(t, kind, table.Column(row, "for example"))
			}
		}
	}
	for _, a := range urlpath.Ambiguities() {
		want := a.Word
		if want == "" {
			want = "none"
		}
		if shown[a.Kind] != want {
			t.Errorf("docs/reasons.md: the word of %q is %q, want %q", a.Kind, shown[a.Kind], want)
		}
		delete(shown, a.Kind)
	}
	for kind := range shown {
		t.Errorf("docs/reasons.md has the kind %q, which does not exist", kind)
	}
}

// refusesExample parses the first path of a cell, with the words that the cell
// names after "with".
func refusesExample(t *testing.T, kind, cell string) {
	t.Helper()
	example, with, _ := strings.Cut(cell, " with ")
	var rules urlpath.Rules
	for _, word := range markdown.Code(with) {
		*rules.Words()[word] = true
	}
	if example == "" {
		return // too long to be shown
	}
	if _, err := urlpath.Parse(markdown.Code(example)[0], rules); err == nil || !strings.HasPrefix(err.Error(), "ambiguous path: "+kind) {
		t.Errorf("docs/reasons.md: the example of %q: %v", kind, err)
	}
}
