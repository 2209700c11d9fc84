package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	mesh "istio.io/api/mesh/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// release is the result of one overlay or mode, with what is needed to resolve
// references between its objects.
type release struct {
	deployments []*appsv1.Deployment
	services    map[string]corev1.Service // by host name
	configMaps  map[string]bool
	all         []*unstructured.Unstructured
}

func readRelease(t *testing.T, rendered []byte) *release {
	t.Helper()
	r := &release{services: map[string]corev1.Service{}, configMaps: map[string]bool{}, all: objects(t, rendered)}
	for _, object := range r.all {
		switch object.GetKind() {
		case "Deployment":
			d := &appsv1.Deployment{}
			into(t, object, d)
			r.deployments = append(r.deployments, d)
		case "ConfigMap":
			r.configMaps[object.GetName()] = true
		case "Service":
			var s corev1.Service
			into(t, object, &s)
			r.services[s.Name+"."+s.Namespace+".svc.cluster.local"] = s
		}
	}
	return r
}

func into(t *testing.T, object *unstructured.Unstructured, typed any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		t.Fatal(err)
	}
}

// containers returns all containers of the pod.
func containers(pod *corev1.PodSpec) []corev1.Container {
	return slices.Concat(pod.InitContainers, pod.Containers)
}

// has reports whether one of the containers has a port of that name or number.
func has(containers []corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
			return port == intstr.FromString(p.Name) || port == intstr.FromInt32(p.ContainerPort)
		})
	})
}

// selected returns the pods that match labels select, one for each Deployment.
func (r *release) selected(matchLabels map[string]string) (pods []*corev1.PodSpec) {
	for _, d := range r.deployments {
		if len(matchLabels) > 0 && labels.SelectorFromSet(matchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
			pods = append(pods, &d.Spec.Template.Spec)
		}
	}
	return pods
}

// answers reports whether a Service of this name has the port.
func (r *release) answers(host string, port int32) bool {
	return slices.ContainsFunc(r.services[host].Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
}

// TestReferences: references between objects resolve, which no schema verifies.
func TestReferences(t *testing.T) {
	for overlay, values := range overlays {
		for from, rendered := range map[string][]byte{"overlay " + overlay: kustomize(t, overlay), "chart, " + values: helm(t, "--set", values)} {
			for _, wrong := range wrongReferences(t, rendered) {
				t.Errorf("%s: %s", from, wrong)
			}
		}
	}
}

func wrongReferences(t *testing.T, rendered []byte) (problems []string) {
	t.Helper()
	r := readRelease(t, rendered)
	for _, object := range r.all {
		for _, wrong := range r.wrong(t, object) {
			problems = append(problems, nameOf(object)+": "+wrong)
		}
	}
	return problems
}

// TestWrongReferences: each mistake is found.
func TestWrongReferences(t *testing.T) {
	for _, c := range []struct{ overlay, old, new, want string }{
		{"sidecar", "path: /readyz\n            port: 10000", "path: /readyz\n            port: http", "container api is probed at a port"},
		{"sidecar", "targetPort: 10000", "targetPort: 8000", "no container has the port 8000"},
		{"sidecar", "- port: 10000", "- port: 8000", "no container has the port 8000"},
		{"sidecar", "  container: api", "  container: app", "no container is called app"},
		{"sidecar", "  revisionHistoryLimit: 3", "  replicas: 3", "sets replicas itself"},
		{"shared", "  - interval: 15s\n    path: /metrics\n    port: admin", "  - port: metrics", "no container has the port of"},
		{"shared", "    kind: Deployment\n    name: keyward", "    kind: Deployment\n    name: other", "scales other"},
		{"shared", "      labels:\n        app.kubernetes.io/instance: keyward", "      labels:\n        app.kubernetes.io/instance: other", "selects no pod"},
		{"central", "          name: keyward-console-config", "          name: keyward-other-config", "volume config is a ConfigMap that does not exist"},
		{"central", "      labels:\n        app.kubernetes.io/instance: keyward\n        app.kubernetes.io/name: keyward-console", "      labels:\n        app.kubernetes.io/instance: keyward\n        app.kubernetes.io/name: keyward", "selects the pods of 2 Deployments"},
		{"envoy-gateway", "- name: keyward\n        port: 9191", "- name: keyward\n        port: 9999", "which does not exist"},
	} {
		rendered := string(kustomize(t, c.overlay))
		if !strings.Contains(rendered, c.old) {
			t.Errorf("overlay %s no longer has %q", c.overlay, c.old)
			continue
		}
		found := strings.Join(wrongReferences(t, []byte(strings.Replace(rendered, c.old, c.new, 1))), "\n")
		if !strings.Contains(found, c.want) {
			t.Errorf("with %q: got %q, want a problem with %q", c.new, found, c.want)
		}
	}
}

func (r *release) wrong(t *testing.T, object *unstructured.Unstructured) (problems []string) {
	complain := func(ok bool, text string, of ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(text, of...))
		}
	}
	at := func(path ...string) map[string]string {
		found, _, _ := unstructured.NestedStringMap(object.Object, path...)
		return found
	}
	// of returns the containers of the pods that the object selects.
	of := func(path ...string) []corev1.Container {
		pods := r.selected(at(path...))
		complain(len(pods) > 0, "selects no pod")
		if complain(len(pods) < 2, "selects the pods of %d Deployments", len(pods)); len(pods) == 0 {
			return nil
		}
		return containers(pods[0])
	}
	switch object.GetKind() {
	case "Deployment", "Job":
		template, _ := podTemplate(t, object)
		for _, volume := range template.Spec.Volumes {
			complain(volume.ConfigMap == nil || r.configMaps[volume.ConfigMap.Name], "volume %s is a ConfigMap that does not exist", volume.Name)
		}
		for _, wrong := range wrongProbes(&template.Spec) {
			complain(false, "%s", wrong)
		}
	case "Service":
		var s corev1.Service
		into(t, object, &s)
		among := of("spec", "selector")
		for _, p := range s.Spec.Ports {
			complain(has(among, p.TargetPort), "no container has the port %s", &p.TargetPort)
		}
	case "PodDisruptionBudget":
		of("spec", "selector", "matchLabels")
	case "NetworkPolicy":
		among := of("spec", "podSelector", "matchLabels")
		var n networkingv1.NetworkPolicy
		into(t, object, &n)
		for _, rule := range n.Spec.Ingress {
			for _, p := range rule.Ports {
				complain(p.Port.Type == intstr.Int && has(among, *p.Port), "no container has the port %s", p.Port)
			}
		}
	case "PodMonitor":
		among := of("spec", "selector", "matchLabels")
		endpoints, _, _ := unstructured.NestedSlice(object.Object, "spec", "podMetricsEndpoints")
		for _, e := range endpoints {
			complain(has(among, intstr.FromString(e.(map[string]any)["port"].(string))), "no container has the port of %v", e)
		}
	case "HorizontalPodAutoscaler":
		var h autoscalingv2.HorizontalPodAutoscaler
		into(t, object, &h)
		i := slices.IndexFunc(r.deployments, func(d *appsv1.Deployment) bool { return d.Name == h.Spec.ScaleTargetRef.Name })
		if complain(i >= 0, "scales %s", h.Spec.ScaleTargetRef.Name); i < 0 {
			break
		}
		complain(r.deployments[i].Spec.Replicas == nil, "the Deployment sets replicas itself")
		scaled := h.Spec.Metrics[0].ContainerResource.Container
		complain(slices.ContainsFunc(r.deployments[i].Spec.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == scaled }), "no container is called %s", scaled)
	case "SecurityPolicy":
		backends, _, _ := unstructured.NestedSlice(object.Object, "spec", "extAuth", "grpc", "backendRefs")
		complain(len(backends) == 1, "asks %d services", len(backends))
		for _, b := range backends {
			b := b.(map[string]any)
			complain(r.answers(fmt.Sprintf("%s.%s.svc.cluster.local", b["name"], object.GetNamespace()), int32(b["port"].(int64))), "asks %v, which does not exist", b)
		}
	}
	return problems
}

// wrongProbes returns the probes of a pod at ports that it does not have.
func wrongProbes(pod *corev1.PodSpec) (problems []string) {
	for _, c := range containers(pod) {
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			// The kubelet looks up a name in this container only.
			among := []corev1.Container{c}
			if probe != nil && probe.HTTPGet.Port.Type == intstr.Int {
				among = containers(pod)
			}
			if probe != nil && !has(among, probe.HTTPGet.Port) {
				problems = append(problems, fmt.Sprintf("container %s is probed at a port that it does not have", c.Name))
			}
		}
	}
	return problems
}

// TestMeshConfig: Istio is configured with the existing Service, under the name
// that the policy uses.
func TestMeshConfig(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/overlays/istio/mesh-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := meshConfig(t, text)
	provider := config.ExtensionProviders[0]
	r := readRelease(t, kustomize(t, "istio"))
	grpc := provider.GetEnvoyExtAuthzGrpc()
	if !r.answers(grpc.Service, int32(grpc.Port)) {
		t.Errorf("Istio is configured to ask %s:%d, which does not exist", grpc.Service, grpc.Port)
	}
	if grpc.FailOpen || grpc.Timeout.AsDuration() != 250*time.Millisecond || grpc.StatusOnError != "503" || grpc.IncludeRequestBodyInCheck != nil {
		t.Errorf("Istio's configuration is %v", grpc)
	}
	for _, object := range r.all {
		if name, _, _ := unstructured.NestedString(object.Object, "spec", "provider", "name"); object.GetKind() == "AuthorizationPolicy" && name != provider.Name {
			t.Errorf("the policy names %q, Istio's configuration %q", name, provider.Name)
		}
	}
}

// meshConfig parses the fragment as strictly as Istio's own types allow.
func meshConfig(t *testing.T, values []byte) *mesh.MeshConfig {
	t.Helper()
	var fragment struct{ MeshConfig any }
	if err := yaml.UnmarshalStrict(values, &fragment); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(fragment.MeshConfig)
	if err != nil {
		t.Fatal(err)
	}
	config := &mesh.MeshConfig{}
	if err := protojson.Unmarshal(text, config); err != nil { // unknown fields are errors
		t.Fatal(err)
	}
	return config
}

// TestEnvoyAsksServiceOfOverlay: the Envoy configuration for the shared service
// names its pods.
func TestEnvoyAsksServiceOfOverlay(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/overlays/shared/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := readRelease(t, kustomize(t, "shared"))
	for host, service := range r.services {
		want := fmt.Sprintf("address: %s, port_value: %d", host, map[bool]int{true: 9191, false: 9192}[service.Spec.ClusterIP == "None"])
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("envoy.yaml has no %s", want)
		}
	}
}

// TestKeywardConfigs: Keyward accepts every keyward.yaml that is shipped for a
// cluster.
func TestKeywardConfigs(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "keyward")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/keyward") // as e2e does, so that most of it is already compiled
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("KEYWARD_STORE_URL", "postgres://keyward@db.example.com/keyward")
	for overlay := range overlays {
		for _, object := range objects(t, kustomize(t, overlay)) {
			text, found, _ := unstructured.NestedString(object.Object, "data", "keyward.yaml")
			if !found {
				continue
			}
			file := filepath.Join(t.TempDir(), "keyward.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, complaint, err := try(t, binary, "config", "validate", file); err != nil {
				t.Errorf("overlay %s: %v %s", overlay, err, complaint)
			}
		}
	}
}
