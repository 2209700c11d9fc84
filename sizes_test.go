package keyward_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The largest sizes that the code may have, tests not counted. What is larger
// has more than one concept, and is split by them.
const (
	maxPackageFiles  = 20
	maxPackageLines  = 2500
	maxFileLines     = 350
	maxFunctionLines = 60
)

// TestSizes measures each package of the module, its files and its functions.
func TestSizes(t *testing.T) {
	files, lines := map[string]int{}, map[string]int{} // by package
	eachSource(t, parser.SkipObjectResolution, func(dir, file string, parsed *ast.File) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		name := path.Join(dir, file)
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(source, []byte("\n"))
		if n > maxFileLines {
			t.Errorf("file %s has %d lines, at most %d are allowed", name, n, maxFileLines)
		}
		for _, long := range longFunctions(source, parsed) {
			t.Errorf("%s: %s, at most %d are allowed", name, long, maxFunctionLines)
		}
		files[dir]++
		lines[dir] += n
	})
	for dir := range files {
		if files[dir] > maxPackageFiles {
			t.Errorf("package %s has %d files, at most %d are allowed", dir, files[dir], maxPackageFiles)
		}
		if lines[dir] > maxPackageLines {
			t.Errorf("package %s has %d lines, at most %d are allowed", dir, lines[dir], maxPackageLines)
		}
	}
}

// longFunctions describes the functions of a file that have too many lines,
// counted from the word func to the closing brace.
func longFunctions(source []byte, file *ast.File) []string {
	var long []string
	ast.Inspect(file, func(n ast.Node) bool {
		var name string
		switch n := n.(type) {
		case *ast.FuncDecl:
			name = n.Name.Name
		case *ast.FuncLit:
			name = "(literal)"
		default:
			return true
		}
		text := source[n.Pos()-file.FileStart : n.End()-file.FileStart]
		if lines := bytes.Count(text, []byte("\n")) + 1; lines > maxFunctionLines {
			long = append(long, fmt.Sprintf("function %s has %d lines", name, lines))
		}
		return true
	})
	return long
}

// TestLongFunctionsAreFound: the measurement finds what it must find, and
// allows a function of the largest size.
func TestLongFunctionsAreFound(t *testing.T) {
	body := func(lines int) string { return strings.Repeat("\n", lines-1) + "}\n" }
	source := "package p\n// a comment\n" +
		"func largest() {" + body(maxFunctionLines) +
		"func (t *T) longer() {" + body(maxFunctionLines+1) +
		"var literal = func() {" + body(maxFunctionLines+2)
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"function longer has 61 lines", "function (literal) has 62 lines"}
	if got := longFunctions([]byte(source), file); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
