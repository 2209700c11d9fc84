package console

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/internal/browser"
	"keyward/internal/prove"
	"keyward/manage/session"
)

const (
	// lighthouseFile is where `make prove ITEM=lighthouse` installs Lighthouse.
	lighthouseFile = ".cache/npm/node_modules/lighthouse/cli/index.js"

	// minScore is what each page scores at least in each category, of 100.
	minScore = 95
)

// lighthousePages are a page of each kind. KEY and DECISION are ids.
var lighthousePages = []string{
	"/login", "/overview", "/keys", "/keys/new", "/keys/KEY", "/keys/KEY/revoke", "/users", "/users/alice", "/users/new", "/projects/web", "/clients",
	"/revocations", "/audit", "/decisions?id=DECISION", "/settings", "/me/keys", "/me/keys/new", "/account",
}

// TestLighthouse: each kind of page scores well for performance, accessibility and best
// practices. In short, each is among those of which TestPages measures what the scores come
// from.
func TestLighthouse(t *testing.T) {
	prove.Size(amongShownPages, rateLighthousePages)(t)
}

func amongShownPages(t *testing.T) {
	r := records{key: "KEY", decision: "DECISION"}
	all := r.all()
	for _, path := range lighthousePages {
		if !slices.ContainsFunc(all, func(p shown) bool { return p.path == path }) {
			t.Errorf("TestPages does not look at %s", path)
		}
	}
}

func rateLighthousePages(t *testing.T) {
	s := newSite(t, setup{style: "generic", prefix: "kw_"})
	r := s.fill()
	tab := s.tab(chromium(t), browser.Window{})
	tab.signIn("root")
	headers := filepath.Join(s.dir, "headers.json")
	cookie, err := json.Marshal(map[string]string{"Cookie": session.CookieName + "=" + tab.Cookie(session.CookieName)})
	if err != nil {
		t.Fatal(err)
	}
	s.write("headers.json", string(cookie))
	for _, path := range lighthousePages {
		t.Run(path, func(t *testing.T) {
			s := s.of(t)
			url := s.console + strings.NewReplacer("KEY", r.key, "DECISION", r.decision).Replace(path)
			if path == "/login" {
				s.lighthouse(url).check(t)
				return
			}
			s.lighthouse(url, "--extra-headers="+headers).check(t)
		})
	}
}

// lighthouseReport is what the test reads of a report.
type lighthouseReport struct {
	RuntimeError struct{ Code, Message string }
	FinalURL     string `json:"finalDisplayedUrl"`
	Categories   map[string]struct {
		Score     float64
		AuditRefs []struct {
			ID     string
			Weight float64
		}
	}
	Audits map[string]struct {
		Title, DisplayValue string
		Score               *float64
	}
}

// lighthouse returns the report about a page.
func (s *site) lighthouse(url string, options ...string) *lighthouseReport {
	s.t.Helper()
	cmd := exec.Command("node", append([]string{
		filepath.Join(programs.root, lighthouseFile), url, "--quiet", "--output=json", "--output-path=stdout", "--only-categories=performance,accessibility,best-practices",
		"--disable-full-page-screenshot", "--chrome-flags=--headless=new --no-sandbox",
	}, options...)...)
	cmd.Env = append(os.Environ(), "LIGHTHOUSE_NO_TELEMETRY=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("lighthouse: %v: %s", err, stderr.String())
	}
	var report lighthouseReport
	if err := json.Unmarshal(out, &report); err != nil || report.RuntimeError.Code != "" || report.FinalURL != url || len(report.Categories) != 3 {
		s.t.Fatalf("%v, %+v at %s, %d categories", err, report.RuntimeError, report.FinalURL, len(report.Categories))
	}
	return &report
}

// check fails the test for each category with a low score, and says why it is low.
func (r *lighthouseReport) check(t *testing.T) {
	t.Helper()
	for name, category := range r.Categories {
		score := 100 * category.Score
		t.Logf("%s: %.0f", name, score)
		for _, ref := range category.AuditRefs {
			if a := r.Audits[ref.ID]; ref.Weight > 0 && a.Score != nil && *a.Score < 0.9 {
				t.Logf("%s: %.2f %s %s", ref.ID, *a.Score, a.Title, a.DisplayValue)
			}
		}
		if score < minScore {
			t.Errorf("%s scores %.0f, at least %d are wanted", name, score, minScore)
		}
	}
}
