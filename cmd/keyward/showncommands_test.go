package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/internal/markdown"
)

// TestShownCommandsExist looks up each use of keyward in the code of the pages:
// the command exists, and has the flags. A test of e2e runs those in blocks.
func TestShownCommandsExist(t *testing.T) {
	g := newGrammar(t)
	found := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/adr/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			if filepath.Base(page) == "CHANGELOG.md" {
				continue // it also names what was
			}
			for _, s := range markdown.Read(t, page) {
				for _, words := range uses(shellCode(s)) {
					found++
					if complaint := g.lookUp(words); complaint != "" {
						t.Errorf("%s, %q: keyward %s: %s", strings.TrimPrefix(page, "../../"), s.Heading, strings.Join(words, " "), complaint)
					}
				}
			}
		}
	}
	if found < 90 {
		t.Errorf("found only %d commands", found)
	}
}

// shellCode returns the commands in a section's code, line by line.
func shellCode(s markdown.Section) []string {
	lines := markdown.Code(s.Text)
	for _, block := range s.Blocks {
		for line := range strings.Lines(strings.ReplaceAll(block.Text, "\\\n", " ")) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				lines = append(lines, command)
			} else if block.Info == "sh" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// uses returns the words that stand behind keyward wherever it is the command.
func uses(lines []string) (all [][]string) {
	for _, line := range lines {
		words := strings.Fields(line)
		for i, word := range words {
			if strings.TrimPrefix(word, "bin/") != "keyward" || i > 0 && !strings.ContainsAny(words[i-1][len(words[i-1])-1:], "|;&") {
				continue
			}
			rest := words[i+1:]
			if end := slices.IndexFunc(rest, func(word string) bool { return strings.ContainsAny(word[:1], "|<>&;#)") }); end >= 0 {
				rest = rest[:end]
			}
			all = append(all, rest)
		}
	}
	return all
}

// lookUp returns what is wrong with the words behind keyward, "" for nothing.
// They may be a part of a command, with a placeholder in capitals for the rest.
func (g *grammar) lookUp(words []string) string {
	at := g.Node
	for _, word := range words {
		flag, isFlag := strings.CutPrefix(word, "--")
		flag, _, _ = strings.Cut(flag, "=")
		switch {
		case isFlag:
			if flag != "help" && flags(at)[flag] == nil {
				return "there is no flag --" + flag
			}
		case at.Leaf():
			continue // an argument, or a flag's value
		case word == "…" || argumentName.MatchString(word):
			return ""
		default:
			next := child(at, word)
			if next == nil {
				return "there is no command " + word
			}
			at = next
		}
	}
	return ""
}

// TestShownCommandsAreFound holds the search to what it must find and refuse.
func TestShownCommandsAreFound(t *testing.T) {
	g := newGrammar(t)
	got := uses([]string{"keyward key list", "echo x | bin/keyward user set bob < /dev/null", "kubectl create namespace keyward", "cd x; keyward version # it"})
	for i, want := range []string{"key list", "user set bob", "version"} {
		if i >= len(got) || strings.Join(got[i], " ") != want {
			t.Fatalf("found %q", got)
		}
	}
	for _, good := range []string{"", "key", "key …", "COMMAND --help", "key list --older-than=90d", "hash-passwords", "key create --name N"} {
		if complaint := g.lookUp(strings.Fields(good)); complaint != "" {
			t.Errorf("%s: %s", good, complaint)
		}
	}
	for _, bad := range []string{"keys", "key lists", "key list --old", "serve --files"} {
		if g.lookUp(strings.Fields(bad)) == "" {
			t.Errorf("%s is accepted", bad)
		}
	}
}
