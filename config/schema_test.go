package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keyward/config/strictyaml"

	"go.yaml.in/yaml/v3"
)

// schemaNode is a part of docs/keyward.schema.json, as far as the tests read
// it.
type schemaNode struct {
	Ref         string                 `json:"$ref"`
	AllOf       []*schemaNode          `json:"allOf"`
	AnyOf       []*schemaNode          `json:"anyOf"`
	Items       *schemaNode            `json:"items"`
	Properties  map[string]*schemaNode `json:"properties"`
	Additional  json.RawMessage        `json:"additionalProperties"`
	Enum        []string               `json:"enum"`
	Required    []string               `json:"required"`
	Default     any                    `json:"default"`
	Definitions map[string]*schemaNode `json:"definitions"`
}

func loadSchema(t *testing.T) *schemaNode {
	t.Helper()
	data, err := os.ReadFile("../docs/keyward.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schemaNode
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	return &root
}

// variants returns a node together with its references and alternatives.
func (root *schemaNode) variants(n *schemaNode) []*schemaNode {
	all := []*schemaNode{n}
	if name, ok := strings.CutPrefix(n.Ref, "#/definitions/"); ok {
		all = append(all, root.variants(root.Definitions[name])...)
	}
	for _, alternative := range slices.Concat(n.AllOf, n.AnyOf) {
		all = append(all, root.variants(alternative)...)
	}
	if n.Items != nil {
		all = append(all, root.variants(n.Items)...)
	}
	return all
}

// find returns the variants of a value, given its name in messages.
func (root *schemaNode) find(name string) []*schemaNode {
	found := root.variants(root)
	if name == "" {
		return found
	}
	for part := range strings.SplitSeq(name, ".") {
		var next []*schemaNode
		for _, n := range found {
			var other schemaNode
			if child := n.Properties[part]; child != nil {
				next = append(next, root.variants(child)...)
			} else if json.Unmarshal(n.Additional, &other) == nil {
				next = append(next, root.variants(&other)...)
			}
		}
		found = next
	}
	return found
}

// words returns the keys or words that a value may have according to the
// schema.
func (root *schemaNode) words(name string, as strictyaml.Expectation) []string {
	words := map[string]bool{}
	for _, n := range root.find(name) {
		for _, word := range n.Enum {
			words[word] = words[word] || as == strictyaml.ExpectWords
		}
		for key := range n.Properties {
			words[key] = words[key] || as == strictyaml.ExpectKeys
		}
	}
	maps.DeleteFunc(words, func(_ string, wanted bool) bool { return !wanted })
	return slices.Sorted(maps.Keys(words))
}

// schemaDocuments returns documents that together lead the decoder to each
// mapping and each choice.
func schemaDocuments(t *testing.T) []string {
	t.Helper()
	everything, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		string(everything),
		"challenge: {realm: a}\nupstream_overrides: remove\n",
		"resource_metadata: {url: 'https://api.example.com', authorization_servers: ['https://id.example.com']}\n",
		"routes: [{path: /, rate: {rate: 1/s}}]\ndefault: {auth: none, credentials: [api_key], errors: halo, rate: {rate: 1/s}}\n",
		"rate_limits: {api_key: {rate: 1/s}, basic: {rate: 1/s}, jwt: {rate: 1/s}, oauth: {rate: 1/s}, session: {rate: 1/s}, anonymous: {rate: 1/s}, failed: {rate: 1/s}}\n",
	}
}

// TestSchema compares the published schema with what the decoder expects: the
// keys of each mapping and the words of each choice.
func TestSchema(t *testing.T) {
	root := loadSchema(t)
	mappings := map[string]bool{}
	for _, document := range schemaDocuments(t) {
		d := &decoder{Decoder: strictyaml.New("")}
		d.Expected = func(name string, as strictyaml.Expectation, words []string) {
			if as == strictyaml.ExpectKeys {
				mappings[name] = true
			}
			if name == "identity_headers" {
				return // the operator chooses the headers
			}
			if got, want := root.words(name, as), slices.Sorted(slices.Values(words)); !slices.Equal(got, want) {
				t.Errorf("docs/keyward.schema.json: %s of %q are %q, want %q", as, name, got, want)
			}
		}
		if node := d.Document([]byte(document), func(string) (string, bool) { return "1", true }); node != nil {
			d.config(strictyaml.Value{Node: node}, Default())
		}
	}
	root.eachMapping("", func(name string) {
		if !mappings[name] {
			t.Errorf("no document of the test leads to %q", name)
		}
	})
	algorithms := slices.Sorted(slices.Values(slices.Concat(symmetric, asymmetric)))
	if got := root.words("jwt.algorithms", strictyaml.ExpectWords); !slices.Equal(got, algorithms) {
		t.Errorf("docs/keyward.schema.json: algorithms are %q, want %q", got, algorithms)
	}
}

// eachMapping visits the names of the values that have keys.
func (root *schemaNode) eachMapping(name string, visit func(string)) {
	keys := root.words(name, strictyaml.ExpectKeys)
	if len(keys) > 0 {
		visit(name)
	}
	for _, key := range keys {
		root.eachMapping(strings.TrimPrefix(name+"."+key, "."), visit)
	}
}

// TestSchemaDefaults compares the schema's defaults with those of the
// documentation, which TestDefaults compares with the code.
func TestSchemaDefaults(t *testing.T) {
	root := loadSchema(t)
	var defaults map[string]any
	if err := yaml.Unmarshal([]byte(contractDefaults), &defaults); err != nil {
		t.Fatal(err)
	}
	compared := 0
	var compare func(name string, want any)
	compare = func(name string, want any) {
		if section, ok := want.(map[string]any); ok && len(root.words(name, strictyaml.ExpectKeys)) > 0 {
			for key, value := range section {
				compare(strings.TrimPrefix(name+"."+key, "."), value)
			}
			return
		}
		compared++
		if n, ok := want.(int); ok {
			want = float64(n)
		}
		if got := root.find(name)[0].Default; !reflect.DeepEqual(got, want) {
			t.Errorf("docs/keyward.schema.json: the default of %s is %v, want %v", name, got, want)
		}
	}
	compare("", defaults)
	if compared < 30 {
		t.Errorf("compared only %d defaults", compared)
	}
}

// TestSchemaDefaultsAreInForce writes each default of the schema down: that changes nothing.
func TestSchemaDefaultsAreInForce(t *testing.T) {
	root := loadSchema(t)
	compared := 0
	root.eachKey("", func(name string) {
		value := root.find(name)[0].Default
		if value == nil {
			return
		}
		compared++
		if with, without := parsed(t, documentWith(name, value)), parsed(t, documentWith(name, nil)); with != without {
			t.Errorf("docs/keyward.schema.json: %v is not the default of %s:\n%s\n%s", value, name, with, without)
		}
	})
	if compared < 70 {
		t.Errorf("compared only %d defaults", compared)
	}
}

// documentWith returns a configuration with the value of the key, nil for none,
// and with as little as possible beside it.
func documentWith(name string, value any) map[string]any {
	elements := map[string]map[string]any{
		"jwt": {"issuer": "https://id.example.com"}, "introspection": {"url": "https://id.example.com/introspect"}, "routes": {"path": "/a"},
		"console.scopes": {"name": "a"},
	}
	root := map[string]any{}
	at, path := root, strings.Split(name, ".")
	key := path[len(path)-1]
	for i, part := range path[:len(path)-1] {
		section := map[string]any{}
		at[part] = section
		if element, ok := elements[strings.Join(path[:i+1], ".")]; ok {
			section = element
			at[part] = []any{section}
		}
		at = section
	}
	if key == "shadow" {
		at["rate"] = "1/s"
	}
	if value != nil {
		at[key] = value
	}
	return root
}

// parsed returns what a document means, as text in which a nil slice is an empty one.
func parsed(t *testing.T, document map[string]any) string {
	t.Helper()
	text, err := json.Marshal(document) // which is YAML
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("keyward.yaml", text, noEnv)
	if err != nil {
		t.Errorf("%v\n%s", err, text)
		return ""
	}
	cfg.Files, cfg.Warnings = nil, nil // they have lines
	return fmt.Sprintf("%+v", *cfg)
}
