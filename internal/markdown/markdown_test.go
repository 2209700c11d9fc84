package markdown

import (
	"reflect"
	"testing"
)

func TestSections(t *testing.T) {
	const page = "before\n# One\n\n| a | `b` |\n| --- | ---: |\n| 1 | `x` and `y` |\n| 2 |\ntext\n| c |\n| --- |\n\n" +
		"## Two\n  ```sh\n# no heading\n| no | table |\n  ```\n```\n```\n"
	want := []Section{
		{Text: "before\n"},
		{Heading: "One", Text: "\n| a | `b` |\n| --- | ---: |\n| 1 | `x` and `y` |\n| 2 |\ntext\n| c |\n| --- |\n\n", Tables: []Table{
			{Header: []string{"a", "`b`"}, Rows: []Row{{6, []string{"1", "`x` and `y`"}}, {7, []string{"2"}}}},
			{Header: []string{"c"}},
		}},
		{Heading: "Two", Text: "  ```sh\n# no heading\n| no | table |\n  ```\n```\n```\n", Blocks: []Block{
			{Line: 13, Info: "sh", Text: "# no heading\n| no | table |\n"}, {Line: 17},
		}},
	}
	got := Sections(page)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
	table := &got[1].Tables[0]
	if b := table.Column(table.Rows[0], "`b`"); !reflect.DeepEqual(Code(b), []string{"x", "y"}) {
		t.Errorf("column b has the code %q", Code(b))
	}
	if table.Column(table.Rows[1], "`b`") != "" || table.Column(table.Rows[0], "c") != "" || !table.Has("a", "`b`") || table.Has("a", "c") {
		t.Error("columns that are not there")
	}
}
