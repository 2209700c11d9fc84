// Package markdown reads the parts of a page that tests compare with the
// program: sections, tables and fenced blocks. It knows the Markdown that the
// pages of this repository use, and renders nothing.
package markdown

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Section is a heading with what follows it up to the next heading of any level.
type Section struct {
	Heading string // without number signs; "" before the first
	Text    string // everything below the heading, tables and blocks included
	Tables  []Table
	Blocks  []Block
}

// Table is a table with a header.
type Table struct {
	Header []string
	Rows   []Row
}

// Row is a line of a table.
type Row struct {
	Line  int // in the page, from 1
	Cells []string
}

// Block is a fenced block of code.
type Block struct {
	Line int    // of the opening fence
	Info string // what stands behind the fence, such as yaml
	Text string
}

// Read returns the sections of the page in a file.
func Read(t testing.TB, file string) []Section {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Sections(string(page))
}

// Sections returns the sections of a page.
func Sections(page string) []Section {
	r := reader{sections: []Section{{}}}
	for line := range strings.Lines(page) {
		r.number++
		r.line(line)
	}
	return r.sections
}

const fence = "```"

type reader struct {
	sections []Section
	number   int  // of the line
	fenced   bool // within the last block
	inTable  bool // within the last table
}

func (r *reader) line(line string) {
	trimmed := strings.TrimSpace(line)
	level := len(line) - len(strings.TrimLeft(line, "#"))
	if !r.fenced && level > 0 && strings.HasPrefix(line[level:], " ") {
		r.sections = append(r.sections, Section{Heading: strings.TrimSpace(line[level:])})
		r.inTable = false
		return
	}
	s := &r.sections[len(r.sections)-1]
	s.Text += line
	switch info, isFence := strings.CutPrefix(trimmed, fence); {
	case isFence && !r.fenced:
		s.Blocks = append(s.Blocks, Block{Line: r.number, Info: info})
		r.fenced, r.inTable = true, false
	case isFence:
		r.fenced = false
	case r.fenced:
		s.Blocks[len(s.Blocks)-1].Text += line
	case strings.HasPrefix(trimmed, "|"):
		r.row(s, cells(trimmed))
	default:
		r.inTable = false
	}
}

func (r *reader) row(s *Section, cells []string) {
	if !r.inTable {
		s.Tables = append(s.Tables, Table{Header: cells})
		r.inTable = true
		return
	}
	table := &s.Tables[len(s.Tables)-1]
	if strings.Trim(strings.Join(cells, ""), "-: ") != "" { // the line below the header has nothing else
		table.Rows = append(table.Rows, Row{r.number, cells})
	}
}

// cells returns the cells of a line that begins with a bar.
func cells(line string) []string {
	parts := strings.Split(strings.Trim(line, "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// Column returns the row's cell under a header, "" if there is none.
func (t *Table) Column(row Row, header string) string {
	for i, name := range t.Header {
		if name == header && i < len(row.Cells) {
			return row.Cells[i]
		}
	}
	return ""
}

// Has reports whether the table has a column of each name.
func (t *Table) Has(headers ...string) bool {
	known := "|" + strings.Join(t.Header, "|") + "|"
	for _, name := range headers {
		if !strings.Contains(known, "|"+name+"|") {
			return false
		}
	}
	return true
}

var span = regexp.MustCompile("`([^`\n]+)`")

// Code returns what stands in code spans, without the backticks.
func Code(text string) []string {
	var all []string
	for _, match := range span.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}
