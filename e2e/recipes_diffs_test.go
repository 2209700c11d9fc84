package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// hunk is a change to a shipped file: the lines of old become those of new.
type hunk struct {
	file     string // relative to the repository
	old, new string
}

// diffs reads blocks that show changes to shipped files. `--- FILE` names the
// file. Lines with `-` are replaced by those with `+`; other lines stay, and
// say where. A line with `@@` begins another hunk. What a hunk replaces is in
// the file exactly once, so that the reader, too, finds the place.
func diffs(t *testing.T, blocks []string) (all []hunk) {
	t.Helper()
	for _, block := range blocks {
		file := ""
		for line := range strings.Lines(block) {
			name, begins := strings.CutPrefix(line, "--- ")
			if begins {
				file = strings.TrimSpace(name)
			}
			if begins || strings.HasPrefix(line, "@@") {
				all = append(all, hunk{file: file})
				continue
			}
			if file == "" || !strings.ContainsAny(line[:1], " +-") {
				t.Fatalf("%q is not a line of a diff", line)
			}
			h := &all[len(all)-1]
			if line[0] != '+' {
				h.old += line[1:]
			}
			if line[0] != '-' {
				h.new += line[1:]
			}
		}
	}
	return all
}

// changed returns the text of a shipped file with the changes of the options.
func (s *system) changed(file, text string) string {
	s.t.Helper()
	for _, h := range s.opts.diffs {
		if h.file != filepath.ToSlash(file) {
			continue
		}
		if n := strings.Count(text, h.old); n != 1 || h.old == "" {
			s.t.Fatalf("%s has %d times what a page replaces:\n%s", file, n, h.old)
		}
		text = strings.Replace(text, h.old, h.new, 1)
	}
	return text
}

func TestDiffs(t *testing.T) {
	got := diffs(t, []string{"--- a\n one\n-two\n+three\n@@\n x\n+y\n", "--- b\n-z\n"})
	want := []hunk{{"a", "one\ntwo\n", "one\nthree\n"}, {"a", "x\n", "x\ny\n"}, {"b", "z\n", ""}}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
	s := &system{t: t, opts: options{diffs: got}}
	if text := s.changed("a", "0\none\ntwo\nx\n"); text != "0\none\nthree\nx\ny\n" {
		t.Errorf("%q", text)
	}
	if text := s.changed("c", "two\n"); text != "two\n" {
		t.Errorf("%q", text)
	}
}
