package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dashboard is the part of Grafana's classic model that the tests use.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
		}
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []panel
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct {
		Expr, RefID string
		Datasource  struct{ UID string }
	}
}

func loadDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(programs.root, "deploy/grafana/keyward.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// withVariables returns a query as Grafana would send it, with all jobs and
// instances selected.
func withVariables(query string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*").Replace(query)
}

// queries returns those of all panels and annotations, by their source.
func (d *dashboard) queries() map[string]string {
	all := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[fmt.Sprintf("panel %q %s", p.Title, target.RefID)] = withVariables(target.Expr)
		}
	}
	return all
}

// TestDashboard: panels that Grafana can lay out, each with a title, a
// description, a unit, and queries to the selected data source.
func TestDashboard(t *testing.T) {
	d := loadDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if d.UID != "keyward" || d.SchemaVersion < 39 || !slices.Equal(variables, []string{"datasource", "job", "instance"}) {
		t.Errorf("%s, schema %d, with variables %s", d.UID, d.SchemaVersion, variables)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q is at %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%q and %q are in the same place", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type != "row" {
			p.check(t)
		}
	}
}

func (p *panel) check(t *testing.T) {
	t.Helper()
	unit := p.FieldConfig.Defaults.Unit != "" || p.Type == "heatmap" // its unit is that of the axis
	if p.Title == "" || p.Description == "" || !unit || len(p.Targets) == 0 {
		t.Errorf("%q lacks a title, a description, a unit or a query", p.Title)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if target.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" || refs[target.RefID] {
			t.Errorf("%q %s: used twice, or it queries %q", p.Title, target.RefID, target.Datasource.UID)
		}
		refs[target.RefID] = true
		if strings.Contains(withVariables(target.Expr), "$") {
			t.Errorf("%q has a query with an unknown variable: %s", p.Title, target.Expr)
		}
		if !strings.Contains(target.Expr, `job=~"$job"`) {
			t.Errorf("%q has a query about all jobs: %s", p.Title, target.Expr)
		}
	}
}

// TestMonitoringNamesMetricsThatExist compares the metrics in rules and the
// dashboard with those of a Keyward that has not had a request yet.
func TestMonitoringNamesMetricsThatExist(t *testing.T) {
	m := startMonitored(t)
	there := map[string]bool{}
	// A Keyward with a central store has metrics of it, and no other that this one lacks.
	central := newCentralScale(t, 1)
	central.start()
	t.Cleanup(func() { central.process.Stop() })
	_, text := central.metrics("")
	for _, series := range slices.Concat(slices.Collect(maps.Keys(m.series())), strings.Split(text, "\n")) {
		name, _, _ := strings.Cut(series, "{")
		name, _, _ = strings.Cut(name, " ")
		there[name] = true
	}
	recorded := map[string]bool{}
	asked := map[string]string{}
	for _, r := range slices.Concat(rulesOf(t, recordingRules), rulesOf(t, alertingRules)) {
		recorded[r.Record] = true
		asked[r.Record+r.Alert+r.Labels["long"]+r.Labels["file"]] = r.Expr
	}
	d := loadDashboard(t)
	for who, query := range d.queries() {
		asked[who] = query
	}
	for who, expr := range asked {
		found := metricsIn(expr)
		if len(found) == 0 && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s has a query without a metric: %s", who, expr)
		}
		for _, name := range found {
			if !there[name] && !recorded[name] {
				t.Errorf("%s uses %s, which does not exist", who, name)
			}
		}
	}
}
