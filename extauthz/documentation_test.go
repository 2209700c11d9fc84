package extauthz_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/extauthz"
	"keyward/internal/markdown"
)

// aSentence stands in the page's tables for the sentence that the style `problem` has as its detail.
const aSentence = "a sentence"

// TestErrorStylesAreDocumented compares docs/errors.md with what is rendered:
// each style has a section, with a body that some reason has, and its tables
// have a row for each denial and none that no denial has.
func TestErrorStylesAreDocumented(t *testing.T) {
	sections := map[string]*markdown.Section{}
	page := markdown.Read(t, "../docs/errors.md")
	for i := range page {
		name, _, _ := strings.Cut(page[i].Heading, " ")
		sections[name] = &page[i]
	}
	for _, style := range authz.ErrorStyles() {
		s := sections[style.String()]
		if s == nil || len(s.Blocks) == 0 {
			t.Errorf("docs/errors.md has no section of %s, or no body in it", style)
			continue
		}
		for _, block := range s.Blocks {
			showsBody(t, style, s, block.Text)
		}
		for i := range s.Tables {
			compareDenials(t, &s.Tables[i], allDenials(t, style, example{}))
		}
	}
}

// example is what a body on the page says of its request.
type example struct {
	ID   string    `json:"decision_id"`
	Time time.Time `json:"timestamp"`
	Path string    `json:"path"`
}

// rendered is the denial of one reason.
type rendered struct {
	status, detail string
	mediaType      string
	body           string
}

// allDenials renders each reason, to a client with a token and to one with a password.
func allDenials(t *testing.T, style authz.ErrorStyle, e example) (all []rendered) {
	t.Helper()
	renderer := func(style authz.ErrorStyle) *extauthz.Renderer {
		return &extauthz.Renderer{Errors: style, Challenge: extauthz.Challenge{Realm: "api"}, Now: func() time.Time { return e.Time }}
	}
	for _, scheme := range []string{"Bearer x", "Basic eDp5"} {
		r := &authz.Request{Target: e.Path + "?page=1", Headers: []authz.Header{{Name: "authorization", Value: scheme}}}
		for _, reason := range authz.Reasons() {
			if reason.Allows() {
				continue
			}
			var problem struct{ Detail string }
			d := &authz.Decision{Reason: reason, ID: e.ID, Route: &authz.Route{}}
			if err := json.Unmarshal(renderer(authz.StyleProblem).Denial(r, d).Body, &problem); err != nil {
				t.Fatal(err)
			}
			d.Route.Errors = style
			denial := renderer(style).Denial(r, d)
			one := rendered{status: strconv.Itoa(denial.Status), detail: problem.Detail, body: strings.TrimSpace(string(denial.Body))}
			for _, h := range denial.Headers {
				if h.Name == "content-type" {
					one.mediaType = h.Value
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// showsBody holds a body on the page, and the media type above it, to the denial of some reason.
func showsBody(t *testing.T, style authz.ErrorStyle, s *markdown.Section, body string) {
	t.Helper()
	var e example
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Errorf("docs/errors.md, %s: %v", style, err)
		return
	}
	for _, denial := range allDenials(t, style, e) {
		if !strings.Contains(s.Text, "`"+denial.mediaType+"`") {
			t.Errorf("docs/errors.md does not say that %s is %s", style, denial.mediaType)
			return
		}
		if denial.body == strings.TrimSpace(body) {
			return
		}
	}
	t.Errorf("docs/errors.md, %s: no denial has the body %s", style, body)
}

// compareDenials holds the rows of a table to the denials.
func compareDenials(t *testing.T, table *markdown.Table, denials []rendered) {
	t.Helper()
	seen := make([]bool, len(table.Rows))
	for _, denial := range denials {
		found := false
		for i, row := range table.Rows {
			if denial.is(t, table, row) {
				found, seen[i] = true, true
			}
		}
		if !found {
			t.Errorf("docs/errors.md has no row for %s", denial.body)
		}
	}
	for i, row := range table.Rows {
		if !seen[i] {
			t.Errorf("docs/errors.md:%d: no denial is %q", row.Line, row.Cells)
		}
	}
}

// is reports whether a row describes the denial: its status, and each member
// of the body that is a column of the table.
func (d *rendered) is(t *testing.T, table *markdown.Table, row markdown.Row) bool {
	t.Helper()
	switch status := table.Column(row, "status"); status {
	case d.status:
	case "others":
		for _, other := range table.Rows {
			if table.Column(other, "status") == d.status {
				return false
			}
		}
	default:
		return false
	}
	for _, header := range table.Header {
		for _, member := range markdown.Code(header) {
			want := strings.Trim(table.Column(row, header), "`")
			if want == aSentence {
				want = d.detail
			}
			if d.member(t, member) != want {
				return false
			}
		}
	}
	return true
}

// member returns a text of the body, wherever it is.
func (d *rendered) member(t *testing.T, name string) string {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(d.body), &body); err != nil {
		t.Fatal(err)
	}
	if inner, ok := body["error"].(map[string]any); ok {
		body = inner
	}
	text, _ := body[name].(string)
	return text
}
