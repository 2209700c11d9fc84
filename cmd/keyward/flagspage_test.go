package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"keyward/internal/markdown"
)

var flagName = regexp.MustCompile(`(?:^|[\s\[])--([a-z][a-z-]*)`)

// flagsIn returns the names of the flags in code.
func flagsIn(code ...string) []string {
	var names []string
	for _, text := range code {
		for _, match := range flagName.FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
	}
	return names
}

// TestFlagsAreDocumented: each flag is described where its command is, or, if
// several commands have it, once for all; and no flag is described that does not exist.
func TestFlagsAreDocumented(t *testing.T) {
	g := newGrammar(t)
	about, general := g.sections(t)
	users := map[string]int{} // how many commands have a flag
	for _, command := range g.leaves {
		for name := range flags(command) {
			users[name]++
		}
	}
	shared := map[string]bool{"help": true}
	for _, s := range general {
		for _, name := range flagsIn(markdown.Code(s.Text)...) {
			if users[name] == 0 && name != "help" {
				t.Errorf("docs/commands.md, %q: no command has --%s", s.Heading, name)
			}
			shared[name] = users[name] > 1
		}
	}
	for _, s := range about {
		s.compareFlags(t, shared)
	}
}

// compareFlags holds the flags that a section describes to those of its commands.
func (s *section) compareFlags(t *testing.T, shared map[string]bool) {
	t.Helper()
	own := map[string]*kong.Flag{}
	for _, command := range s.commands {
		maps.Copy(own, flags(command))
	}
	described := map[string]bool{}
	for _, code := range markdown.Code(s.Text) {
		if strings.Contains(code, "keyward ") {
			continue // an example, perhaps of another command; see TestShownCommandsExist
		}
		for _, name := range flagsIn(code) {
			described[name] = true
			if own[name] == nil && !shared[name] {
				t.Errorf("docs/commands.md, %q: there is no flag --%s", s.Heading, name)
			}
		}
	}
	for name, flag := range own {
		if !described[name] && !shared[name] {
			t.Errorf("docs/commands.md, %q: --%s is not described", s.Heading, name)
		}
		if rows := s.flagRows(flag.Name); len(rows) > 1 || len(rows) == 0 && flag.HasDefault {
			t.Errorf("docs/commands.md, %q: --%s has %d rows", s.Heading, name, len(rows))
		} else if len(rows) == 1 {
			rows[0].compare(t, flag)
		}
	}
}

// flagRow is the row of a flag, or of several.
type flagRow struct {
	table *markdown.Table
	row   markdown.Row
	names []string
}

func (s *section) flagRows(name string) (rows []flagRow) {
	for i := range s.Tables {
		for _, row := range s.Tables[i].Rows {
			if names := flagsIn(markdown.Code(row.Cells[0])...); slices.Contains(names, name) {
				rows = append(rows, flagRow{&s.Tables[i], row, names})
			}
		}
	}
	return rows
}

// compare holds the row to the flag's default and choices, and to whether it is required.
func (r *flagRow) compare(t *testing.T, flag *kong.Flag) {
	t.Helper()
	text := strings.Join(r.row.Cells, " ")
	code := markdown.Code(text)
	for word := range strings.SplitSeq(flag.Enum, ",") {
		if word != "" && !slices.Contains(code, word) {
			t.Errorf("docs/commands.md:%d: --%s can be %s", r.row.Line, flag.Name, word)
		}
	}
	if flag.Required && !strings.Contains(text, "required") {
		t.Errorf("docs/commands.md:%d: --%s is required", r.row.Line, flag.Name)
	}
	if !r.table.Has("default") {
		if flag.HasDefault && !slices.Contains(code, flag.Default) {
			t.Errorf("docs/commands.md:%d: the default of --%s is %s", r.row.Line, flag.Name, flag.Default)
		}
		return
	}
	defaults := markdown.Code(r.table.Column(r.row, "default"))
	if len(defaults) == len(r.names) {
		defaults = []string{defaults[slices.Index(r.names, flag.Name)]}
	}
	if !isDefault(flag, defaults) {
		t.Errorf("docs/commands.md:%d: the default of --%s is %q, want %q", r.row.Line, flag.Name, defaults, flag.Default)
	}
}

// isDefault reports whether a cell with this code has the default of the flag. If the
// default comes from elsewhere, such as the configuration, the help of the flag says so.
func isDefault(flag *kong.Flag, code []string) bool {
	switch {
	case flag.HasDefault:
		return slices.Equal(code, []string{flag.Default})
	case len(code) == 0 || slices.Equal(code, []string{`""`}):
		return true
	default:
		return len(code) == 1 && strings.Contains(flag.Help, code[0])
	}
}
