package keyward_test

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSkippedUnderRaceRunElsewhere: a test that the race detector skips runs in the
// line of `make test` that has no race detector.
func TestSkippedUnderRaceRunElsewhere(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\t\$\(RELEASED\) -pgo=\S+ -run '(\S+)' (.*)$`).FindStringSubmatch(read(t, "Makefile"))
	if line == nil {
		t.Fatal("the Makefile has no such line")
	}
	names := regexp.MustCompile(strings.ReplaceAll(line[1], "$$", "$"))
	packages := strings.Fields(line[2])
	skips := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\) \{\n(?:\t.*\n|\n)*?\tif [^\n]*race\.Detector[^\n]*\{\n\t\tt\.Skip`)
	found := 0
	for _, file := range repositoryFiles(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, skipped := range skips.FindAllStringSubmatch(read(t, file), -1) {
			found++
			if !names.MatchString(skipped[1]) || !slices.Contains(packages, "./"+path.Dir(file)) {
				t.Errorf("%s: %s does not run in `make test`", file, skipped[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("found only %d tests that the race detector skips", found)
	}
}
