package authz_test

import (
	"strconv"
	"testing"

	"keyward/authz"
	"keyward/internal/markdown"
)

// TestReasonsAreDocumented compares the table of docs/reasons.md with the
// reasons: each has one row, with its status, and no other row exists.
func TestReasonsAreDocumented(t *testing.T) {
	shown := map[string]string{}
	for _, s := range markdown.Read(t, "../docs/reasons.md") {
		for _, table := range s.Tables {
			if !table.Has("reason", "status") {
				continue
			}
			for _, row := range table.Rows {
				for _, name := range markdown.Code(table.Column(row, "reason")) {
					if _, twice := shown[name]; twice {
						t.Errorf("docs/reasons.md:%d: a second row of %s", row.Line, name)
					}
					shown[name] = table.Column(row, "status")
				}
			}
		}
	}
	for _, reason := range authz.Reasons() {
		status, ok := shown[reason.String()]
		if want := strconv.Itoa(reason.Status()); !ok || status != want {
			t.Errorf("docs/reasons.md: the status of %s is %q, want %s", reason, status, want)
		}
		delete(shown, reason.String())
	}
	for name := range shown {
		t.Errorf("docs/reasons.md has the reason %s, which does not exist", name)
	}
}
