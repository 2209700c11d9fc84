package validate

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestSameObjects: kustomize and the chart render the same objects, except for
// the hashes in names, which they compute differently, and what only Helm
// needs.
func TestSameObjects(t *testing.T) {
	kinds := loadCustom(t)
	for overlay, values := range overlays {
		left := normal(t, kinds, kustomize(t, overlay))
		right := normal(t, kinds, helm(t, "--set", values))
		for name := range maps.Keys(union(left, right)) {
			if difference := cmp.Diff(left[name], right[name]); difference != "" {
				t.Errorf("%s of overlay %s (-) and of the chart with %s (+) differ:\n%s", name, overlay, values, difference)
			}
		}
	}
}

func union(a, b map[string]map[string]any) map[string]map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// TestDifferencesAreSeen: the comparison detects differences.
func TestDifferencesAreSeen(t *testing.T) {
	kinds := loadCustom(t)
	left := normal(t, kinds, kustomize(t, "sidecar"))
	for _, other := range []string{"autoscaling.maxReplicas=11", "sidecar.envoy.image=envoy", "config=x", "image.tag=v1"} {
		if cmp.Equal(left, normal(t, kinds, helm(t, "--set", "mode=sidecar", "--set", other))) {
			t.Errorf("%s is not detected", other)
		}
	}
}

var hashed = regexp.MustCompile(`^(.+)-[0-9a-z]{10}$`)

// normal returns all objects by name, with their defaults and without hashes.
func normal(t *testing.T, kinds custom, rendered []byte) map[string]map[string]any {
	t.Helper()
	rename := map[string]string{}
	var all []*unstructured.Unstructured
	for _, object := range objects(t, rendered) {
		defaulted, err := kinds.check(t, object)
		if err != nil {
			t.Fatalf("%s: %v", nameOf(object), err)
		}
		if match := hashed.FindStringSubmatch(defaulted.GetName()); defaulted.GetKind() == "ConfigMap" && match != nil {
			rename[defaulted.GetName()] = match[1]
		}
		annotations := defaulted.GetAnnotations()
		for name := range annotations {
			if strings.HasPrefix(name, "helm.sh/") {
				delete(annotations, name)
			}
		}
		if len(annotations) == 0 {
			annotations = nil
		}
		defaulted.SetAnnotations(annotations)
		all = append(all, defaulted)
	}
	byName := map[string]map[string]any{}
	for _, object := range all {
		renamed := replaced(object.Object, rename).(map[string]any)
		byName[nameOf(&unstructured.Unstructured{Object: renamed})] = renamed
	}
	if len(byName) != len(all) {
		t.Fatal("two objects have one name")
	}
	return byName
}

// replaced returns the node with the values that are names replaced.
func replaced(node any, names map[string]string) any {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			node[key] = replaced(value, names)
		}
	case []any:
		for i, value := range node {
			node[i] = replaced(value, names)
		}
	case string:
		if name, ok := names[node]; ok {
			return name
		}
	}
	return node
}
