package page

import (
	"testing"
)

// FuzzLines: no line is empty, has a line break or space around it.
func FuzzLines(f *testing.F) {
	f.Add("/a\r\n\n =/b \n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range Lines(text) {
			if line == "" || len(Lines(line)) != 1 || Lines(line)[0] != line {
				t.Errorf("%q has the line %q", text, line)
			}
		}
	})
}
