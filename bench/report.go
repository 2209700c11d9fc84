package main

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// report holds the results, which are printed as they come and can be written
// to a file.
type report struct {
	out    io.Writer
	tables []*table
	bars   []bar
}

// table has a column of names, followed by columns of figures.
type table struct {
	title string
	heads []string // of the columns with figures
	rows  [][]string
}

// begin starts a table, which gets all rows from now on. A table without rows
// is not printed.
func (r *report) begin(title string, heads ...string) {
	r.tables = append(r.tables, &table{title: title, heads: heads})
}

// row adds a name and its figures.
func (r *report) row(cells ...string) {
	t := r.tables[len(r.tables)-1]
	if len(t.rows) == 0 {
		r.print(t, append([]string{t.title}, t.heads...))
	}
	t.rows = append(t.rows, cells)
	r.print(t, cells)
}

func (r *report) print(t *table, cells []string) {
	name, figure := 44, 9
	if len(t.heads) == 1 {
		name, figure = 72, 12
	}
	_, _ = fmt.Fprintf(r.out, "%-*s", name, cells[0])
	for i, cell := range cells[1:] {
		_, _ = fmt.Fprintf(r.out, " %*s", max(figure, utf8.RuneCountInString(t.heads[i])), cell)
	}
	_, _ = fmt.Fprintln(r.out)
}

// row reports one figure, which is the last argument. The others are those of
// the format.
func (b *bench) row(format string, args ...any) {
	last := len(args) - 1
	b.report.row(fmt.Sprintf(format, args[:last]...), fmt.Sprint(args[last]))
}

func count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	default:
		return fmt.Sprint(n)
	}
}
