package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// prometheus is a real Prometheus that scrapes a Keyward twice per second, with
// the shipped configuration and rules except for the intervals.
type prometheus struct {
	t   *testing.T
	url string
}

// shortIntervals replaces hours in the shipped files by seconds.
var shortIntervals = strings.NewReplacer(
	"scrape_interval: 15s", "scrape_interval: 500ms", "evaluation_interval: 15s", "evaluation_interval: 500ms", "  interval: 3m", "  interval: 500ms",
	"offset 30m", "offset 1s", "store_away[5m]", "store_away[2s]",
)

func (m *monitored) scraped(change func(string) string, flags ...string) *prometheus {
	t := m.t
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "keyward.rules.yml", "keyward.alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(programs.root, "deploy/prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, change(strings.ReplaceAll(shortIntervals.Replace(string(text)), "127.0.0.1:9193", stack.Address(m.ports.Admin))))
	}
	port := freePort(t)
	process, err := programs.prometheus.Start(t.Context(), dir, filepath.Join(dir, "prometheus.yml"), port, flags...)
	if process != nil {
		t.Cleanup(func() {
			process.Kill()
			if t.Failed() {
				t.Logf("prometheus's log:\n%s", tail(process.Log()))
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &prometheus{t, "http://" + stack.Address(port)}
}

// get sends a request to the API.
func (p *prometheus) get(path string, to any) {
	p.t.Helper()
	response, err := http.Get(p.url + "/api/v1/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: to}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// value returns the number that the expression has now; false if it has none.
func (p *prometheus) value(expr string) (float64, bool) {
	p.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.get("query?query="+url.QueryEscape(expr), &data)
	for _, r := range data.Result {
		if n, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && !math.IsNaN(n) {
			return n, true
		}
	}
	return 0, false
}

// waitFor waits until each expression has a number.
func (p *prometheus) waitFor(exprs map[string]string) {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for len(exprs) > 0 {
		for who, expr := range exprs {
			if _, ok := p.value(expr); ok {
				delete(exprs, who)
			}
		}
		if time.Now().After(deadline) {
			for who, expr := range exprs {
				p.t.Errorf("%s has no data: %s", who, expr)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var (
	operand    = regexp.MustCompile(`\s(?:and|or on\(\)|or)\s`)
	comparison = regexp.MustCompile(`(^|\s)(==|<|>)\s`)
)

// compared returns the parts of an alert's expression, each with a number
// whether or not the alert holds; for absent(x), it returns x.
func compared(expr string) (parts []string) {
	for _, part := range operand.Split(expr, -1) {
		part = strings.ReplaceAll(shortIntervals.Replace(part), "absent(", "count(")
		parts = append(parts, comparison.ReplaceAllString(part, "$1$2 bool "))
	}
	return parts
}

// TestPrometheusHasData has a real Prometheus scrape a Keyward under load.
// Every panel's query, every recording rule and both sides of every alert have
// data. While Keyward works no alert is pending, and each fault that the test
// causes is found.
func TestPrometheusHasData(t *testing.T) {
	need(t, "Prometheus")
	m := startMonitored(t)
	p := m.scraped(func(text string) string { return text })
	p.waitFor(map[string]string{"scraping": "keyward_ready == 1"})
	faults := m.load()
	d := loadDashboard(t)
	all := d.queries()
	for _, r := range rulesOf(t, recordingRules) {
		all[r.Record+r.Labels["file"]] = fmt.Sprintf("%s{file=%q}", r.Record, r.Labels["file"])
	}
	for _, r := range rulesOf(t, alertingRules) {
		for i, part := range compared(r.Expr) {
			all[fmt.Sprintf("%s%s, part %d", r.Alert, r.Labels["long"], i+1)] = part
		}
	}
	// This Keyward has no central store: deploy/prometheus/tests/store.yml has its alerts. It
	// accepts no tokens of Keyward's own, and so follows no file of OAuth clients.
	maps.DeleteFunc(all, func(_, query string) bool {
		return strings.Contains(query, "keyward_store_") || strings.Contains(query, `file="clients"`)
	})
	t.Logf("%d queries", len(all))
	p.waitFor(all)
	slow := func(alert string) bool { return alert == "KeywardLatencyBudgetBurn" } // a busy machine is slow
	if got := slices.DeleteFunc(p.alerts(), slow); len(got) != 0 && faults == 0 {
		t.Errorf("alerts without a fault: %v", got)
	}
	m.breakThings()
	for _, name := range []string{"KeywardRateLimitStoreDown", "KeywardFileReloadFailing", "KeywardFileBadLines", "KeywardConfigReloadFailing", "KeywardJWKSFailing"} {
		p.waitFor(map[string]string{name: fmt.Sprintf("ALERTS{alertname=%q}", name)})
	}
	m.process.Kill()
	p.waitFor(map[string]string{"KeywardDown": `ALERTS{alertname="KeywardDown"}`, "KeywardInstanceDown": `ALERTS{alertname="KeywardInstanceDown"}`})
}

// alerts returns the names of the pending and firing alerts.
func (p *prometheus) alerts() (found []string) {
	p.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	p.get("rules", &data)
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			if r.Health != "ok" {
				p.t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.State != "" && r.State != "inactive" {
				found = append(found, r.Name)
			}
		}
	}
	return found
}

// TestNativeHistogram has Prometheus store the native histogram, and compares
// it with the fixed buckets.
func TestNativeHistogram(t *testing.T) {
	need(t, "Prometheus")
	m := startMonitored(t)
	m.load()
	change, flags := nativeHistograms(t)
	p := m.scraped(change, flags...)
	const half = `histogram_quantile(0.5, keyward_check_duration_seconds{transport="grpc"})`
	p.waitFor(map[string]string{"the native histogram": half})
	native, _ := p.value(half)
	if low, high := m.median(); native < low || native > high {
		t.Errorf("half of the checks took less than %v s by the native histogram; by the fixed buckets it is between %v and %v", native, low, high)
	}
}

// nativeHistograms returns how to make Prometheus store them: with the lines
// that prometheus.yml has for it, or with a flag in older versions.
func nativeHistograms(t *testing.T) (change func(string) string, flags []string) {
	t.Helper()
	commented := regexp.MustCompile(`(?m)^  #(\w+: true)$`)
	change = func(text string) string { return commented.ReplaceAllString(text, "  $1") }
	shipped, err := os.ReadFile(filepath.Join(programs.root, "deploy/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	alone, _, _ := strings.Cut(string(shipped), "rule_files:")
	_, jobs, _ := strings.Cut(string(shipped), "scrape_configs:")
	config := writeFile(t, t.TempDir(), "prometheus.yml", change(alone+"scrape_configs:"+jobs))
	if exec.CommandContext(t.Context(), programs.prometheus.Tool, "check", "config", config).Run() == nil {
		return change, nil
	}
	return func(text string) string { return text }, []string{"--enable-feature=native-histograms"}
}

// median returns bounds of the median of checks over gRPC, by the fixed
// buckets.
func (m *monitored) median() (low, high float64) {
	m.t.Helper()
	const name = "keyward_check_duration_seconds_"
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			m.t.Fatal(err)
		}
		return n
	}
	series := m.series()
	half := number(series[name+`count{transport="grpc"}`]) / 2
	high = math.Inf(1)
	for bucket, count := range series {
		le, found := strings.CutPrefix(bucket, name+`bucket{transport="grpc",le="`)
		if !found {
			continue
		}
		if bound := number(strings.TrimSuffix(le, `"}`)); number(count) < half {
			low = max(low, bound)
		} else {
			high = min(high, bound)
		}
	}
	return low, high
}
