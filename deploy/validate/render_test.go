package validate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// overlays are the overlays of deploy/kubernetes, with the equivalent values of
// the chart.
var overlays = map[string]string{
	"shared":        "mode=shared",
	"central":       central,
	"sidecar":       "mode=sidecar",
	"istio":         "mode=istio",
	"envoy-gateway": "mode=envoyGateway",
}

// central are the values with a database.
const central = "mode=shared,keys.create=false,store.urlSecret=keyward-database,store.migrateSecret=keyward-owner-database,console.urlSecret=keyward-console-database"

const chart = "../helm/keyward"

func kustomize(t *testing.T, overlay string) []byte {
	t.Helper()
	return run(t, tool(t, "kubectl"), "kustomize", "../kubernetes/overlays/"+overlay)
}

func helm(t *testing.T, args ...string) []byte {
	t.Helper()
	return run(t, tool(t, "helm"), helmArgs(args)...)
}

func helmArgs(args []string) []string {
	return append([]string{"template", "keyward", chart, "--namespace", "keyward"}, args...)
}

// objects decodes rendered objects as the API server would, but without knowing
// their kinds.
func objects(t *testing.T, rendered []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(rendered)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		text, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if string(text) == "null" { // only comments
			continue
		}
		if err := object.UnmarshalJSON(text); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		all = append(all, object)
	}
}

// nameOf returns a unique name of an object for messages.
func nameOf(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}
