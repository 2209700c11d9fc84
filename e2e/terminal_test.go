package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/e2e/stack"
)

// terminal runs the commands of a page: a shell in the system's directory, with
// keyward and curl on its path, where the page's host resolves to the test's
// proxy.
type terminal struct {
	*system
	hosts     []string          // of the page, as host:port
	authority *authority        // nil: the page uses plain http
	tlsPort   int               // 0: Envoy distinguishes TLS from plaintext at one port
	keys      map[string]string // what the page shows in place of a key → the key
	variables map[string]string
	mediaType string // of denials
	changed   time.Time

	transcript string // to be run
	known      *differences
	verified   map[string]bool // tokens that the module alone knows
}

// inForce is how long a response may still be the one from before a command.
// Other tests verify that it takes at most 50 ms.
const inForce = 5 * time.Second

// run runs the steps of a transcript in order. testdata/differences.txt lists
// what the proxy changes.
func (c *terminal) run(t *testing.T, transcript string) {
	t.Helper()
	c.writeCurlrc(t)
	c.transcript, c.known = transcript, readDifferences(t)
	for _, s := range readTranscript(t, transcript) {
		if s.status == "" {
			c.change(t, s)
			continue
		}
		if c.opts.proxy == "envoy-module-alone" && c.undecidedAlone(t, s) {
			continue
		}
		err := c.try(s)
		for err != nil && time.Since(c.changed) < inForce {
			time.Sleep(20 * time.Millisecond)
			err = c.try(s)
		}
		if err != nil {
			t.Errorf("%s: %s\n%v", s.where, s.command, err)
		}
	}
	c.known.used(t, c.opts.proxy, transcript)
}

// assignment matches a command whose output is kept in a variable.
var assignment = regexp.MustCompile(`(?s)^([A-Z_]+)=\$\((.*)\)$`)

// change runs a command that is not a request.
func (c *terminal) change(t *testing.T, s *step) {
	t.Helper()
	command, name := s.command, ""
	if found := assignment.FindStringSubmatch(command); found != nil {
		name, command = found[1], found[2]
	}
	out, err := c.shell(command)
	if err != nil {
		t.Fatalf("%s: %s: %v", s.where, s.command, err)
	}
	if name != "" {
		c.variables[name] = out
	}
	if want := c.expand(strings.Join(s.prints, "\n")); want != "" && !matchesTemplate(oneSpace(want), oneSpace(out)) {
		t.Errorf("%s: %s: printed\n%s\nwant\n%s", s.where, s.command, out, want)
	}
	c.changed = time.Now()
}

var spaces = regexp.MustCompile(` +`)

// oneSpace removes the alignment of a table.
func oneSpace(text string) string { return spaces.ReplaceAllString(text, " ") }

// try runs a request once and compares everything that it caused.
func (c *terminal) try(s *step) error {
	before := c.arrived()
	answer, out, err := c.ask(s)
	if err != nil {
		return err
	}
	if strings.Contains(s.command, "--head ") {
		out = "" // it is the head
	}
	c.mu.Lock()
	arrived := slices.Clone(c.received[before:])
	c.mu.Unlock()
	if got := answer.verdict(); strings.HasPrefix(got, "own ") && c.known.forced(difference{inTable(c.opts.proxy), c.transcript, s.status, got}) {
		if len(arrived) != 0 {
			return fmt.Errorf("refused by the proxy, and %d requests reached the API", len(arrived))
		}
		return nil
	}
	switch want := c.expand(strings.Join(s.prints, "\n")); {
	case answer.status != s.status:
		return fmt.Errorf("status %s, want %s; printed: %s", answer.status, s.status, out)
	case s.prints != nil && !matchesTemplate(want, out):
		return fmt.Errorf("printed: %s\nwant:    %s", out, want)
	}
	if err := c.compare("the answer", answer.header, s.answer); err != nil {
		return err
	}
	if s.status[0] != '2' {
		if err := c.isDenial(s.command, answer.header, out); err != nil {
			return err
		}
	}
	return c.compareArrived(s, arrived)
}

func (c *terminal) compareArrived(s *step, arrived []stack.Received) error {
	wanted := 0
	if s.request != "" {
		wanted = 1
	}
	if len(arrived) != wanted {
		return fmt.Errorf("%d requests reached the API, want %d", len(arrived), wanted)
	}
	if wanted == 0 {
		return nil
	}
	got := arrived[0]
	if line := got.Method + " " + got.Path; line != s.request {
		return fmt.Errorf("%s reached the API, want %s", line, s.request)
	}
	if carried := got.Headers["authorization"]; carried != nil {
		return fmt.Errorf("the API sees an Authorization header")
	}
	if where := findText(got, c.secrets()...); where != "" {
		return fmt.Errorf("a credential reached the API in %s", where)
	}
	header := http.Header{}
	for name, values := range got.Headers {
		header[http.CanonicalHeaderKey(name)] = values
	}
	return c.compare("the API's request", header, s.upstream)
}

// compare compares headers with lines of a transcript.
func (c *terminal) compare(what string, got http.Header, want []headerLine) error {
	for _, line := range want {
		values := got.Values(line.name)
		switch {
		case line.value == "-" && len(values) > 0:
			return fmt.Errorf("%s has %s %q, want none", what, line.name, values)
		case line.value != "-" && (len(values) != 1 || !matchesTemplate(c.expand(line.value), values[0])):
			return fmt.Errorf("%s has %s %q, want %q", what, line.name, values, c.expand(line.value))
		}
	}
	return nil
}

// isDenial checks what is true of every denial.
func (c *terminal) isDenial(command string, header http.Header, body string) error {
	id := header.Get("X-Keyward-Decision-Id")
	want := []headerLine{{"cache-control", "no-store"}, {"x-keyward-decision-id", "…"}}
	if !strings.Contains(command, "--head ") { // Envoy sends no content type without a body
		want = append(want, headerLine{"content-type", c.mediaType})
	}
	err := c.compare("the denial", header, want)
	if err == nil && c.mediaType == "application/json" && strings.Contains(body, id) {
		err = fmt.Errorf("the body contains the decision's id")
	}
	return err
}

// ask runs a request, and retries it if a password was not hashed in time (see
// retryHashing).
func (c *terminal) ask(s *step) (answer answerHeader, out string, err error) {
	for range maxHashTries {
		if answer, out, err = c.askOnce(s); err != nil || answer.status != "503" || s.status == "503" {
			break
		}
		time.Sleep(time.Second)
	}
	return answer, out, err
}

func (c *terminal) askOnce(s *step) (answer answerHeader, out string, err error) {
	if out, err = c.shell(c.withKeys(s.command)); err != nil {
		return answer, out, err
	}
	answer, err = c.answered()
	return answer, out, err
}

// shell runs a command as pasted and returns its output.
func (c *terminal) shell(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = c.dir
	cmd.Env = []string{
		"PATH=" + filepath.Dir(programs.keyward) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + c.dir, "CURL_HOME=" + c.dir,
	}
	for _, name := range slices.Sorted(maps.Keys(c.variables)) {
		cmd.Env = append(cmd.Env, name+"="+c.variables[name])
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// withKeys puts keys into a command where the page shows placeholders.
func (c *terminal) withKeys(command string) string {
	for shown, key := range c.keys {
		command = strings.ReplaceAll(command, shown, key)
	}
	return command
}

// secrets returns the keys and tokens that were used; ids and times are
// shorter.
func (c *terminal) secrets() []string {
	all := slices.Collect(maps.Values(c.keys))
	for _, value := range c.variables {
		if len(value) > len("2030-01-02T03:04:05Z")+len("k_123456789012") {
			all = append(all, value)
		}
	}
	return all
}

// keepsSecrets fails the test if a log contains a key or a token.
func (c *terminal) keepsSecrets(t *testing.T) {
	t.Helper()
	for name, log := range map[string]string{"Keyward's": fullLog(c.Keyward), "the proxy's": c.Proxy.Log()} {
		for _, secret := range c.secrets() {
			if strings.Contains(log, secret) {
				t.Errorf("%s log holds a credential", name)
			}
		}
	}
}

// expand replaces variables in an expected text by their values.
func (c *terminal) expand(text string) string {
	for name, value := range c.variables {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}
