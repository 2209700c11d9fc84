package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"keyward/config/strictyaml"
	"keyward/internal/markdown"
)

const configurationPage = "../docs/configuration.md"

// keyTables are the tables of docs/configuration.md, read by the published schema.
type keyTables struct {
	t    *testing.T
	root *schemaNode
	rows map[string]bool // the keys that have a row, and those that have a section
}

// TestDocumentedKeys compares docs/configuration.md with the published schema, which
// TestSchema holds to the reader and TestSchemaDefaultsAreInForce to the code: each key
// has one row, with its default, and no row has a key that does not exist.
func TestDocumentedKeys(t *testing.T) {
	tables := &keyTables{t: t, root: loadSchema(t), rows: map[string]bool{}}
	sections := markdown.Read(t, configurationPage)
	for i := range sections {
		tables.section(&sections[i])
	}
	tables.root.eachKey("", func(name string) {
		if !tables.rows[name] {
			t.Errorf("docs/configuration.md has no row of %s", name)
		}
	})
	if len(tables.rows) < 90 {
		t.Errorf("docs/configuration.md documents only %d keys", len(tables.rows))
	}
}

// section reads one section. Its heading names the keys that its rows are below;
// the rows of a heading without one are those of the whole file.
func (k *keyTables) section(s *markdown.Section) {
	parents := strings.Split(s.Heading, " and ")
	if slices.ContainsFunc(parents, func(word string) bool { return k.root.Properties[word] == nil }) {
		parents = nil
	}
	for _, key := range parents {
		k.document(key)
	}
	tables := slices.DeleteFunc(slices.Clone(s.Tables), func(table markdown.Table) bool { return !table.Has("key", "default") })
	if len(tables) == 0 {
		for _, key := range parents {
			k.showsDefault(s, key)
		}
		return
	}
	if len(parents) == 0 {
		parents = []string{""}
	}
	levels := k.levels(parents)
	for _, table := range tables {
		for _, row := range table.Rows {
			k.row(s, row.Line, levels, table.Column(row, "key"), table.Column(row, "default"))
		}
	}
}

// levels returns the keys that a section's rows are below: a section whose keys
// all have the same keys, such as tls, has rows of these.
func (k *keyTables) levels(parents []string) (levels []string) {
	for _, parent := range parents {
		children := k.root.words(parent, strictyaml.ExpectKeys)
		below := k.root.words(below(parent, children[0]), strictyaml.ExpectKeys)
		alike := func(child string) bool {
			return slices.Equal(k.root.words(parent+"."+child, strictyaml.ExpectKeys), below)
		}
		if parent == "" || len(below) == 0 || slices.ContainsFunc(children, func(child string) bool { return !alike(child) }) {
			levels = append(levels, parent)
			continue
		}
		for _, child := range children {
			k.document(parent + "." + child)
			levels = append(levels, parent+"."+child)
		}
	}
	return levels
}

func below(parent, key string) string { return strings.TrimPrefix(parent+"."+key, ".") }

// row reads the row of one or more keys, each of which is below at least one of the levels.
func (k *keyTables) row(s *markdown.Section, line int, levels []string, keys, shown string) {
	names, defaults := markdown.Code(keys), markdown.Code(shown)
	for i, key := range names {
		text := ""
		switch {
		case len(defaults) == 1:
			text = defaults[0]
		case len(defaults) == len(names):
			text = defaults[i]
		case len(defaults) > 0:
			k.t.Errorf("docs/configuration.md:%d: %d keys and %d defaults", line, len(names), len(defaults))
		}
		found := false
		for _, level := range levels {
			if !slices.Contains(k.root.words(level, strictyaml.ExpectKeys), key) {
				continue
			}
			found = true
			name := below(level, key)
			k.document(name)
			k.nested(s, name)
			k.compare(line, level, key, shown, text)
		}
		if !found {
			k.t.Errorf("docs/configuration.md:%d: there is no key %s in %q", line, key, levels)
		}
	}
}

// compare holds the default of a row to the schema's. A cell without code says in
// words where the value comes from; of a key that must be given it says "required".
func (k *keyTables) compare(line int, level, key, cell, text string) {
	required := slices.ContainsFunc(k.root.find(level), func(n *schemaNode) bool { return slices.Contains(n.Required, key) })
	name := below(level, key)
	if want := k.root.defaultOf(name); text == "" {
		if want != nil || required != (cell == "required") {
			k.t.Errorf("docs/configuration.md:%d: the default of %s is %q, want %v, required: %t", line, name, cell, want, required)
		}
	} else if got := decoded(k.t, text); !reflect.DeepEqual(got, want) {
		k.t.Errorf("docs/configuration.md:%d: the default of %s is %v, want %v", line, name, got, want)
	}
}

// nested documents the keys of a value that has a row: the section shows them in code.
func (k *keyTables) nested(s *markdown.Section, name string) {
	code := strings.Join(markdown.Code(s.Text), "\n")
	for _, block := range s.Blocks {
		code += "\n" + block.Text
	}
	for _, key := range k.root.words(name, strictyaml.ExpectKeys) {
		k.document(below(name, key))
		if !strings.Contains(code, key+":") {
			k.t.Errorf("docs/configuration.md, %s: nothing shows %s of %s", s.Heading, key, name)
		}
	}
}

// showsDefault holds a section without a table of keys to showing its key's default, as code or as a block.
func (k *keyTables) showsDefault(s *markdown.Section, key string) {
	k.nested(s, key)
	want := k.root.defaultOf(key)
	for _, text := range markdown.Code(s.Text) {
		var value any
		if yaml.Unmarshal([]byte(text), &value) == nil && reflect.DeepEqual(value, want) {
			return
		}
	}
	for _, block := range s.Blocks {
		if document, ok := decoded(k.t, block.Text).(map[string]any); ok && len(document) == 1 && reflect.DeepEqual(document[key], want) {
			return
		}
	}
	k.t.Errorf("docs/configuration.md, %s: the default %v is not shown", s.Heading, want)
}

func (k *keyTables) document(name string) {
	if k.rows[name] {
		k.t.Errorf("docs/configuration.md documents %s twice", name)
	}
	k.rows[name] = true
}

// decoded returns a value in YAML as JSON has it.
func decoded(t *testing.T, text string) (value any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	switch n := value.(type) {
	case int:
		return float64(n)
	default:
		return value
	}
}

// eachKey visits the names of all values.
func (root *schemaNode) eachKey(name string, visit func(string)) {
	for _, key := range root.words(name, strictyaml.ExpectKeys) {
		visit(below(name, key))
		root.eachKey(below(name, key), visit)
	}
}

// defaultOf returns the default of a value; that of a mapping without one is made of its keys'.
func (root *schemaNode) defaultOf(name string) any {
	if value := root.find(name)[0].Default; value != nil {
		return value
	}
	section := map[string]any{}
	for _, key := range root.words(name, strictyaml.ExpectKeys) {
		if value := root.defaultOf(below(name, key)); value != nil {
			section[key] = value
		}
	}
	if len(section) == 0 {
		return nil
	}
	return section
}

// notKeywards are sections whose blocks of YAML are another program's configuration.
var notKeywards = map[string]string{
	"docs/configuration.md: A private CA for issuers (x509: certificate signed by unknown authority)":  "kustomize",
	"docs/proxies.md: require_https behind a TLS-terminating load balancer":                            "Envoy",
	"docs/proxies.md: WebDAV and S3: the Destination header, x-amz-copy-source and other second paths": "Envoy and Traefik",
	"docs/proxies.md: A header with an underscore, such as api_key":                                    "Envoy",
	"docs/kubernetes.md: Envoy Gateway":                                                                "Envoy Gateway",
	"docs/kubernetes.md: Keys":                                                                         "kustomize",
	"docs/proxies.md: encoded-slash with envoy.yaml":                                                   "Envoy",
	"docs/proxies.md: Resource metadata":                                                               "Envoy and Traefik",
	"docs/envoy-module.md: Use it":                                                                     "Envoy",
	"docs/tracing.md: Envoy":                                                                           "Envoy",
	"docs/tracing.md: Other proxies":                                                                   "Traefik",
}

// TestDocumentedConfigurations parses the configurations that the pages show.
func TestDocumentedConfigurations(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	parsed, others := 0, map[string]bool{}
	for _, page := range append(pages, "../README.md") {
		for _, s := range markdown.Read(t, page) {
			section := strings.TrimPrefix(page, "../") + ": " + s.Heading
			for _, block := range s.Blocks {
				switch {
				case block.Info != "yaml" || decoded(t, block.Text) == nil: // nothing but comments
				case notKeywards[section] != "":
					others[section] = true
				default:
					parsed++
					if _, err := Parse(section, []byte(block.Text), noEnv); err != nil {
						t.Errorf("%s: %v\n%s", section, err, block.Text)
					}
				}
			}
		}
	}
	for section, program := range notKeywards {
		if !others[section] {
			t.Errorf("%s has no configuration of %s", section, program)
		}
	}
	if parsed < 25 {
		t.Errorf("parsed only %d blocks", parsed)
	}
}
