package usage

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"keyward/authz"
)

const childFile = "KEYWARD_USAGE_CHILD"

// TestTrackerChild is not a test but the process that TestKill kills. It uses one
// key repeatedly, flushes and compacts as often as it can, and prints after each
// flush how often it had used the key before that.
func TestTrackerChild(t *testing.T) {
	file := os.Getenv(childFile)
	if file == "" {
		return
	}
	tracker := newTracker(Config{File: file})
	fileOf(tracker).compactAbove, fileOf(tracker).compactedPart = 20_000, 10_000
	for n := 1; ; n++ {
		use(tracker, "k_a", "/", authz.OK)
		use(tracker, fmt.Sprint("k_", n%50), "/some/longer/path", authz.OK)
		if n%3 == 0 {
			if err := tracker.flush(); err != nil {
				t.Fatal(err)
			}
			fmt.Println(n)
		}
	}
}

// TestKill: after kill -9 the file has everything that the process reported as
// written, and nothing twice, and the next process continues from there.
func TestKill(t *testing.T) {
	file := tempFile(t)
	written := uint64(0)
	for round := range 8 {
		before, _ := read(file, "k_a")
		child := exec.Command(os.Args[0], "-test.run", "^TestTrackerChild$")
		child.Env = append(os.Environ(), childFile+"="+file)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+15*round)*time.Millisecond, func() { _ = child.Process.Kill() })
		said := uint64(0)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			_, _ = fmt.Sscan(lines.Text(), &said)
		}
		_ = child.Wait()
		timer.Stop()
		after, err := read(file, "k_a")
		// The flush that was interrupted is there completely or not at all: at most
		// three uses.
		if got := after.Total - before.Total; err != nil && said > 0 || got < said || got > said+3 {
			t.Errorf("round %d: %d said to be written, %d there, %v", round, said, got, err)
		}
		written += said
	}
	if written == 0 {
		t.Error("no child came to write anything")
	}
	t.Logf("%d uses", written)
	next := quiet(file, nil)
	before, err := read(file, "k_a")
	if err != nil {
		t.Fatal(err)
	}
	use(next, "k_a", "/", authz.OK)
	flush(t, next)
	if u, err := read(file, "k_a"); err != nil || u.Total != before.Total+1 {
		t.Errorf("then: %d, %v; want one more than %d", u.Total, err, before.Total)
	}
}
