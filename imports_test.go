// Package keyward_test tests properties of the entire module.
package keyward_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "keyward"

// allowed is ARCHITECTURE.md's table of packages: what each may import in
// addition to the standard library. An entry that ends in "/" includes
// everything below it.
var allowed = map[string][]string{
	"chars":                        {},
	"authz/urlpath":                {"golang.org/x/text/unicode/norm", "keyward/chars"},
	"authz":                        {"keyward/authz/nowait", "keyward/authz/urlpath", "keyward/authz/urlquery", "keyward/chars"},
	"authz/urlquery":               {"keyward/authz/urlpath", "keyward/chars"},
	"authz/nowait":                 {},
	"authz/overrides":              {},
	"cache":                        {"github.com/hashicorp/golang-lru/"},
	"policy":                       {"keyward/authz", "keyward/authz/urlpath", "keyward/chars"},
	"policy/resources":             {"keyward/authz", "keyward/policy"},
	"apikey":                       {"keyward/authz"},
	"passwordhash":                 {"golang.org/x/crypto/", "keyward/authz", "keyward/chars"},
	"store":                        {"keyward/apikey", "keyward/authz", "keyward/authz/urlpath", "keyward/chars", "keyward/passwordhash", "keyward/store/audit", "keyward/store/confusable", "keyward/store/jsonline", "keyward/store/oauth", "keyward/store/recordline"},
	"store/confusable":             {"golang.org/x/text/unicode/norm", "keyward/chars"},
	"store/audit":                  {"keyward/store/jsonline"},
	"store/auditindex":             {"keyward/store", "keyward/store/audit", "keyward/store/journal", "keyward/store/jsonline"},
	"store/jsonline":               {"keyward/chars"},
	"store/recordline":             {"keyward/store/jsonline"},
	"store/oauth":                  {"keyward/chars"},
	"store/pacer":                  {},
	"store/journal":                {"github.com/fsnotify/fsnotify", "keyward/store/journal/filesystem", "keyward/store/jsonline", "keyward/store/pacer"},
	"store/journal/filesystem":     {"golang.org/x/sys/"},
	"store/importer":               {"keyward/apikey", "keyward/authz", "keyward/passwordhash", "keyward/store"},
	"store/storetest":              {"keyward/apikey", "keyward/authz", "keyward/internal/records", "keyward/store", "keyward/store/audit", "keyward/store/oauth"},
	"store/filestore/fileheader":   {"keyward/apikey", "keyward/store", "keyward/store/journal", "keyward/store/jsonline", "keyward/store/recordline"},
	"store/filestore":              {"keyward/apikey", "keyward/authz", "keyward/store", "keyward/store/audit", "keyward/store/auditindex", "keyward/store/filestore/fileheader", "keyward/store/filestore/keytable", "keyward/store/journal", "keyward/store/journal/filesystem", "keyward/store/pacer", "keyward/store/jsonline"},
	"store/filestore/keytable":     {"keyward/apikey", "keyward/store", "keyward/store/journal"},
	"store/postgres":               {"github.com/jackc/pgx/v5", "keyward/apikey", "keyward/authz", "keyward/chars", "keyward/store", "keyward/store/audit", "keyward/store/jsonline", "keyward/store/postgres/database"},
	"store/postgres/database":      {"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/", "github.com/pressly/goose/v3", "github.com/pressly/goose/v3/lock", "keyward/apikey", "keyward/store", "keyward/store/postgres/pgurl"},
	"store/postgres/source":        {"github.com/jackc/pgx/v5", "keyward/store/postgres/database", "keyward/store/replica"},
	"store/postgres/upkeep":        {"github.com/jackc/pgx/v5", "keyward/store", "keyward/store/postgres/database"},
	"store/postgres/pgurl":         {"keyward/chars"},
	"store/postgres/usagetable":    {"github.com/jackc/pgx/v5", "keyward/store/postgres/database", "keyward/usage"},
	"store/storecopy":              {"keyward/apikey", "keyward/store/filestore", "keyward/store/filestore/fileheader", "keyward/store/journal", "keyward/store/journal/filesystem", "keyward/store/postgres", "keyward/usage"},
	"store/replica":                {"keyward/apikey", "keyward/store", "keyward/store/filestore/fileheader", "keyward/store/journal", "keyward/store/journal/filesystem", "keyward/store/jsonline"},
	"keyindex":                     {"golang.org/x/sys/", "golang.org/x/text/unicode/norm", "keyward/apikey", "keyward/authz", "keyward/authz/urlpath", "keyward/store", "keyward/store/pacer"},
	"verifier":                     {"github.com/golang-jwt/jwt/v5", "keyward/apikey", "keyward/authz", "keyward/authz/nowait", "keyward/authz/urlpath", "keyward/cache", "keyward/chars", "keyward/keyindex", "keyward/store", "keyward/store/oauth", "keyward/verifier/admission", "keyward/verifier/claims", "keyward/verifier/fingerprint", "keyward/verifier/jwks", "keyward/verifier/login", "keyward/verifier/strictjson"},
	"verifier/admission":           {},
	"verifier/claims":              {"keyward/authz", "keyward/chars", "keyward/verifier/strictjson"},
	"verifier/fingerprint":         {"keyward/cache"},
	"verifier/login":               {"keyward/authz", "keyward/authz/nowait", "keyward/authz/urlpath", "keyward/cache", "keyward/keyindex", "keyward/passwordhash", "keyward/verifier/fingerprint", "keyward/verifier/password"},
	"verifier/jwks":                {"filippo.io/edwards25519", "keyward/authz", "keyward/verifier/strictjson"},
	"verifier/password":            {"golang.org/x/sys/", "keyward/authz", "keyward/verifier/admission"},
	"verifier/strictjson":          {"keyward/chars"},
	"verifier/issuerhttp":          {"keyward/authz", "keyward/chars"},
	"verifier/tokensource":         {"keyward/authz", "keyward/verifier", "keyward/verifier/claims", "keyward/verifier/issuerhttp", "keyward/verifier/jwks", "keyward/verifier/strictjson"},
	"usage":                        {"keyward/authz", "keyward/cache", "keyward/store/journal", "keyward/store/journal/filesystem"},
	"decisionlog":                  {"keyward/authz"},
	"extauthz":                     {"google.golang.org/grpc", "google.golang.org/grpc/", "keyward/authz", "keyward/authz/nowait", "keyward/authz/urlquery", "keyward/chars"},
	"admin":                        {"github.com/prometheus/client_golang/", "github.com/prometheus/client_model/", "google.golang.org/protobuf/", "keyward/authz"},
	"admin/adminclient":            {"keyward/config", "keyward/store/confusable"},
	"tracing":                      {"github.com/go-logr/logr", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/", "google.golang.org/grpc", "google.golang.org/grpc/backoff", "keyward/authz"},
	"config":                       {"go.yaml.in/yaml/v3", "keyward/apikey", "keyward/authz", "keyward/authz/overrides", "keyward/authz/urlpath", "keyward/authz/urlquery", "keyward/chars", "keyward/config/grammar", "keyward/config/redact", "keyward/config/spelling", "keyward/config/strictyaml", "keyward/policy", "keyward/policy/resources", "keyward/ratelimit", "keyward/ratelimit/failover", "keyward/store/postgres/pgurl", "keyward/verifier/claims"},
	"config/grammar":               {"keyward/chars", "keyward/verifier/claims"},
	"config/redact":                {},
	"config/spelling":              {},
	"config/strictyaml":            {"go.yaml.in/yaml/", "keyward/chars", "keyward/config/spelling"},
	"ratelimit":                    {"keyward/authz"},
	"ratelimit/failover":           {"keyward/authz", "keyward/authz/nowait", "keyward/ratelimit"},
	"ratelimit/redis":              {"github.com/redis/go-redis/v9", "github.com/redis/go-redis/v9/", "keyward/authz", "keyward/ratelimit"},
	"manage/changes":               {"keyward/store", "keyward/store/audit"},
	"manage/fault":                 {"keyward/store"},
	"manage/mergepatch":            {"github.com/danielgtaylor/huma/v2"},
	"manage/problem":               {"github.com/danielgtaylor/huma/v2", "keyward/manage/fault"},
	"manage/keptanswer":            {},
	"manage/observed":              {"keyward/manage/access", "keyward/manage/denials", "keyward/manage/fault", "keyward/usage"},
	"manage/registry":              {"keyward/apikey", "keyward/authz", "keyward/manage/access", "keyward/manage/fault", "keyward/store", "keyward/store/audit", "keyward/store/oauth"},
	"manage/access":                {"keyward/authz", "keyward/authz/urlpath", "keyward/manage/denials", "keyward/store", "keyward/store/audit"},
	"manage/linking":               {"keyward/authz/urlpath", "keyward/manage/access", "keyward/manage/changes", "keyward/manage/fault", "keyward/manage/registry", "keyward/store", "keyward/store/audit"},
	"manage/oidclogin":             {"github.com/coreos/go-oidc/v3/oidc", "golang.org/x/oauth2", "keyward/authz", "keyward/chars", "keyward/manage/access", "keyward/verifier/issuerhttp", "keyward/verifier/strictjson"},
	"manage/session":               {"keyward/authz", "keyward/authz/urlpath", "keyward/chars", "keyward/manage/access", "keyward/manage/state", "keyward/store"},
	"manage":                       {"keyward/apikey", "keyward/authz", "keyward/manage/access", "keyward/manage/changes", "keyward/manage/fault", "keyward/manage/linking", "keyward/manage/observed", "keyward/manage/refusals", "keyward/manage/registry", "keyward/passwordhash", "keyward/store", "keyward/store/audit", "keyward/store/importer", "keyward/usage"},
	"manage/account":               {"keyward/apikey", "keyward/authz", "keyward/manage", "keyward/manage/access", "keyward/manage/fault", "keyward/manage/state", "keyward/store", "keyward/store/audit"},
	"manage/api":                   {"github.com/danielgtaylor/huma/v2", "github.com/danielgtaylor/huma/v2/", "keyward/apikey", "keyward/authz", "keyward/authz/urlpath", "keyward/manage", "keyward/manage/access", "keyward/manage/account", "keyward/manage/denials", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/input", "keyward/manage/keptanswer", "keyward/manage/mergepatch", "keyward/manage/once", "keyward/manage/problem", "keyward/manage/registry", "keyward/manage/session", "keyward/manage/state", "keyward/store", "keyward/store/audit", "keyward/store/oauth", "keyward/usage", "keyward/verifier/strictjson"},
	"manage/gate":                  {},
	"manage/input":                 {"keyward/authz", "keyward/authz/urlpath", "keyward/config", "keyward/manage/fault"},
	"manage/once":                  {"keyward/apikey", "keyward/manage/access", "keyward/manage/state"},
	"manage/console/words":         {"keyward/config"},
	"manage/console/static":        {},
	"manage/console/page":          {"keyward/apikey", "keyward/authz", "keyward/config", "keyward/manage", "keyward/manage/access", "keyward/manage/account", "keyward/manage/console/static", "keyward/manage/console/words", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/oauth", "keyward/manage/oidclogin", "keyward/manage/once", "keyward/manage/problem", "keyward/manage/session", "keyward/manage/state", "keyward/store", "keyward/store/confusable", "keyward/store/pacer", "keyward/usage"},
	"manage/console/signin":        {"keyward/authz", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/input", "keyward/manage/oidclogin", "keyward/manage/state"},
	"manage/console/accountpages":  {"keyward/manage/access", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/oauth", "keyward/manage/state", "keyward/store"},
	"manage/console":               {"keyward/authz", "keyward/chars", "keyward/manage/access", "keyward/manage/console/accountpages", "keyward/manage/console/keypages", "keyward/manage/console/operatorpages", "keyward/manage/console/page", "keyward/manage/console/projectpages", "keyward/manage/console/signin", "keyward/manage/console/tokenpages", "keyward/manage/console/userpages", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/problem", "keyward/manage/session", "keyward/manage/state", "keyward/store/audit"},
	"manage/console/userpages":     {"keyward/authz", "keyward/manage", "keyward/manage/access", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/input", "keyward/store", "keyward/usage"},
	"manage/console/keypages":      {"keyward/authz", "keyward/config", "keyward/manage", "keyward/manage/access", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/input", "keyward/store", "keyward/store/audit", "keyward/usage"},
	"manage/console/projectpages":  {"keyward/authz", "keyward/config", "keyward/manage", "keyward/manage/access", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/input", "keyward/manage/registry", "keyward/store", "keyward/usage"},
	"manage/client":                {"keyward/apikey", "keyward/authz", "keyward/manage", "keyward/manage/fault", "keyward/manage/registry", "keyward/store", "keyward/store/audit", "keyward/store/confusable", "keyward/store/importer", "keyward/usage"},
	"filecheck":                    {"keyward/apikey", "keyward/authz", "keyward/config", "keyward/keyindex", "keyward/manage/signingkeys", "keyward/manage/signingkeys/pgkeys", "keyward/server", "keyward/store", "keyward/store/filestore", "keyward/store/journal", "keyward/store/postgres/database", "keyward/store/postgres/source", "keyward/verifier/jwks"},
	"filewatch":                    {},
	"reuse":                        {},
	"engine/central":               {"keyward/store/postgres", "keyward/store/postgres/database", "keyward/store/postgres/source", "keyward/store/postgres/upkeep", "keyward/store/postgres/usagetable", "keyward/store/replica", "keyward/usage"},
	"engine":                       {"github.com/prometheus/client_golang/", "keyward/admin", "keyward/apikey", "keyward/authz", "keyward/authz/urlpath", "keyward/cache", "keyward/config", "keyward/decisionlog", "keyward/engine/central", "keyward/engine/issuer", "keyward/engine/provider", "keyward/engine/reminder", "keyward/extauthz", "keyward/filewatch", "keyward/keyindex", "keyward/manage", "keyward/manage/account", "keyward/manage/denials", "keyward/manage/observed", "keyward/manage/oidclogin", "keyward/manage/refusals", "keyward/manage/session", "keyward/manage/state", "keyward/passwordhash", "keyward/policy", "keyward/ratelimit", "keyward/ratelimit/failover", "keyward/ratelimit/redis", "keyward/reuse", "keyward/store", "keyward/store/audit", "keyward/store/filestore", "keyward/store/journal", "keyward/store/postgres/database", "keyward/store/postgres/upkeep", "keyward/store/replica", "keyward/tracing", "keyward/usage", "keyward/verifier", "keyward/verifier/admission", "keyward/verifier/fingerprint", "keyward/verifier/issuerhttp", "keyward/verifier/login", "keyward/verifier/password", "keyward/verifier/tokensource"},
	"server":                       {"github.com/prometheus/client_golang/", "golang.org/x/sys/", "google.golang.org/grpc", "google.golang.org/grpc/", "keyward/admin", "keyward/authz", "keyward/chars", "keyward/config", "keyward/decisionlog", "keyward/engine", "keyward/engine/issuer", "keyward/extauthz", "keyward/filewatch", "keyward/manage", "keyward/manage/access", "keyward/manage/account", "keyward/manage/api", "keyward/manage/console", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/oauth", "keyward/manage/oauth/loginapi", "keyward/manage/oauth/pages", "keyward/manage/oauth/protocol", "keyward/manage/oidclogin", "keyward/manage/session", "keyward/manage/state", "keyward/ratelimit/redis", "keyward/store/audit", "keyward/tracing", "keyward/verifier/password"},
	"engine/issuer":                {"github.com/prometheus/client_golang/", "keyward/authz", "keyward/config", "keyward/extauthz", "keyward/keyindex", "keyward/manage", "keyward/manage/account", "keyward/manage/oauth", "keyward/manage/signingkeys", "keyward/manage/signingkeys/pgkeys", "keyward/manage/state", "keyward/reuse", "keyward/store/oauth", "keyward/store/postgres/database", "keyward/verifier", "keyward/verifier/jwks"},
	"engine/provider":              {"keyward/config", "keyward/manage/oidclogin", "keyward/manage/state", "keyward/reuse", "keyward/verifier/issuerhttp"},
	"explain":                      {"keyward/authz", "keyward/chars"},
	"manage/denials":               {"keyward/apikey", "keyward/authz", "keyward/explain"},
	"manage/state":                 {"keyward/apikey", "keyward/authz", "keyward/manage/state/processlock", "keyward/manage/state/successor", "keyward/store/postgres/database", "modernc.org/sqlite", "modernc.org/sqlite/lib"},
	"manage/refusals":              {"keyward/authz", "keyward/store/audit"},
	"manage/oauth":                 {"keyward/apikey", "keyward/authz", "keyward/manage", "keyward/manage/access", "keyward/manage/account", "keyward/manage/fault", "keyward/manage/state", "keyward/store", "keyward/store/audit", "keyward/store/oauth"},
	"manage/oauth/loginapi":        {"keyward/authz", "keyward/manage/access", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/oauth", "keyward/manage/session", "keyward/verifier/strictjson"},
	"manage/signingkeys":           {"keyward/store/journal/filesystem"},
	"manage/signingkeys/pgkeys":    {"github.com/jackc/pgx/v5", "keyward/authz", "keyward/manage/signingkeys", "keyward/store/postgres/database"},
	"manage/console/operatorpages": {"keyward/apikey", "keyward/authz", "keyward/manage", "keyward/manage/access", "keyward/manage/console/page", "keyward/manage/denials", "keyward/manage/fault", "keyward/manage/input", "keyward/store", "keyward/store/audit"},
	"manage/console/tokenpages":    {"keyward/authz", "keyward/config", "keyward/manage", "keyward/manage/access", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/input", "keyward/manage/registry", "keyward/store", "keyward/store/audit", "keyward/store/oauth"},
	"engine/reminder":              {"keyward/keyindex"},
	"manage/oauth/pages":           {"keyward/config", "keyward/manage/console/page", "keyward/manage/fault", "keyward/manage/oauth", "keyward/manage/oauth/protocol"},
	"manage/oauth/protocol":        {"github.com/luikyv/go-oidc/pkg/", "keyward/authz", "keyward/chars", "keyward/manage/access", "keyward/manage/fault", "keyward/manage/gate", "keyward/manage/oauth", "keyward/manage/session", "keyward/manage/signingkeys", "keyward/manage/state", "keyward/store", "keyward/store/oauth", "keyward/verifier/strictjson"},
	"manage/state/processlock":     {"golang.org/x/sys/"},
	"manage/state/successor":       {"keyward/authz"},
}

// forbidden are packages of the standard library that a package must not
// import, because it must not do what they offer.
var forbidden = map[string][]string{
	"authz":               {"net/http", "os", "net", "os/exec", "database/sql"},
	"authz/urlpath":       {"net/http", "os", "net", "net/url", "path", "path/filepath"},
	"policy":              {"os", "io", "io/fs", "net", "net/http", "time", "context", "bufio", "log", "log/slog"},
	"policy/resources":    {"os", "io", "net", "net/http", "net/url", "time"},
	"verifier":            {"net/http", "os"},
	"store":               {"net/http", "net", "os", "io/fs"},
	"store/jsonline":      {"net/http", "net", "os", "io"},
	"store/recordline":    {"net/http", "net", "os", "io"},
	"keyindex":            {"net/http", "net", "os", "io", "io/fs"},
	"verifier/jwks":       {"net/http", "os", "time"},
	"verifier/strictjson": {"net/http", "os", "time", "io"},
	"verifier/claims":     {"net/http", "os", "io"},
	"verifier/admission":  {"net/http", "os", "net"},
	"verifier/login":      {"net/http", "net", "os"},
	"verifier/password":   {"net/http", "net"},
	"engine":              {"net", "net/http", "os/signal", "os/exec", "syscall"},
	"reuse":               {"os", "net", "net/http", "time"},
	"manage/denials":      {"os", "net", "net/http"},
	"manage/state":        {"net", "net/http", "os/exec"},
	"manage/refusals":     {"os", "net", "net/http"},
	"manage/oauth":        {"os", "net", "net/http"},
	"manage/signingkeys":  {"net", "net/http", "os/exec"},
}

// TestImports compares the imports with the table: a package imports nothing
// that its row lacks, and its row names nothing that it does not import.
func TestImports(t *testing.T) {
	used := map[string]map[string]bool{}
	eachFile(t, func(dir, file string, imports []string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		if used[dir] == nil {
			used[dir] = map[string]bool{}
		}
		for _, imported := range imports {
			if complaint := importError(dir, imported); complaint != "" {
				t.Errorf("%s/%s imports %s: %s", dir, file, imported, complaint)
			}
			for _, rule := range allowed[dir] {
				used[dir][rule] = used[dir][rule] || covers(rule, imported)
			}
		}
	})
	for pkg, rules := range allowed {
		if used[pkg] == nil {
			t.Errorf("package %s of the table does not exist", pkg)
			continue
		}
		for _, rule := range rules {
			if !used[pkg][rule] {
				t.Errorf("the row of %s names %s, which the package does not import", pkg, rule)
			}
		}
	}
}

// checking is what a check runs; managing is what it must not reach: what writes
// records, and what serves.
var (
	checking = []string{"authz", "policy", "cache", "extauthz", "verifier", "keyindex"}
	managing = []string{"store/auditindex", "store/filestore", "store/filestore/keytable", "store/filestore/fileheader", "store/importer", "store/journal", "store/postgres", "store/postgres/usagetable", "config", "server", "usage", "admin", "manage", "manage/access", "manage/account", "manage/denials", "manage/fault", "manage/mergepatch", "manage/problem", "manage/keptanswer", "manage/refusals", "manage/registry", "manage/api", "manage/client", "manage/linking", "manage/oauth", "manage/oauth/loginapi", "manage/oidclogin", "manage/session", "manage/signingkeys", "manage/state"}
)

// TestCheckingCannotReachManaging follows the imports of this module.
func TestCheckingCannotReachManaging(t *testing.T) {
	imports := map[string]map[string]bool{}
	eachFile(t, func(dir, file string, imported []string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		if imports[dir] == nil {
			imports[dir] = map[string]bool{}
		}
		for _, path := range imported {
			if own, ok := strings.CutPrefix(path, module+"/"); ok {
				imports[dir][own] = true
			}
		}
	})
	for dir := range imports {
		top, _, _ := strings.Cut(dir, "/")
		if !slices.Contains(checking, top) {
			continue
		}
		reached := reach(imports, dir)
		for _, pkg := range managing {
			if reached[pkg] {
				t.Errorf("%s reaches %s", dir, pkg)
			}
		}
	}
}

// reach returns the packages that dir imports, and those that these import.
func reach(imports map[string]map[string]bool, dir string) map[string]bool {
	reached := map[string]bool{}
	next := []string{dir}
	for len(next) > 0 {
		pkg := next[0]
		next = next[1:]
		for imported := range imports[pkg] {
			if !reached[imported] {
				reached[imported] = true
				next = append(next, imported)
			}
		}
	}
	return reached
}

// TestReach: an import of an import is reached.
func TestReach(t *testing.T) {
	imports := map[string]map[string]bool{"a": {"b": true}, "b": {"c": true}, "c": {"a": true}, "d": {"c": true}}
	if got := reach(imports, "a"); !got["c"] || got["d"] {
		t.Errorf("a reaches %v", got)
	}
}

// TestArchitectureTable compares ARCHITECTURE.md's table with the one above:
// the packages, and what each imports of this module.
func TestArchitectureTable(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := architectureTable(string(page))
	if len(shown) != len(allowed) {
		t.Errorf("ARCHITECTURE.md has %d packages, the test %d", len(shown), len(allowed))
	}
	for pkg, rules := range allowed {
		var want []string
		for _, rule := range rules {
			if own, ok := strings.CutPrefix(rule, module+"/"); ok {
				want = append(want, own)
			}
		}
		slices.Sort(want)
		if got, ok := shown[pkg]; !ok {
			t.Errorf("ARCHITECTURE.md lacks package %s", pkg)
		} else if !slices.Equal(got, want) {
			t.Errorf("ARCHITECTURE.md: %s imports %q, want %q", pkg, got, want)
		}
	}
}

// architectureTable returns each package of the page's table with the packages
// of this module that it imports. The rows of commands have "all" and are
// omitted.
func architectureTable(page string) map[string][]string {
	table := map[string][]string{}
	var above []string
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			continue
		}
		pkg, imports := strings.Trim(cells[1], " `"), strings.TrimSpace(cells[3])
		if !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") || imports == "all" {
			continue
		}
		own := slices.DeleteFunc(strings.FieldsFunc(imports, func(c rune) bool { return strings.ContainsRune("`, ", c) }),
			func(word string) bool { return word == "none" })
		if except, ok := strings.CutPrefix(imports, "all above"); ok {
			own = slices.DeleteFunc(slices.Clone(above), func(name string) bool { return strings.Contains(except, "`"+name+"`") })
		}
		slices.Sort(own)
		table[pkg] = own
		above = append(above, pkg)
	}
	return table
}

func importError(dir, imported string) string {
	top, _, _ := strings.Cut(dir, "/")
	switch top {
	case "cmd", "e2e", "bench", "internal", ".":
		if strings.HasPrefix(imported, module+"/internal/") && top == "cmd" {
			return "internal/ is for tests"
		}
		return ""
	}
	rules, known := allowed[dir]
	if !known {
		return "the package is not in the table"
	}
	if slices.Contains(forbidden[dir], imported) {
		return "the package must not do what that one offers"
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") && first != module {
		return "" // the standard library
	}
	for _, rule := range rules {
		if covers(rule, imported) {
			return ""
		}
	}
	return "not in the package's row of the table"
}

// covers reports whether an entry of the table allows the import.
func covers(rule, imported string) bool {
	return imported == rule || strings.HasSuffix(rule, "/") && strings.HasPrefix(imported, rule)
}

func eachFile(t *testing.T, visit func(dir, file string, imports []string)) {
	t.Helper()
	eachSource(t, parser.ImportsOnly, func(dir, file string, parsed *ast.File) {
		var imports []string
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports = append(imports, imported)
		}
		visit(dir, file, imports)
	})
}

// eachSource parses each Go file of the module, without those of modules within
// it.
func eachSource(t *testing.T, mode parser.Mode, visit func(dir, file string, parsed *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != "." && err == nil {
				return filepath.SkipDir // a separate module
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, mode)
		if err != nil {
			return err
		}
		visit(path.Dir(filepath.ToSlash(name)), path.Base(name), parsed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImportJudge: the table refuses the imports that it must refuse.
func TestImportJudge(t *testing.T) {
	for _, bad := range [][2]string{
		{"authz", "keyward/policy"}, {"authz", "github.com/x/y"}, {"authz", "os"},
		{"policy", "time"}, {"policy", "keyward/keyindex"},
		{"extauthz", "keyward/verifier"}, {"extauthz", "keyward/keyindex"}, {"cache", "keyward/authz"},
		{"verifier", "keyward/extauthz"}, {"verifier", "keyward/verifier/tokensource"}, {"verifier/jwks", "keyward/verifier"}, {"verifier", "google.golang.org/protobuf/proto"},
		{"apikey", "keyward/store"}, {"store", "keyward/store/filestore"}, {"store", "os"}, {"store/filestore", "keyward/keyindex"}, {"keyindex", "keyward/store/filestore"},
		{"keyindex", "os"}, {"verifier", "keyward/store/filestore"}, {"store/journal", "keyward/authz"}, {"store/journal", "keyward/store"}, {"admin", "keyward/extauthz"}, {"server", "keyward/cmd/keyward"},
		{"engine", "keyward/server"}, {"engine", "net"}, {"engine", "os/signal"}, {"server", "keyward/verifier"}, {"server", "keyward/keyindex"},
		{"manage/state", "net/http"}, {"manage/state", "keyward/store"}, {"newpackage", "fmt"}, {"server", "keyward/internal/vectors"},
	} {
		if importError(bad[0], bad[1]) == "" {
			t.Errorf("%s may import %s", bad[0], bad[1])
		}
	}
}
