package validate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// restricted evaluates every rendered pod with Pod Security Admission's own
// evaluator, at the level `restricted` of the newest version that it supports.
func restricted(t *testing.T, rendered []byte) error {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var problems []error
	pods := 0
	for _, object := range objects(t, rendered) {
		template, serves := podTemplate(t, object)
		if template == nil {
			continue
		}
		pods++
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		if result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec)); !result.Allowed {
			problems = append(problems, fmt.Errorf("%s: %s", nameOf(object), result.ForbiddenDetail()))
		}
		problems = append(problems, beyondRestricted(&template.Spec, serves)...)
	}
	if pods == 0 {
		t.Error("no pod is rendered")
	}
	return errors.Join(problems...)
}

// podTemplate returns that of a Deployment, whose pods serve until they are stopped, or
// of a Job; nil for other kinds.
func podTemplate(t *testing.T, object *unstructured.Unstructured) (template *corev1.PodTemplateSpec, serves bool) {
	t.Helper()
	switch object.GetKind() {
	case "Deployment":
		var d appsv1.Deployment
		into(t, object, &d)
		return &d.Spec.Template, true
	case "Job":
		var j batchv1.Job
		into(t, object, &j)
		return &j.Spec.Template, false
	}
	return nil, false
}

// beyondRestricted checks what Keyward guarantees beyond the standard: only the
// volumes for it are writable, no token is mounted, and every container has
// resource limits.
func beyondRestricted(pod *corev1.PodSpec, serves bool) (problems []error) {
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		problems = append(problems, errors.New("the pod gets a token"))
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
			problems = append(problems, fmt.Errorf("container %s has a writable root", c.Name))
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			problems = append(problems, fmt.Errorf("container %s has no limits", c.Name))
		}
		if serves && c.ReadinessProbe == nil {
			problems = append(problems, fmt.Errorf("container %s has no readiness probe", c.Name))
		}
	}
	return problems
}

func TestPodSecurity(t *testing.T) {
	for overlay, values := range overlays {
		if err := restricted(t, kustomize(t, overlay)); err != nil {
			t.Errorf("overlay %s: %v", overlay, err)
		}
		if err := restricted(t, helm(t, "--set", values)); err != nil {
			t.Errorf("chart, %s: %v", values, err)
		}
	}
}

func TestPodSecurityRefuses(t *testing.T) {
	rendered := map[string]string{"sidecar": string(kustomize(t, "sidecar")), "central": string(kustomize(t, "central"))}
	for _, c := range []struct{ name, overlay, old, new, want string }{
		{"privileged", "sidecar", "readOnlyRootFilesystem: true", "privileged: true", "must not set securityContext.privileged"},
		{"may gain rights", "sidecar", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"},
		{"may be root", "sidecar", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		{"is root", "sidecar", "runAsUser: 65532", "runAsUser: 0", "runAsUser=0"},
		{"any system call", "sidecar", "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		{"keeps capabilities", "sidecar", "- ALL", "- NET_RAW", "capabilities"},
		{"the node's files", "sidecar", "emptyDir:\n          medium: Memory\n          sizeLimit: 1Mi", "hostPath:\n          path: /run", "hostPath"},
		{"the node's network", "sidecar", "enableServiceLinks: false", "hostNetwork: true", "hostNetwork=true"},
		{"writes to its root", "sidecar", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "has a writable root"},
		{"gets a token", "sidecar", "      automountServiceAccountToken: false", "      automountServiceAccountToken: true", "gets a token"},
		{"a Job that may be root", "central", "restartPolicy: Never\n      securityContext:\n        fsGroup: 65532\n        runAsGroup: 65532\n        runAsNonRoot: true", "restartPolicy: Never\n      securityContext:\n        fsGroup: 65532\n        runAsGroup: 65532", "runAsNonRoot"},
	} {
		if !strings.Contains(rendered[c.overlay], c.old) {
			t.Errorf("%s: the overlay no longer has %q", c.name, c.old)
			continue
		}
		err := restricted(t, []byte(strings.Replace(rendered[c.overlay], c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
