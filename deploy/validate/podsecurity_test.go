package validate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
		if object.GetKind() != "Deployment" {
			continue
		}
		pods++
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d); err != nil {
			t.Fatal(err)
		}
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		template := d.Spec.Template
		if result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec)); !result.Allowed {
			problems = append(problems, fmt.Errorf("%s: %s", nameOf(object), result.ForbiddenDetail()))
		}
		problems = append(problems, beyondRestricted(&d)...)
	}
	if pods == 0 {
		t.Error("no pod is rendered")
	}
	return errors.Join(problems...)
}

// beyondRestricted checks what Keyward guarantees beyond the standard: only the
// volumes for it are writable, no token is mounted, and every container has
// resource limits.
func beyondRestricted(d *appsv1.Deployment) (problems []error) {
	pod := d.Spec.Template.Spec
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
		if c.ReadinessProbe == nil {
			problems = append(problems, fmt.Errorf("container %s has no readiness probe", c.Name))
		}
	}
	return problems
}

func TestPodSecurity(t *testing.T) {
	for overlay, mode := range overlays {
		if err := restricted(t, kustomize(t, overlay)); err != nil {
			t.Errorf("overlay %s: %v", overlay, err)
		}
		if err := restricted(t, helm(t, "--set", "mode="+mode)); err != nil {
			t.Errorf("chart, mode %s: %v", mode, err)
		}
	}
}

func TestPodSecurityRefuses(t *testing.T) {
	rendered := string(kustomize(t, "sidecar"))
	for _, c := range []struct{ name, old, new, want string }{
		{"privileged", "readOnlyRootFilesystem: true", "privileged: true", "must not set securityContext.privileged"},
		{"may gain rights", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"},
		{"may be root", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		{"is root", "runAsUser: 65532", "runAsUser: 0", "runAsUser=0"},
		{"any system call", "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		{"keeps capabilities", "- ALL", "- NET_RAW", "capabilities"},
		{"the node's files", "emptyDir:\n          medium: Memory\n          sizeLimit: 1Mi", "hostPath:\n          path: /run", "hostPath"},
		{"the node's network", "enableServiceLinks: false", "hostNetwork: true", "hostNetwork=true"},
		{"writes to its root", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "has a writable root"},
		{"gets a token", "      automountServiceAccountToken: false", "      automountServiceAccountToken: true", "gets a token"},
	} {
		if !strings.Contains(rendered, c.old) {
			t.Errorf("%s: the overlay no longer has %q", c.name, c.old)
			continue
		}
		err := restricted(t, []byte(strings.Replace(rendered, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
