package keyward_test

import (
	"os"
	"regexp"
	"testing"
)

// TestModuleIsFollowedByExtAuthz: where the module passes on what it has not decided,
// ext_authz follows, and skips only what the module has allowed.
func TestModuleIsFollowedByExtAuthz(t *testing.T) {
	followed := regexp.MustCompile(`(?s)\n +undecided: ask\n.*` +
		`\n          - name: envoy\.filters\.http\.ext_authz\n.*` +
		`\n              filter_enabled_metadata:\n` +
		`                filter: keyward\n` +
		`                path: \[\{key: verdict\}\]\n` +
		`                value: \{string_match: \{exact: allowed\}\}\n` +
		`                invert: true\n.*` +
		`\n          - name: envoy\.filters\.http\.router\n`)
	asks := regexp.MustCompile(`(?m)^ +undecided: ask$`)
	found := 0
	for file := range proxyFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !asks.Match(text) {
			continue
		}
		found++
		if !followed.Match(text) {
			t.Errorf("%s: what the module has not decided reaches the API unchecked", file)
		}
	}
	if found == 0 {
		t.Error("no file has the module")
	}
}
