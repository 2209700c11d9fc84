package browser

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// axeFile is where `make programs` installs axe-core, from the directory of the module.
const axeFile = ".cache/npm/node_modules/axe-core/axe.min.js"

// Violation is a rule of axe-core that a page breaks.
type Violation struct {
	ID     string `json:"id"`
	Help   string `json:"help"`
	Impact string `json:"impact"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// Axe returns what axe-core reports of the page. Without axe-core the test is skipped,
// unless all tests must run.
func (tab *Tab) Axe() []Violation {
	tab.t.Helper()
	if tab.window.NoScript { // axe-core is one: the page's own were left out when it was loaded
		tab.Do(disableScripts(false))
		defer tab.Do(disableScripts(true))
	}
	if !Evaluate[bool](tab, `typeof axe === "object"`) { // it stays as long as the page does
		Evaluate[any](tab, axe(tab.t)+"; null")
	}
	report := Evaluate[string](tab, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`)
	var found []Violation
	if err := json.Unmarshal([]byte(report), &found); err != nil {
		tab.t.Fatal(err)
	}
	return found
}

// WantAccessible fails the test for each violation.
func (tab *Tab) WantAccessible(page string) {
	tab.t.Helper()
	for _, v := range tab.Axe() {
		for _, n := range v.Nodes {
			tab.t.Errorf("%s: %s (%s): %s\n%s", page, v.ID, v.Help, n.HTML, n.Summary)
		}
	}
}

// axe returns the script of axe-core.
func axe(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if script, missing := os.ReadFile(filepath.Join(dir, axeFile)); missing == nil {
			return strings.TrimSpace(string(script))
		}
		dir = filepath.Dir(dir)
	}
	if os.Getenv("CI") != "true" {
		t.Skip("axe-core is not installed: make programs")
	}
	t.Fatal("axe-core is not installed: make programs")
	return ""
}
