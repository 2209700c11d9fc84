package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// definitions lists where the projects publish their CRDs, by Go module. They
// are data here, so they are pinned by hash and are not required by this
// module.
var definitions = []struct{ module, sum, files string }{
	{"istio.io/api@v1.31.1", "h1:5Yb5ihcz4YQsCkciusK7DnFpBMwRB6EFWeUKH1Atuyk=", "kubernetes/customresourcedefinitions.gen.yaml"},
	{"github.com/envoyproxy/gateway@v1.9.1", "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=", "charts/gateway-helm/charts/crds/crds/gatewayapi-crds.yaml"}, // Gateway API 1.6.1
	{"github.com/envoyproxy/gateway@v1.9.1", "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=", "charts/gateway-helm/charts/crds/crds/generated/*.yaml"},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=", "example/prometheus-operator-crd/*.yaml"},
}

// custom holds the kinds that the definitions define.
type custom map[schema.GroupVersionKind]*customKind

type customKind struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func loadCustom(t *testing.T) custom {
	t.Helper()
	kinds := custom{}
	for _, from := range definitions {
		files, err := filepath.Glob(filepath.Join(moduleDir(t, from.module, from.sum), from.files))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no %s (%v)", from.module, from.files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range bytes.Split(text, []byte("\n---\n")) {
				kinds.define(t, file, document)
			}
		}
	}
	return kinds
}

// moduleDir returns the directory of the module in the module cache. It fetches
// the module if necessary.
func moduleDir(t *testing.T, module, sum string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || err != nil {
		t.Fatalf("go mod download %s: %v %s", module, err, got.Error)
	}
	if got.Sum != sum {
		t.Fatalf("%s has the sum %s, want %s", module, got.Sum, sum)
	}
	return got.Dir
}

// needed are the groups of the kinds in use; preparing the rules of all others
// would take long.
var needed = []string{"security.istio.io", "networking.istio.io", "gateway.networking.k8s.io", "gateway.envoyproxy.io", "monitoring.coreos.com"}

func (k custom) define(t *testing.T, file string, document []byte) {
	t.Helper()
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(document, &v1); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if v1.Kind != "CustomResourceDefinition" || !strings.Contains(strings.Join(needed, " "), v1.Spec.Group) {
		return
	}
	var crd apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &crd, nil); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, version := range crd.Spec.Versions {
		properties := version.Schema
		if properties == nil { // all versions have the same one
			properties = crd.Spec.Validation
		}
		kind, err := newCustomKind(properties.OpenAPIV3Schema)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		k[schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}] = kind
	}
}

func newCustomKind(properties *apiextensions.JSONSchemaProps) (*customKind, error) {
	structural, err := structuralschema.NewStructural(properties)
	if err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(properties)
	if err != nil {
		return nil, err
	}
	return &customKind{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// check validates a custom resource like kube-apiserver on `kubectl apply
// --validate=strict`, and returns it with its defaults.
func (k *customKind) check(t *testing.T, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(object.Object["metadata"])
	if err != nil {
		return nil, err
	}
	var problems field.ErrorList
	if unknown, err := strictjson.UnmarshalStrict(text, &metav1.ObjectMeta{}); err != nil || len(unknown) > 0 {
		return nil, fmt.Errorf("metadata: %v %v", err, unknown)
	}
	unknown := pruning.PruneWithOptions(runtime.DeepCopyJSON(object.Object), k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, name := range unknown {
		problems = append(problems, field.Invalid(field.NewPath(name), nil, "unknown field"))
	}
	defaulted := object.DeepCopy()
	defaulting.Default(defaulted.Object, k.structural)
	problems = append(problems, validation.ValidateCustomResource(nil, defaulted.Object, k.schema)...)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, k.structural, defaulted.Object)...)
	broken, _ := k.rules.Validate(t.Context(), nil, k.structural, defaulted.Object, nil, celconfig.RuntimeCELCostBudget)
	return defaulted, append(problems, broken...).ToAggregate()
}
