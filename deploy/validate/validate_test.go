package validate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// check validates an object by the rules of its kind, and returns it with its
// defaults.
func (k custom) check(t *testing.T, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	t.Helper()
	gvk := object.GroupVersionKind()
	if kind := k[gvk]; kind != nil {
		return kind.check(t, object)
	}
	if !legacyscheme.Scheme.Recognizes(gvk) {
		return nil, fmt.Errorf("unknown kind %s", gvk)
	}
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	defaulted, err := builtin(text)
	if err != nil {
		return nil, err
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(defaulted)
	return &unstructured.Unstructured{Object: fields}, err
}

func (k custom) checkAll(t *testing.T, rendered []byte) error {
	t.Helper()
	var problems []error
	for _, object := range objects(t, rendered) {
		if _, err := k.check(t, object); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", nameOf(object), err))
		}
	}
	return errors.Join(problems...)
}

// TestManifests: a cluster with Istio, Envoy Gateway and the Prometheus
// operator would accept everything that kustomize and the chart render.
func TestManifests(t *testing.T) {
	kinds := loadCustom(t)
	for overlay, values := range overlays {
		if err := kinds.checkAll(t, kustomize(t, overlay)); err != nil {
			t.Errorf("overlay %s: %v", overlay, err)
		}
		if err := kinds.checkAll(t, helm(t, "--set", values)); err != nil {
			t.Errorf("chart, %s: %v", values, err)
		}
	}
}

// TestBrokenManifests: a cluster would refuse them with any of these mistakes.
func TestBrokenManifests(t *testing.T) {
	kinds := loadCustom(t)
	for _, c := range []struct{ name, overlay, old, new, want string }{
		{"misspelt field", "shared", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "unknown field"},
		{"misspelt field of metadata", "shared", "  name: keyward-keys", "  name: keyward-keys\n  lables: {}", "unknown field"},
		{"misspelt field of a policy", "envoy-gateway", "failOpen: false", "failOpened: false", "failOpened"},
		{"misspelt field of a policy's metadata", "istio", "namespace: istio-ingress\nspec", "namespace: istio-ingress\n  lables: {}\nspec", "lables"},
		{"text for a number", "shared", "containerPort: 9193", "containerPort: admin", "cannot unmarshal"},
		{"text for a number in a policy", "envoy-gateway", "statusOnError: 503", "statusOnError: unavailable", "must be of type integer"},
		{"port out of range", "shared", "containerPort: 9193", "containerPort: 91930", "must be between 1 and 65535"},
		{"selector of others' pods", "shared", "  selector:\n    matchLabels:\n      app.kubernetes.io/instance: keyward\n      app.kubernetes.io/name: keyward\n  strategy", "  selector:\n    matchLabels:\n      app: other\n  strategy", "selector"},
		{"missing volume", "sidecar", "      - emptyDir:\n          medium: Memory\n          sizeLimit: 1Mi\n        name: keyward-socket\n", "", "keyward-socket"},
		{"more memory requested than allowed", "sidecar", "memory: 192Mi", "memory: 32Mi", "must be less than or equal to memory limit"},
		{"sidecar with an unknown restart policy", "sidecar", "restartPolicy: Always", "restartPolicy: Ever", "restartPolicy"},
		{"maximum of replicas below the minimum", "shared", "minReplicas: 3", "minReplicas: 30", "must be greater than or equal to"},
		{"budget with an invalid bound", "shared", "maxUnavailable: 1\n  selector", "maxUnavailable: -1\n  selector", "maxUnavailable"},
		{"unknown direction", "shared", "- Egress", "- Outgress", "policyTypes"},
		{"unknown action", "istio", "action: CUSTOM", "action: CUSTOMS", "Unsupported value"},
		{"invalid interval", "shared", "interval: 15s", "interval: often", "interval"},
		{"kind in another version", "shared", "monitoring.coreos.com/v1", "monitoring.coreos.com/v2", "unknown kind"},
		{"rule that the policy's schema declares", "envoy-gateway", "backendRefs:\n      - name: keyward", "backendRefs:\n      - kind: Pod\n        name: keyward", "BackendRefs only supports Service"},
		{"Job that restarts forever", "central", "restartPolicy: Never", "restartPolicy: Always", "restartPolicy"},
		{"unknown retry condition", "envoy-gateway", "- refused-stream", "- refused-steam", "Unsupported value"},
		{"invalid time", "envoy-gateway", "timeout: 500ms", "timeout: 0.25s", "timeout"},
	} {
		rendered := string(kustomize(t, c.overlay))
		if !strings.Contains(rendered, c.old) {
			t.Errorf("%s: overlay %s no longer has %q", c.name, c.overlay, c.old)
			continue
		}
		err := kinds.checkAll(t, []byte(strings.Replace(rendered, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
