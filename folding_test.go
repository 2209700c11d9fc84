package keyward_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// foldsUnicode are the functions that turn other characters into ASCII letters,
// by import path.
var foldsUnicode = map[string][]string{
	"strings": {"ToLower", "ToUpper", "ToTitle", "Title", "ToLowerSpecial", "ToUpperSpecial", "ToTitleSpecial", "EqualFold"},
	"bytes":   {"ToLower", "ToUpper", "ToTitle", "Title", "ToLowerSpecial", "ToUpperSpecial", "ToTitleSpecial", "EqualFold"},
	"unicode": {"ToLower", "ToUpper", "ToTitle", "To", "SimpleFold"},
}

// mayFold are the uses in which no text of a client can pass for another, with
// the reasons.
var mayFold = map[string]string{
	"authz/urlpath/case.go unicode.ToLower":             "what an upstream may read of a path; it is compared, and never passed on",
	"authz/urlpath/case.go unicode.ToUpper":             "likewise",
	"cmd/keyward/command/env.go strings.ToLower":        "compares a message with the operator's arguments, to leave secrets out",
	"config/spelling/suggest.go strings.ToLower":        "suggests a word for the one in the operator's file",
	"config/routes.go strings.ToUpper":                  "suggests a method for the one in the operator's file, which is ASCII",
	"verifier/tokensource/discovery.go strings.ToLower": "the issuer that the operator names",
}

// TestNoUnicodeFolding: the program uses chars.LowerASCII for text of clients.
// strings.ToLower turns U+212A into a k, so that a later check would accept a
// host, a header or a scheme that the client did not send.
func TestNoUnicodeFolding(t *testing.T) {
	used := map[string]bool{}
	eachSource(t, parser.SkipObjectResolution, func(dir, file string, parsed *ast.File) {
		top, _, _ := strings.Cut(dir, "/")
		if strings.HasSuffix(file, "_test.go") || slices.Contains([]string{"e2e", "bench", "internal"}, top) {
			return
		}
		for _, use := range unicodeFolds(parsed) {
			name := dir + "/" + file + " " + use
			if used[name] = true; mayFold[name] == "" {
				t.Errorf("%s: folds more than ASCII; chars.LowerASCII does not", name)
			}
		}
	})
	for name := range mayFold {
		if !used[name] {
			t.Errorf("%s is allowed but does not occur", name)
		}
	}
}

// unicodeFolds returns the uses of foldsUnicode in a file, and the regular
// expressions that ignore case, which fold as strings.EqualFold does.
func unicodeFolds(file *ast.File) []string {
	packages := map[string]string{}
	for _, spec := range file.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		packages[name] = imported
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			from, ok := n.X.(*ast.Ident)
			if ok && slices.Contains(foldsUnicode[packages[from.Name]], n.Sel.Name) {
				found = append(found, packages[from.Name]+"."+n.Sel.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && strings.Contains(n.Value, "(?i") {
				found = append(found, "(?i)")
			}
		}
		return true
	})
	return found
}

// TestUnicodeFoldsAreFound: the search finds the uses that it must find.
func TestUnicodeFoldsAreFound(t *testing.T) {
	const source = `package p
import ("strings"; b "bytes"; "unicode")
var f = strings.ToLower
var e = b.EqualFold(nil, nil)
var r = unicode.ToUpper('a')
var pattern = "(?i)key"
var fine = strings.Trim("a", "b")`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := unicodeFolds(file), []string{"strings.ToLower", "bytes.EqualFold", "unicode.ToUpper", "(?i)"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
