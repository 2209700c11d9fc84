package validate

import (
	"strings"
	"testing"
)

// TestValues: each value that an operator can set has an effect.
func TestValues(t *testing.T) {
	before := map[string]string{}
	for _, c := range []struct{ mode, set, want string }{
		{"shared", "image.digest=sha256:" + strings.Repeat("a", 64), "image: registry.example.com/keyward@sha256:aaaa"},
		{"shared", "image.repository=example.org/k", "image: example.org/k:v0.0.0"},
		{"shared", "imagePullSecrets[0].name=pull", "imagePullSecrets:\n      - name: pull"},
		{"shared", "config=log: {level: debug}", "log: {level: debug}"},
		{"shared", "keys.secretName=mine", "secretName: mine"},
		{"shared", "keys.create=false", "!kind: Secret"},
		{"shared", "resources.limits.memory=1Gi", "memory: 1Gi"},
		{"shared", "autoscaling.minReplicas=5", "minReplicas: 5"},
		{"shared", "autoscaling.targetCPUUtilization=50", "averageUtilization: 50"},
		{"shared", "networkPolicy.enabled=false", "!kind: NetworkPolicy"},
		{"shared", "networkPolicy.monitoringNamespace=prometheus", "kubernetes.io/metadata.name: prometheus"},
		{"shared", "networkPolicy.clients[0].ipBlock.cidr=10.0.0.0/8", "cidr: 10.0.0.0/8"},
		{"shared", "networkPolicy.egress[0].ports[0].port=53", "- ports:\n      - port: 53"},
		{"shared", "podMonitor.enabled=false", "!kind: PodMonitor"},
		{"shared", "store.urlSecret=db", "secretName: db"},
		{"shared", "store.urlSecret=db", "{port: 5432, protocol: TCP}"},
		{"central", "store.migrateSecret=", "!kind: Job"},
		{"central", "console.urlSecret=", "!name: keyward-console"},
		{"central", "console.replicas=3", "replicas: 3"},
		{"central", "console.config=log: {level: debug}", "log: {level: debug}"},
		{"central", "networkPolicy.egress[0].ports[0].port=6432", "!{port: 5432, protocol: TCP}"},
		{"central", "networkPolicy.consoleClients[0].ipBlock.cidr=10.0.0.0/8", "!keyward-console-client"},
		{"central", "networkPolicy.enabled=false", "!kind: NetworkPolicy"},
		{"central", "podMonitor.enabled=false", "!kind: PodMonitor"},
		{"central", "imagePullSecrets[0].name=pull", "imagePullSecrets:\n      - name: pull\n      securityContext"},
		{"sidecar", "sidecar.envoy.config=admin: {}", "admin: {}"},
		{"sidecar", "sidecar.envoy.resources.limits.memory=1Gi", "memory: 1Gi"},
		{"sidecar", "sidecar.containers[0].name=shop,sidecar.containers[0].image=shop:1", "container: shop"},
		{"sidecar", "sidecar.volumes[0].name=scratch", "- name: scratch"},
		{"istio", "istio.namespace=edge", "namespace: edge"},
		{"istio", "istio.selector.istio=gw", "istio: gw"},
		{"envoyGateway", "envoyGateway.gateway.create=false", "!kind: HTTPRoute"},
		{"envoyGateway", "envoyGateway.gateway.name=front", "kind: Gateway, name: front"},
		{"envoyGateway", "envoyGateway.gateway.className=eg", "gatewayClassName: eg"},
		{"envoyGateway", "envoyGateway.backend.name=shop", "name: shop, port: 80"},
		{"envoyGateway", "envoyGateway.proxyNamespace=proxies", "kubernetes.io/metadata.name: proxies"},
	} {
		values := "mode=" + c.mode
		if c.mode == "central" {
			values = central
		}
		if before[values] == "" {
			before[values] = string(helm(t, "--set", values))
		}
		rendered := string(helm(t, "--set", values, "--set", c.set))
		want, absent := strings.CutPrefix(c.want, "!")
		if strings.Contains(rendered, want) == absent {
			t.Errorf("mode %s with %s: want %s", c.mode, c.set, c.want)
		}
		if strings.Contains(before[values], want) != absent {
			t.Errorf("mode %s also has %q without %s", c.mode, want, c.set)
		}
	}
}

// TestNoValues: values that the schema does not define are refused.
func TestNoValues(t *testing.T) {
	for _, bad := range []string{"mode=central", "replicas=3", "image.digest=sha256:abc", "autoscaling.minReplicas=none", "podMonitor.enabled=maybe", "store.url=postgres://db", "console.replicas=0", "resources.limit.memory=1Gi"} {
		if _, complaint, err := try(t, tool(t, "helm"), helmArgs([]string{"--set", bad})...); err == nil || !strings.Contains(complaint, "specifications of the schema") {
			t.Errorf("%s: got %v, %s", bad, err, complaint)
		}
	}
}

// TestContradictingValues: values that cannot work together are refused, with what to do.
func TestContradictingValues(t *testing.T) {
	for set, want := range map[string]string{
		"console.urlSecret=c":                     "need store.urlSecret",
		"store.migrateSecret=m":                   "need store.urlSecret",
		"mode=sidecar,store.urlSecret=s":          "needs config",
		"store.urlSecret=s,store.migrateSecret=m": "needs keys.create=false",
	} {
		if _, complaint, err := try(t, tool(t, "helm"), helmArgs([]string{"--set", set})...); err == nil || !strings.Contains(complaint, want) {
			t.Errorf("%s: got %v, %s", set, err, complaint)
		}
	}
}

// TestNoProxy: with Istio, no pod of the chart gets a proxy: the Job that migrates would
// not end with one.
func TestNoProxy(t *testing.T) {
	rendered := string(helm(t, "--set", central, "--set", "mode=istio"))
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		if strings.Contains(document, "\n      containers:\n") && !strings.Contains(document, `sidecar.istio.io/inject: "false"`) {
			t.Errorf("pods that get a proxy:\n%s", document)
		}
	}
	if !strings.Contains(rendered, "kind: Job") {
		t.Error("there is no Job")
	}
}
