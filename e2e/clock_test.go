package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clockSource is the clock of a Keyward that is built for a test of limits: the
// time in a file of its working directory, or the real time if there is no such
// file.
const clockSource = `package engine

import (
	"os"
	"strconv"
	"time"
)

func testClock() time.Time {
	text, err := os.ReadFile("clock")
	if err != nil {
		return time.Now()
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		panic(err)
	}
	return time.Unix(0, n)
}
`

// keywardWithClock builds keyward with one change: the time of a check comes
// from testClock. Everything else is as shipped.
func keywardWithClock(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	snapshot := filepath.Join(programs.root, "engine", "snapshot.go")
	text, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	const word = "Now:          time.Now,"
	if strings.Count(string(text), word) != 1 {
		t.Fatalf("engine/snapshot.go does not have exactly once: %s", word)
	}
	replaced := map[string]string{
		snapshot: writeFile(t, dir, "snapshot.go", strings.Replace(string(text), word, "Now: testClock,", 1)),
		filepath.Join(programs.root, "engine", "testclock.go"): writeFile(t, dir, "clock.go", clockSource),
	}
	return buildWith(t, dir, replaced)
}

// buildWith builds keyward in the directory, with files replaced by others.
func buildWith(t *testing.T, dir string, replaced map[string]string) string {
	t.Helper()
	overlay, err := json.Marshal(object{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "keyward")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-overlay", writeFile(t, dir, "overlay.json", string(overlay)), "-o", binary, "./cmd/keyward")
	cmd.Dir = programs.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building keyward with a clock: %v\n%s", err, out)
	}
	return binary
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// clock is the clock of one system's Keyward.
type clock struct {
	s  *system
	at time.Time
}

// set stops the clock at that time.
func (c *clock) set(at time.Time) {
	c.s.t.Helper()
	c.at = at
	// Atomic, because a check may read the time meanwhile.
	file := writeFile(c.s.t, c.s.dir, "clock.new", strconv.FormatInt(at.UnixNano(), 10))
	if err := os.Rename(file, filepath.Join(c.s.dir, "clock")); err != nil {
		c.s.t.Fatal(err)
	}
}

func (c *clock) advance(by time.Duration) {
	c.s.t.Helper()
	c.set(c.at.Add(by))
}
