package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	recordingRules = "deploy/prometheus/keyward.rules.yml"
	alertingRules  = "deploy/prometheus/keyward.alerts.yml"
)

// rule is a recording or alerting rule.
type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// rulesOf reads a file of rules.
func rulesOf(t *testing.T, file string) (rules []rule) {
	t.Helper()
	var content struct{ Groups []struct{ Rules []rule } }
	readYAML(t, filepath.Join(programs.root, file), &content)
	for _, group := range content.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) == 0 {
		t.Fatalf("%s has no rules", file)
	}
	return rules
}

func readYAML(t *testing.T, file string, to any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// promtool runs promtool at the root of the checkout, and fails the test if it
// complains.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), programs.prometheus.Tool, args...)
	cmd.Dir = programs.root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestPrometheusRules checks the shipped rules with promtool, and runs their
// unit tests.
func TestPrometheusRules(t *testing.T) {
	need(t, "Prometheus")
	promtool(t, "check", "config", "deploy/prometheus/prometheus.yml")
	promtool(t, append([]string{"test", "rules"}, ruleTests(t)...)...)
}

func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(programs.root, "deploy/prometheus/tests/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no unit tests of rules", err)
	}
	return files
}

// TestEveryRuleIsTested: an alert has a case in which it fires and one in which
// it does not. A recording rule has one with its value.
func TestEveryRuleIsTested(t *testing.T) {
	tested := testedRules(t)
	for _, r := range slices.Concat(rulesOf(t, recordingRules), rulesOf(t, alertingRules)) {
		switch {
		case r.Record != "" && !tested["value of "+r.Record]:
			t.Errorf("no unit test has the value of %s", r.Record)
		case r.Alert != "" && !tested["firing "+r.Alert+r.Labels["long"]]:
			t.Errorf("no unit test in which %s %s fires", r.Alert, r.Labels["long"])
		case r.Alert != "" && !tested["quiet "+r.Alert]:
			t.Errorf("no unit test in which %s does not fire", r.Alert)
		}
	}
}

// testedRules returns what the unit tests expect: the value of a rule, an alert
// that fires, with its long window if it has one, and one that does not.
func testedRules(t *testing.T) map[string]bool {
	t.Helper()
	tested := map[string]bool{}
	for _, file := range ruleTests(t) {
		var content struct{ Tests []ruleTest }
		readYAML(t, file, &content)
		for _, test := range content.Tests {
			for _, e := range test.Exprs {
				tested["value of "+e.Expr] = true
			}
			for _, a := range test.Alerts {
				if len(a.Expected) == 0 {
					tested["quiet "+a.Name] = true
				}
				for _, e := range a.Expected {
					tested["firing "+a.Name+e.Labels["long"]] = true
				}
			}
		}
	}
	return tested
}

// ruleTest is the part of promtool's unit tests that these tests use.
type ruleTest struct {
	Exprs  []struct{ Expr string } `yaml:"promql_expr_test"`
	Alerts []struct {
		Name     string `yaml:"alertname"`
		Expected []struct {
			Labels map[string]string `yaml:"exp_labels"`
		} `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
}

// TestEveryAlertHasARunbook: every alert has a complete runbook, and every
// runbook has an alert.
func TestEveryAlertHasARunbook(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(programs.root, "docs/runbooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	runbooks := map[string]string{}
	for _, part := range strings.Split("\n"+string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		runbooks[name] = body
	}
	alerts := map[string]bool{}
	for _, r := range rulesOf(t, alertingRules) {
		alerts[r.Alert] = true
		if url := r.Annotations["runbook_url"]; !strings.HasSuffix(url, "/runbooks.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s: its runbook is at %s", r.Alert, url)
		}
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no text", r.Alert)
		}
		for _, section := range []string{"**Means.**", "**Callers**", "**Look.**", "**Do.**"} {
			if !strings.Contains(runbooks[r.Alert], section) {
				t.Errorf("the runbook of %s has no %s", r.Alert, section)
			}
		}
	}
	for name := range runbooks {
		if !alerts[name] {
			t.Errorf("the runbook %s has no alert", name)
		}
	}
}

var (
	inQuotes = regexp.MustCompile(`"[^"]*"`)
	names    = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// metricsIn returns the names of the metrics in an expression: Keyward's, those
// of the process and of Go, and recorded ones.
func metricsIn(expr string) (found []string) {
	for _, name := range names.FindAllString(inQuotes.ReplaceAllString(expr, `""`), -1) {
		for _, prefix := range []string{"keyward_", "process_", "go_"} {
			if strings.HasPrefix(name, prefix) || strings.Contains(name, ":") {
				found = append(found, name)
				break
			}
		}
	}
	return found
}
