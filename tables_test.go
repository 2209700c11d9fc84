package keyward_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/config"
)

// TestAuthMethodCounterparts: for each row of the table of kinds, everything
// exists that cannot be in the table.
func TestAuthMethodCounterparts(t *testing.T) {
	constants := constantsOf(t, "authz/authmethod.go", "AuthMethod")
	used := authzNames(t, "verifier")
	console := authzNames(t, "manage")
	for _, kind := range authz.AuthMethods() {
		name := constants[kind.Method]
		if len(kind.Schemes) > 0 && !kind.Console && !used[name] {
			t.Errorf("no verifier makes a principal of authz.%s: add its file to verifier, and its place in the chain where the server builds it", name)
		}
		if kind.Console && !console[name] {
			t.Errorf("nothing below manage makes a principal of authz.%s", name)
		}
		route := "credentials: [" + kind.Name + "]"
		if err := parses("routes: [{path: /a, " + route + "}]"); (err == nil) != (len(kind.Schemes) > 0 && !kind.Console) {
			t.Errorf("a route with %s: %v; config/routes.go takes the kinds that have a scheme and are not the console's", route, err)
		}
		if err := parses("rate_limits: {" + kind.Name + ": 10/s}"); err != nil {
			t.Errorf("a limit of %s: %v; config/limits.go takes all kinds", kind.Name, err)
		}
		mentions(t, kind.Name, "docs/configuration.md", "docs/metrics.md")
	}
}

// TestCredentialSchemeCounterparts: likewise for the schemes. A test of
// extauthz covers their challenges.
func TestCredentialSchemeCounterparts(t *testing.T) {
	sent := map[authz.CredentialScheme]bool{}
	for _, kind := range authz.AuthMethods() {
		for _, s := range kind.Schemes {
			sent[s] = true
		}
	}
	for _, scheme := range authz.CredentialSchemes() {
		if !sent[scheme.Scheme] {
			t.Errorf("no kind is sent in scheme %d %q: add it to a row in authz/authmethod.go", scheme.Scheme, scheme.AuthScheme)
		}
		if scheme.AuthScheme == "" {
			continue
		}
		if err := parses("credentials: {" + scheme.AuthScheme + ": false}"); err != nil {
			t.Errorf("%s: %v; config/credentials.go takes the schemes of Authorization", scheme.AuthScheme, err)
		}
		mentions(t, scheme.AuthScheme, "docs/configuration.md")
	}
}

// TestTransportCounterparts: likewise for the transports.
func TestTransportCounterparts(t *testing.T) {
	constants := constantsOf(t, "authz/transport.go", "Transport")
	used := authzNames(t, "extauthz")
	for _, transport := range authz.Transports() {
		if name := constants[transport.Transport]; !used[name] {
			t.Errorf("nothing in extauthz makes requests of authz.%s: add its file, or a row in extauthz/proxyprofile.go for a proxy that asks over HTTP", name)
		}
		mentions(t, transport.Name, "docs/metrics.md")
	}
}

func parses(text string) error {
	_, err := config.Parse("keyward.yaml", []byte("keys: {file: keys.jsonl}\nusers: {file: users.jsonl}\n"+text+"\n"),
		func(string) (string, bool) { return "", false })
	return err
}

func mentions(t *testing.T, word string, files ...string) {
	t.Helper()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "`"+word+"`") {
			t.Errorf("%s does not mention `%s`", name, word)
		}
	}
}

// constantsOf returns the names of an enumeration by value: those of the only
// block of constants whose first constant has the type.
func constantsOf(t *testing.T, file, typ string) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		if first, ok := block.Specs[0].(*ast.ValueSpec).Type.(*ast.Ident); !ok || first.Name != typ {
			continue
		}
		for _, spec := range block.Specs {
			names = append(names, spec.(*ast.ValueSpec).Names[0].Name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typ)
	}
	return names
}

// authzNames returns the names of authz that the files in the directory and
// directly below it, without tests, refer to.
func authzNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob(filepath.Join(dir, "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, below...)
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "authz" {
					names[s.Sel.Name] = true
				}
			}
			return true
		})
	}
	return names
}
