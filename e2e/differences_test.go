package e2e

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// difference is a verdict of the corpus that a proxy changes.
type difference struct {
	proxy string // "envoy" for ""
	part  string // paths, authorization, or the name of a transcript
	want  string
	got   string
}

func (d difference) String() string {
	return strings.Join([]string{d.proxy, d.part, d.want, d.got}, " | ")
}

// differences is the table of those that a proxy causes, as used by one test.
type differences struct {
	reasons map[difference]string
	met     map[difference]bool
}

// readDifferences reads testdata/differences.txt.
func readDifferences(t *testing.T) *differences {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "differences.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all := &differences{map[difference]string{}, map[difference]bool{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if text := lines.Text(); text != "" && !strings.HasPrefix(text, "#") && !all.add(text) {
			t.Fatalf("differences.txt: %q is not a valid line, or appears twice", text)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// add adds a line. It refuses a line that would allow, unchanged, what must be
// refused, and one that no test would read.
func (d *differences) add(line string) bool {
	fields := strings.Split(line, " | ")
	if len(fields) != 5 || fields[3] == "200" || fields[4] == "" {
		return false
	}
	_, isProxy := proxies[fields[0]]
	if fields[0] == "" || (!isProxy && fields[0] != "envoy") || !isPartOfCorpus(fields[1]) {
		return false
	}
	verdicts := []string{fields[3]}
	if statuses, own := strings.CutPrefix(fields[3], "own "); own {
		verdicts = nil
		for _, status := range strings.Fields(statuses) {
			verdicts = append(verdicts, "own "+status)
		}
	}
	for _, verdict := range verdicts {
		line := difference{fields[0], fields[1], fields[2], verdict}
		if d.reasons[line] != "" || line.want == line.got {
			return false
		}
		d.reasons[line] = fields[4]
	}
	return true
}

func isPartOfCorpus(name string) bool {
	if name == "paths" || name == "authorization" {
		return true
	}
	_, err := os.Stat(filepath.Join("testdata", "transcripts", name+".txt"))
	return err == nil
}

// forced reports whether the table has a line for the difference, and records
// that it was needed.
func (d *differences) forced(is difference) bool {
	if d.reasons[is] == "" {
		return false
	}
	d.met[is] = true
	return true
}

// used fails for each line about the part that was not needed.
func (d *differences) used(t *testing.T, proxy, part string) {
	t.Helper()
	for line := range d.reasons {
		if line.proxy == inTable(proxy) && line.part == part && !d.met[line] {
			t.Errorf("differences.txt: %q is not needed", line)
		}
	}
}

// inTable returns a proxy's name in the table. An Envoy that checks within itself
// changes what an Envoy changes that asks.
func inTable(proxy string) string {
	if proxy == "" || slices.Contains(inEnvoy, proxy) {
		return "envoy"
	}
	return proxy
}

// TestDifferencesAreRead: every line of the table is either read or refused.
func TestDifferencesAreRead(t *testing.T) {
	for line, want := range map[string]bool{
		"envoy | paths | 400 ambiguous_path | own 400 closed | why":   true,
		"nginx | halo | 503 | own 503 | why":                          true,
		"nginx | paths | 400 ambiguous_path | 200 cleaned | why":      true,
		"nginx | paths | 400 ambiguous_path | 200 | why":              false,
		"nginx | paths | 400 ambiguous_path | 403 route_denied | ":    false,
		"nginx | paths | 400 ambiguous_path | 403 route_denied":       false,
		"ngimx | paths | 400 ambiguous_path | own 400 | why":          false,
		" | paths | 400 ambiguous_path | own 400 | why":               false,
		"nginx | path | 400 ambiguous_path | own 400 | why":           false,
		"nginx | paths | 400 ambiguous_path | own 400 400 | why":      false,
		"nginx | paths | 400 ambiguous_path | 400 ambiguous_path | w": false,
	} {
		d := &differences{map[difference]string{}, map[difference]bool{}}
		if d.add(line) != want {
			t.Errorf("%q is accepted: %v", line, !want)
		}
	}
}
