package validate

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// trailersFilter is how Envoy removes all fields after a request's body.
const trailersFilter = `
name: envoy.filters.http.header_mutation
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
  mutations:
    request_trailers_mutations:
    - remove_on_match: {key_matcher: {safe_regex: {regex: ".*"}}}
`

// TestEnvoyRemovesTrailers: each Envoy configuration in the repository, the
// overlays and the chart that asks Keyward has the filter directly before the
// router. No other filter can then add fields that are not checked.
func TestEnvoyRemovesTrailers(t *testing.T) {
	configs := envoyFiles(t)
	for overlay, values := range overlays {
		for from, rendered := range map[string][]byte{"overlay " + overlay: kustomize(t, overlay), "chart, " + values: helm(t, "--set", values)} {
			for _, object := range objects(t, rendered) {
				if text, found, _ := unstructured.NestedString(object.Object, "data", "envoy.yaml"); found {
					configs[from] = text
				}
			}
		}
	}
	for _, from := range []string{"envoy.yaml", "deploy/envoy-http/envoy.yaml", "deploy/envoy-issuer/envoy.yaml", "deploy/envoy-module/envoy.yaml", "overlay sidecar", "chart, mode=sidecar"} {
		if configs[from] == "" {
			t.Errorf("%s has no Envoy configuration that asks Keyward", from)
		}
	}
	for from, text := range configs {
		if wrong := wrongFilters(t, text); wrong != "" {
			t.Errorf("%s: %s", from, wrong)
		}
	}
}

// TestMissingTrailersFilterIsSeen: a configuration without the filter in its
// place is found.
func TestMissingTrailersFilterIsSeen(t *testing.T) {
	text := envoyFiles(t)["envoy.yaml"]
	filter, router := "          - name: envoy.filters.http.header_mutation\n", "          - name: envoy.filters.http.router\n"
	for name, broken := range map[string]string{
		"no filter":               strings.Replace(text, text[strings.Index(text, filter):strings.Index(text, router)], "", 1),
		"another filter after it": strings.Replace(text, router, "          - name: envoy.filters.http.lua\n"+router, 1),
		"some trailers are kept":  strings.Replace(text, `{regex: ".*"}`, `{regex: "x-.*"}`, 1),
		"no ext_authz filter":     strings.Replace(text, "name: envoy.filters.http.ext_authz\n", "name: envoy.filters.http.fault\n", 1),
	} {
		if broken == text || wrongFilters(t, broken) == "" {
			t.Errorf("%s: no problem is found", name)
		}
	}
}

// envoyFiles returns the Envoy configurations in the repository, by path.
func envoyFiles(t *testing.T) map[string]string {
	t.Helper()
	const root = "../.."
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() || filepath.Ext(path) != ".yaml" {
			return nil
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "name: envoy.filters.http.ext_authz\n") {
			name, _ := filepath.Rel(root, path)
			files[filepath.ToSlash(name)] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wrongFilters returns what is wrong with the HTTP filters of an Envoy
// configuration, "" if nothing is.
func wrongFilters(t *testing.T, config string) (wrong string) {
	t.Helper()
	var root, want any
	for text, into := range map[string]*any{config: &root, trailersFilter: &want} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	asked := false
	for _, filters := range filterChains(root) {
		names := make([]string, len(filters))
		for i, filter := range filters {
			names[i], _ = filter.(map[string]any)["name"].(string)
		}
		if !strings.Contains(strings.Join(names, " "), "ext_authz") {
			continue // of a listener for probes
		}
		asked = true
		last := len(filters) - 1
		if names[last] != "envoy.filters.http.router" || !reflect.DeepEqual(filters[last-1], want) {
			wrong = "before the router: " + strings.Join(names, ", ")
		}
	}
	if !asked {
		return "no filter asks Keyward"
	}
	return wrong
}

// filterChains returns all lists of HTTP filters below a node.
func filterChains(node any) (chains [][]any) {
	switch node := node.(type) {
	case map[string]any:
		if filters, ok := node["http_filters"].([]any); ok {
			chains = append(chains, filters)
		}
		for _, value := range node {
			chains = append(chains, filterChains(value)...)
		}
	case []any:
		for _, value := range node {
			chains = append(chains, filterChains(value)...)
		}
	}
	return chains
}

// TestGatewaysRemoveTrailers: where the gateway generates Envoy's
// configuration, an object adds the removal of trailers, for the same requests
// as the object that makes the gateway ask Keyward.
func TestGatewaysRemoveTrailers(t *testing.T) {
	var filter any
	if err := yaml.Unmarshal([]byte(trailersFilter), &filter); err != nil {
		t.Fatal(err)
	}
	for from, rendered := range map[string][]byte{"overlay": kustomize(t, "istio"), "chart": helm(t, "--set", "mode=istio")} {
		asks, removes := theOne(t, rendered, "AuthorizationPolicy"), theOne(t, rendered, "EnvoyFilter")
		patches, _, _ := unstructured.NestedSlice(removes.Object, "spec", "configPatches")
		if len(patches) != 1 || removes.GetNamespace() != asks.GetNamespace() ||
			!reflect.DeepEqual(at(removes, "spec", "workloadSelector", "labels"), at(asks, "spec", "selector", "matchLabels")) {
			t.Fatalf("Istio, %s: %v is not about the requests of %v", from, removes, asks)
		}
		patch := &unstructured.Unstructured{Object: patches[0].(map[string]any)}
		if at(patch, "applyTo") != "HTTP_FILTER" || at(patch, "patch", "operation") != "INSERT_BEFORE" || !reflect.DeepEqual(at(patch, "patch", "value"), filter) ||
			at(patch, "match", "listener", "filterChain", "filter", "subFilter", "name") != "envoy.filters.http.router" {
			t.Errorf("Istio, %s: the patch is %v", from, patch)
		}
	}
	for from, rendered := range map[string][]byte{"overlay": kustomize(t, "envoy-gateway"), "chart": helm(t, "--set", "mode=envoyGateway")} {
		asks, removes := theOne(t, rendered, "SecurityPolicy"), theOne(t, rendered, "EnvoyExtensionPolicy")
		if targets := at(removes, "spec", "targetRefs"); targets == nil || !reflect.DeepEqual(targets, at(asks, "spec", "targetRefs")) || removes.GetNamespace() != asks.GetNamespace() {
			t.Errorf("Envoy Gateway, %s: %v is not about the requests of %v", from, removes, asks)
		}
	}
}

// theOne returns the only object of its kind.
func theOne(t *testing.T, rendered []byte, kind string) (found *unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects(t, rendered) {
		if object.GetKind() == kind {
			if found != nil {
				t.Fatalf("there are two objects of kind %s", kind)
			}
			found = object
		}
	}
	if found == nil {
		t.Fatalf("there is no object of kind %s", kind)
	}
	return found
}

func at(object *unstructured.Unstructured, path ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(object.Object, path...)
	return value
}
