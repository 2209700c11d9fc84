package validate

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// publishedSchema returns the published schema as an editor reads it. The
// library also validates it against its draft.
func publishedSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile("../../docs/keyward.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// problem returns what the schema reports about a configuration.
func problem(t *testing.T, schema *jsonschema.Schema, configuration []byte) error {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict(configuration)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(value)
}

// TestConfigurationsMatchSchema: an editor reports no problem in a
// configuration that is shipped or documented.
func TestConfigurationsMatchSchema(t *testing.T) {
	compiled := publishedSchema(t)
	configurations := map[string]string{}
	for _, pattern := range []string{"../examples/*.yaml", "../kubernetes/base/keyward.yaml", "../kubernetes/overlays/central/keyward*.yaml", "../../config/testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			configurations[file] = readFile(t, file)
		}
	}
	pages, err := filepath.Glob("../../docs/recipes/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no recipes, %v", err)
	}
	for _, page := range append(pages, "../../docs/configuration.md") {
		for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(readFile(t, page), -1) {
			text, marked := strings.CutPrefix(block[1], "# keyward.yaml\n")
			if isRecipe := strings.Contains(page, "recipes/"); isRecipe && !marked || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "patches:") {
				continue // another program's, or only a comment
			}
			configurations[page+": "+text] = text
		}
	}
	if len(configurations) < 25 {
		t.Errorf("found only %d configurations", len(configurations))
	}
	for name, configuration := range configurations {
		if err := problem(t, compiled, []byte(configuration)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses: an editor reports these defects. Keyward's own tests list
// those that only `keyward config validate` finds.
func TestSchemaRefuses(t *testing.T) {
	compiled := publishedSchema(t)
	for _, defect := range []string{"unknown_key", "unknown_top_level_key", "unknown_style_and_kind", "wrong_enum", "wrong_types", "out_of_range",
		"no_value", "realm_empty", "rate_limits", "path_case", "tls_pair", "upstream_overrides_word", "too_many_identity_headers", "duplicate_key"} {
		if problem(t, compiled, []byte(readFile(t, "../../config/testdata/bad/"+defect+".yaml"))) == nil {
			t.Errorf("%s: the schema accepts it", defect)
		}
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
