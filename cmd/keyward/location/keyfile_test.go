package location

import "testing"

func TestPrefixOfConfiguration(t *testing.T) {
	for want, prefixes := range map[string][]string{"kw_": nil, "a_": {"", "a_", "b_"}, "": {""}} {
		if got := (&FileKeys{prefixes: prefixes}).prefix(); got != want {
			t.Errorf("%q: prefix %q, want %q", prefixes, got, want)
		}
	}
}
