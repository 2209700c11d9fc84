package operatorpages

import (
	"testing"

	"keyward/authz"
)

// TestAdvice: every reason for a denial is explained, and says what to do.
func TestAdvice(t *testing.T) {
	for _, reason := range authz.Reasons() {
		said := adviceOn(reason)
		if reason.Allows() != (said == advice{}) || !reason.Allows() && (said.Means == "" || said.Do == "") {
			t.Errorf("%s: %+v", reason, said)
		}
	}
}
