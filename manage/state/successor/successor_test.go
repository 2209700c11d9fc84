package successor

import (
	"errors"
	"testing"

	"keyward/authz"
)

// TestSuccessor: a successor can be read with the token before it alone.
func TestSuccessor(t *testing.T) {
	first, second := authz.NewSecret("kwt_1"), authz.NewSecret("kwt_2")
	sealed, err := Seal(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := Open(first, sealed); err != nil || next != second {
		t.Errorf("%v, %v", next, err)
	}
	if _, err := Open(second, sealed); !errors.Is(err, errSuccessor) {
		t.Errorf("under another token: %v", err)
	}
}
