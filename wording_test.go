package keyward_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// quotes are the files that may use retired words, by prefix, and why.
var quotes = map[string]string{
	"LICENSE":                    "not written here",
	"testdata/":                  "the lists, and the fixtures of this test",
	"internal/vectors/testdata/": "test vectors that are shared with others",
	"e2e/testdata/transcripts/":  "transcripts that are shared with others",
}

// TestWording holds the names, comments, messages and pages to the lists in
// testdata: retired-identifiers.txt has the names that the field has a better
// word for, retired-phrases.txt the phrases that are hard to read.
func TestWording(t *testing.T) {
	words := readRetired(t)
	checked, quoting := 0, map[string]bool{}
	for _, file := range repositoryFiles(t) {
		if prefix := quotingPrefix(file); prefix != "" {
			quoting[prefix] = true
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
			continue // a link to a directory, or not text
		}
		checked++
		for _, finding := range words.check(t, file, string(text)) {
			t.Error(finding)
		}
	}
	if checked < 500 {
		t.Errorf("checked only %d files", checked)
	}
	for prefix := range quotes {
		if !quoting[prefix] {
			t.Errorf("%s may quote and does not exist", prefix)
		}
	}
	for name, all := range words.identifiers {
		for _, r := range all {
			if len(r.scopes) > 0 && !slices.ContainsFunc(r.scopes, isDirectory) {
				t.Errorf("%s is retired in %q, which do not exist", name, r.scopes)
			}
		}
	}
}

// TestWordingIsChecked compares what is found in the fixtures with the list
// beside them. A fixture that the list does not name has only good words.
func TestWordingIsChecked(t *testing.T) {
	words := readRetired(t)
	root := filepath.Join("testdata", "wording")
	var found []string
	for _, file := range []string{"authz/quota.go", "authz/scoped.go", "good.go", "good.md", "policy/scoped.go", "retired.go", "retired.md", "retired.yaml"} {
		found = append(found, words.check(t, file, read(t, filepath.Join(root, file)))...)
	}
	for i, finding := range found {
		found[i], _, _ = strings.Cut(finding, " is retired")
	}
	want := strings.Split(strings.TrimSpace(read(t, filepath.Join(root, "findings.txt"))), "\n")
	if !slices.Equal(found, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func quotingPrefix(file string) string {
	for prefix := range quotes {
		if strings.HasPrefix(file, prefix) {
			return prefix
		}
	}
	return ""
}

// retiredWords are the lists.
type retiredWords struct {
	identifiers map[string][]retiredIdentifier // by name
	phrases     map[string][]retiredPhrase     // by first word
}

type retiredIdentifier struct {
	scopes []string // directories with all below them; none is everywhere
	better string
}

type retiredPhrase struct {
	text          string
	starts        bool // only at the beginning of a sentence that does not ask
	before, after []string
	words         [][]string // of each word the alternatives
	better        string
}

func readRetired(t *testing.T) retiredWords {
	t.Helper()
	words := retiredWords{map[string][]retiredIdentifier{}, map[string][]retiredPhrase{}}
	eachEntry(t, "testdata/retired-identifiers.txt", func(entry, better string) {
		name, scopes := entry, []string(nil)
		if where, what, scoped := strings.Cut(entry, ": "); scoped {
			name, scopes = what, strings.Split(where, ", ")
		}
		words.identifiers[name] = append(words.identifiers[name], retiredIdentifier{scopes, better})
	})
	eachEntry(t, "testdata/retired-phrases.txt", func(entry, better string) {
		p := parsePhrase(entry, better)
		for _, first := range p.words[0] {
			words.phrases[first] = append(words.phrases[first], p)
		}
	})
	return words
}

// eachEntry visits the lines `entry => better` of a list. Others are comments.
func eachEntry(t *testing.T, file string, visit func(entry, better string)) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(read(t, file)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		entry, better, ok := strings.Cut(line, " => ")
		if entry = strings.TrimSpace(entry); !ok || seen[entry] {
			t.Fatalf("%s: %q lacks what to write instead, or is there twice", file, line)
		}
		seen[entry] = true
		visit(entry, strings.TrimSpace(better))
	}
}

// parsePhrase reads the form that retired-phrases.txt describes.
func parsePhrase(entry, better string) retiredPhrase {
	p := retiredPhrase{text: entry, better: better}
	for _, field := range strings.Fields(entry) {
		not, negated := strings.CutPrefix(field, "!")
		switch alternatives := strings.Split(not, "|"); {
		case field == ".":
			p.starts = true
		case negated && len(p.words) == 0:
			p.before = alternatives
		case negated:
			p.after = alternatives
		default:
			p.words = append(p.words, alternatives)
		}
	}
	return p
}

// check returns what is retired in a file.
func (words retiredWords) check(t *testing.T, file, text string) []string {
	t.Helper()
	if !strings.HasSuffix(file, ".go") {
		if path.Base(file) == "CHANGELOG.md" {
			text = codeSpan.ReplaceAllString(text, "`") // the old names of what a release renames
		}
		return words.checkProse(file, text, 1)
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := words.checkName(file, path.Base(file), 1)
	found = append(found, words.checkName(file, "package "+parsed.Name.Name, files.Position(parsed.Name.Pos()).Line)...)
	for _, name := range declaredNames(parsed) {
		found = append(found, words.checkName(file, name.Name, files.Position(name.Pos()).Line)...)
	}
	prose := func(n ast.Node) string { return text[files.Position(n.Pos()).Offset:files.Position(n.End()).Offset] }
	for _, group := range parsed.Comments {
		found = append(found, words.checkProse(file, prose(group), files.Position(group.Pos()).Line)...)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			message := prose(literal)
			if message[0] == '"' {
				message = escapes.ReplaceAllString(message, " ")
			}
			found = append(found, words.checkProse(file, message, files.Position(literal.Pos()).Line)...)
		}
		return true
	})
	return found
}

// declaredNames returns the identifiers that a file declares.
func declaredNames(file *ast.File) (names []*ast.Ident) {
	add := func(declared ...ast.Expr) {
		for _, e := range declared {
			if name, ok := e.(*ast.Ident); ok && name != nil {
				names = append(names, name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			add(n.Name)
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.LabeledStmt:
			add(n.Label)
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key, n.Value)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				add(n.Lhs...)
			}
		}
		return true
	})
	return names
}

func (words retiredWords) checkName(file, name string, line int) []string {
	for _, r := range words.identifiers[name] {
		if len(r.scopes) == 0 || slices.ContainsFunc(r.scopes, func(scope string) bool { return strings.HasPrefix(file, scope+"/") }) {
			return []string{fmt.Sprintf("%s:%d: the name %s is retired: %s", file, line, name, r.better)}
		}
	}
	return nil
}

var (
	escapes = regexp.MustCompile(`\\.`)
	// marks begin the lines of comments, and quotes in pages.
	marks = regexp.MustCompile(`(?m)^[ \t]*(?://+|/\*|#+|--|;+|\*|>)[ \t]?`)
	// A word, the end of a paragraph, or a mark of punctuation.
	wordOrMark = regexp.MustCompile(`[\pL\pN_]+(?:['’-][\pL\pN_]+)*|\n[ \t]*\n|[^\s\pL\pN_]`)
)

// checkProse finds phrases, and retired names that cannot be English words: those
// with a capital inside.
func (words retiredWords) checkProse(file, text string, line int) (found []string) {
	text = marks.ReplaceAllString(text, "")
	places := wordOrMark.FindAllStringIndex(text, -1)
	sequence := make([]string, len(places))
	for i, place := range places {
		sequence[i] = strings.ToLower(text[place[0]:place[1]])
	}
	last := 0
	for i, place := range places {
		line += strings.Count(text[last:place[0]], "\n")
		last = place[0]
		if name := text[place[0]:place[1]]; strings.ContainsFunc(name[1:], unicode.IsUpper) {
			found = append(found, words.checkName(file, name, line)...)
		}
		for _, p := range words.phrases[sequence[i]] {
			if p.matches(sequence, i) {
				found = append(found, fmt.Sprintf("%s:%d: %q is retired: %s", file, line, strings.Join(sequence[i:i+len(p.words)], " "), p.better))
			}
		}
	}
	return found
}

// matches reports whether the phrase is in the sequence at i.
func (p *retiredPhrase) matches(sequence []string, i int) bool {
	end := i + len(p.words)
	if end > len(sequence) || i > 0 && slices.Contains(p.before, sequence[i-1]) || end < len(sequence) && slices.Contains(p.after, sequence[end]) {
		return false
	}
	if p.starts && (i > 0 && !endsSentence(sequence[i-1]) || isQuestion(sequence[i:])) {
		return false
	}
	for n, alternatives := range p.words {
		if !slices.Contains(alternatives, sequence[i+n]) {
			return false
		}
	}
	return true
}

// endsSentence reports whether it is a mark, or the end of a paragraph.
func endsSentence(word string) bool { return strings.ContainsAny(word, ".!?\n") }

func isQuestion(sentence []string) bool {
	end := slices.IndexFunc(sentence, endsSentence)
	return end >= 0 && sentence[end] == "?"
}
