package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"keyward/internal/markdown"
)

const commandsPage = "../../docs/commands.md"

// grammar is the command line, with which the pages are compared.
type grammar struct {
	*kong.Node
	leaves map[string]*kong.Node // by their names, such as "key create"; hidden ones are not documented
}

func newGrammar(t *testing.T) grammar {
	t.Helper()
	k, err := kong.New(&commands{}, kong.Name("keyward"))
	if err != nil {
		t.Fatal(err)
	}
	g := grammar{k.Model.Node, map[string]*kong.Node{}}
	for _, leaf := range k.Model.Leaves(true) {
		g.leaves[strings.TrimPrefix(leaf.Path(), "keyward ")] = leaf
	}
	return g
}

func child(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// flags are those of a command, without --help.
func flags(n *kong.Node) map[string]*kong.Flag {
	all := map[string]*kong.Flag{}
	for _, group := range n.AllFlags(true) {
		for _, flag := range group {
			all[flag.Name] = flag
		}
	}
	delete(all, "help")
	return all
}

var argumentName = regexp.MustCompile(`^[A-Z]+…?$`)

// section is a part of docs/commands.md that is about some commands, or about none in particular.
type section struct {
	markdown.Section
	commands []*kong.Node
}

// sections reads docs/commands.md. A heading that begins with a command's name
// lists commands: "user set, list" is about `user set` and `user list`.
func (g *grammar) sections(t *testing.T) (about, general []section) {
	t.Helper()
	for _, s := range markdown.Read(t, commandsPage) {
		first, _, _ := strings.Cut(s.Heading, " ")
		if child(g.Node, first) == nil {
			general = append(general, section{Section: s})
			continue
		}
		part := section{Section: s}
		for name := range strings.SplitSeq(s.Heading, ", ") {
			command := g.leaves[name]
			if command == nil {
				command = g.leaves[first+" "+name]
			}
			if command == nil {
				t.Errorf("docs/commands.md, %q: there is no command %s", s.Heading, name)
				continue
			}
			part.commands = append(part.commands, command)
		}
		about = append(about, part)
	}
	return about, general
}

// TestCommandsAreDocumented: each command has one section of docs/commands.md, and a
// place in the overview at its top with its arguments.
func TestCommandsAreDocumented(t *testing.T) {
	g := newGrammar(t)
	about, general := g.sections(t)
	sections := map[*kong.Node]int{}
	for _, s := range about {
		for _, command := range s.commands {
			sections[command]++
		}
	}
	var overview map[string]string
	for _, s := range general {
		if overview == nil && len(s.Blocks) > 0 {
			overview = g.overview(t, s.Blocks[0].Text)
		}
	}
	for name, command := range g.leaves {
		if sections[command] != 1 {
			t.Errorf("docs/commands.md has %d sections of %s", sections[command], name)
		}
		if got, ok := overview[name]; !ok || got != arguments(command) {
			t.Errorf("docs/commands.md: the overview has %q as arguments of %s, want %q", got, name, arguments(command))
		}
	}
	if len(overview) != len(g.leaves) {
		t.Errorf("docs/commands.md: the overview has %d commands, want %d", len(overview), len(g.leaves))
	}
}

// arguments are a command's, as in ID or NAME….
func arguments(command *kong.Node) string {
	var names []string
	for _, p := range command.Positional {
		name := strings.ToUpper(p.Name)
		if p.IsCumulative() {
			name += "…"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// overview reads lines as `keyward key create | show ID`, or of one command with
// its flags, and returns each command's arguments.
func (g *grammar) overview(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(strings.TrimPrefix(line, "keyward "))
		if g.leaves[words[0]] != nil {
			all[words[0]] = g.shownArguments(t, words[0], words[1:])
			continue
		}
		for alternative := range strings.SplitSeq(strings.Join(words[1:], " "), "|") {
			rest := strings.Fields(alternative)
			name := words[0] + " " + rest[0]
			all[name] = g.shownArguments(t, name, rest[1:])
		}
	}
	return all
}

// shownArguments returns the arguments of a command among these words, without flags and their values.
func (g *grammar) shownArguments(t *testing.T, name string, words []string) string {
	t.Helper()
	command := g.leaves[name]
	if command == nil {
		t.Errorf("docs/commands.md: the overview has %s, which is not a command", name)
		return ""
	}
	var shown []string
	for i := 0; i < len(words); i++ {
		word := strings.Trim(words[i], "[]")
		if flag, ok := strings.CutPrefix(word, "--"); ok {
			known := flags(command)[flag]
			if known == nil {
				t.Errorf("docs/commands.md: the overview has --%s of %s, which is not a flag", flag, name)
			} else if !known.IsBool() {
				i++ // its value
			}
		} else if argumentName.MatchString(word) {
			shown = append(shown, word)
		}
	}
	return strings.Join(shown, " ")
}

// TestExitCodesAreDocumented compares the table of docs/commands.md with the constants.
func TestExitCodesAreDocumented(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "command/exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			want = append(want, spec.Values[0].(*ast.BasicLit).Value)
		}
		return true
	})
	for _, s := range markdown.Read(t, commandsPage) {
		for _, table := range s.Tables {
			if !table.Has("exit code") {
				continue
			}
			for _, row := range table.Rows {
				got = append(got, table.Column(row, "exit code"))
			}
		}
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("docs/commands.md has the exit codes %q, want %q", got, want)
	}
}
