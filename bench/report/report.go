// Package report prints the tables of the benchmark as the figures come, and
// writes them and a chart to files.
package report

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// Report holds the results, which are printed as they come and can be written
// to a file.
type Report struct {
	Out    io.Writer
	Bars   []Bar // of the chart, that of the baseline first
	tables []*table
}

// table has a column of names, followed by columns of figures.
type table struct {
	title string
	heads []string // of the columns with figures
	rows  [][]string
}

// Begin starts a table, which gets all rows from now on. A table without rows
// is not printed.
func (r *Report) Begin(title string, heads ...string) {
	r.tables = append(r.tables, &table{title: title, heads: heads})
}

// Row adds a name and its figures.
func (r *Report) Row(cells ...string) {
	t := r.tables[len(r.tables)-1]
	if len(t.rows) == 0 {
		r.print(t, append([]string{t.title}, t.heads...))
	}
	t.rows = append(t.rows, cells)
	r.print(t, cells)
}

func (r *Report) print(t *table, cells []string) {
	name, figure := 44, 9
	if len(t.heads) == 1 {
		name, figure = 72, 12
	}
	_, _ = fmt.Fprintf(r.Out, "%-*s", name, cells[0])
	for i, cell := range cells[1:] {
		_, _ = fmt.Fprintf(r.Out, " %*s", max(figure, utf8.RuneCountInString(t.heads[i])), cell)
	}
	_, _ = fmt.Fprintln(r.Out)
}

// Count returns a number of keys or requests, in thousands or millions if it is a
// multiple of them.
func Count(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprintf("%dM", n/1_000_000)
	case n >= 1000 && n%1000 == 0:
		return fmt.Sprintf("%dk", n/1000)
	default:
		return fmt.Sprint(n)
	}
}
