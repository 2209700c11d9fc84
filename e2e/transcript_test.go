package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// step is one command of a transcript and its expected results. A transcript is
// written like a terminal session:
//
//	# a comment
//	$ curl -i 'http://localhost:8091/' \
//	    -H 'X-Line: that goes on'
//	< 401                            the status of the response
//	< www-authenticate: -            a header of it, here one that must be absent
//	= {"status":401,"path":"…"}      what the command prints; … is any text, (now) the current time
//
// A line with `>` is what the API behind Envoy receives. Without such a line,
// no request may reach it:
//
//	> GET /path
//	> x-auth-subject: alice
//	> x-auth-project: -
//
// `$ NAME=$(keyward …)` keeps a command's output for the commands after it.
// ${NAME} in an expected result is its value.
type step struct {
	where    string // file and line
	command  string
	status   string // "" for a command that is not a request
	answer   []headerLine
	request  string // method and target at the API; "" for no request
	upstream []headerLine
	prints   []string // nil: anything
}

// headerLine is a header that must be present with exactly this value, or
// absent if the value is "-".
type headerLine struct{ name, value string }

// readTranscript reads testdata/transcripts/NAME.txt.
func readTranscript(t *testing.T, name string) []*step {
	t.Helper()
	file := filepath.Join("testdata", "transcripts", name+".txt")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parseTranscript(name+".txt", string(text))
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func parseTranscript(name, text string) (steps []*step, err error) {
	var current *step // nil between steps
	inCommand := false
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", name, i+1)
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == "$":
			current = &step{where: where, command: rest}
			steps = append(steps, current)
			inCommand = true
		case line == "" || mark == "#" && !inCommand:
			current, inCommand = nil, false
		case mark == "<" || mark == ">" || mark == "=":
			if current == nil || !current.expect(mark, rest) {
				return nil, fmt.Errorf("%s: %q is not about a command", where, line)
			}
			inCommand = false
		case inCommand:
			current.command += "\n" + line
		default:
			return nil, fmt.Errorf("%s: %q is neither a command nor a result", where, line)
		}
	}
	return steps, nil
}

// expect adds an expected result.
func (s *step) expect(mark, line string) bool {
	if mark == "=" {
		s.prints = append(s.prints, line)
		return true
	}
	name, value, isHeader := strings.Cut(line, ": ")
	switch {
	case mark == "<" && s.status == "":
		s.status = line
		_, err := strconv.Atoi(line)
		return err == nil
	case mark == ">" && s.request == "":
		s.request = line
		return !isHeader
	case mark == "<":
		s.answer = append(s.answer, headerLine{strings.ToLower(name), value})
	default:
		s.upstream = append(s.upstream, headerLine{strings.ToLower(name), value})
	}
	return isHeader
}

// matchesTemplate reports whether a text matches a template of a transcript.
func matchesTemplate(template, text string) bool {
	const instant = `(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`
	pattern := regexp.QuoteMeta(template)
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	pattern = strings.ReplaceAll(pattern, regexp.QuoteMeta("(now)"), instant)
	found := regexp.MustCompile(`(?s)^` + pattern + `$`).FindStringSubmatch(text)
	if found == nil {
		return false
	}
	for _, text := range found[1:] {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || time.Since(at).Abs() > time.Minute {
			return false
		}
	}
	return true
}

// TestTranscriptsAreRead: every line of a transcript is either read or refused.
func TestTranscriptsAreRead(t *testing.T) {
	steps, err := parseTranscript("t", "# x\n\n$ curl \\\n  a\n# kept\n< 401\n< A: b\n> GET /\n> C: -\n= {\n= }\n$ true\n")
	if err != nil || len(steps) != 2 || steps[0].command != "curl \\\n  a\n# kept" || steps[0].status != "401" || steps[0].request != "GET /" ||
		steps[0].answer[0] != (headerLine{"a", "b"}) || steps[0].upstream[0] != (headerLine{"c", "-"}) || len(steps[0].prints) != 2 {
		t.Errorf("%+v, %v", steps, err)
	}
	for _, bad := range []string{"< 200", "$ x\n\n= y", "stray", "$ x\n< OK", "$ x\n< 200\nstray", "$ x\n> a: b"} {
		if _, err := parseTranscript("t", bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	for _, c := range []struct {
		template, text string
		want           bool
	}{
		{`{"a":"…"}`, `{"a":"x"}`, true},
		{`{"a":"…"}`, `{"b":"x"}`, false},
		{`{"a.":1}`, `{"ab":1}`, false},
		{`(now)`, now, true},
		{`(now)`, "2024-01-15T10:30:00Z", false},
		{`a`, "a\nb", false},
	} {
		if matchesTemplate(c.template, c.text) != c.want {
			t.Errorf("%s matches %s: %v", c.text, c.template, !c.want)
		}
	}
}
