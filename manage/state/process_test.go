package state

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/authz"
)

// The environment of the process that TestChild is.
const (
	childRole = "KEYWARD_STATE_CHILD"
	childFile = "KEYWARD_STATE_FILE"
)

// TestChild is not a test but the other process of the tests below.
func TestChild(t *testing.T) {
	role := map[string]func(*testing.T, *DB){"consume": consumeCodes, "begin": beginAndWait, "work": workUntilKilled}[os.Getenv(childRole)]
	if role == nil {
		return
	}
	role(t, openFileAt(t, os.Getenv(childFile)))
}

// child is a process that runs TestChild.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
	input *os.File
}

func startChild(t *testing.T, role, path string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestChild$")
	cmd.Env = append(os.Environ(), childRole+"="+role, childFile+"="+path)
	cmd.Stderr = os.Stderr
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = read
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = write.Close()
	})
	return &child{cmd, bufio.NewScanner(out), write}
}

// next returns the next line that the child prints, or "" after the last.
func (c *child) next() string {
	if !c.lines.Scan() {
		return ""
	}
	return c.lines.Text()
}

// consumeCodes reads codes, and prints those that it could consume.
func consumeCodes(t *testing.T, db *DB) {
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_, err := db.Codes.Consume(t.Context(), PurposePassword, authz.NewSecret(lines.Text()))
		fmt.Println(err == nil)
	}
}

// TestConsumeOnceInAllProcesses: of two processes one consumes the code.
func TestConsumeOnceInAllProcesses(t *testing.T) {
	path := statePath(t)
	db := openFileAt(t, path)
	children := []*child{startChild(t, "consume", path), startChild(t, "consume", path)}
	for _, c := range children {
		if c.next() != "ready" {
			t.Fatal("a child did not start")
		}
	}
	for range 50 {
		code, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
		want(t, "issue", err, nil)
		for _, c := range children {
			fmt.Fprintln(c.input, code.Reveal())
		}
		if first, second := children[0].next(), children[1].next(); first+second != "truefalse" && first+second != "falsetrue" {
			t.Fatalf("consumed: %s, %s", first, second)
		}
	}
}

// beginAndWait begins a request that it never ends.
func beginAndWait(t *testing.T, db *DB) {
	_, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
	fmt.Println("begun", err)
	bufio.NewScanner(os.Stdin).Scan()
}

// TestStoppedProcessIsNotEnded: the attempt of a process that stands still is
// running; that of one that was killed is taken over at once.
func TestStoppedProcessIsNotEnded(t *testing.T) {
	path := statePath(t)
	db := openFileAt(t, path)
	c := startChild(t, "begin", path)
	if line := c.next(); line != "begun <nil>" {
		t.Fatalf("child: %q", line)
	}
	want(t, "stop", c.Process.Signal(syscall.SIGSTOP), nil)
	attempts, err := db.Idempotency.Interrupted(t.Context())
	if len(attempts) != 0 || err != nil {
		t.Errorf("stopped: %+v, %v", attempts, err)
	}
	_, err = db.Idempotency.Begin(t.Context(), operation("ada", "1"))
	want(t, "stopped", err, ErrRunning)
	want(t, "kill", c.Process.Kill(), nil)
	_ = c.Wait()
	a, err := db.Idempotency.Begin(t.Context(), operation("ada", "1"))
	if !a.Resumed || a.RecordID != "k_1" || err != nil {
		t.Errorf("killed: %+v, %v", a, err)
	}
}

// workUntilKilled makes every kind of change, and prints each that was reported
// as made.
func workUntilKilled(t *testing.T, db *DB) {
	for n := 0; ; n++ {
		key := fmt.Sprintf("%d-%d", os.Getpid(), n)
		a, err := db.Idempotency.Begin(t.Context(), operation("ada", key))
		want(t, "begin", err, nil)
		fmt.Println("begun", key)
		code, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
		want(t, "issue", err, nil)
		session, cookie, err := db.Sessions.Create(t.Context(), Login{User: "ada", Method: LoginPassword})
		want(t, "create", err, nil)
		want(t, "consume", consume(t, db, code), nil)
		fmt.Println("consumed", code.Reveal())
		want(t, "end", db.Sessions.End(t.Context(), 0, "ada", session.ID), nil)
		fmt.Println("ended", cookie.Reveal())
		want(t, "finish", db.Idempotency.Finish(t.Context(), a, []byte(key)), nil)
		fmt.Println("finished", key)
	}
}

// TestKill: what a process reported as done before kill -9 is done, and what it
// did not finish can be resumed.
func TestKill(t *testing.T) {
	path := statePath(t)
	db := openFileAt(t, path)
	reported := 0
	for range 12 {
		c := startChild(t, "work", path)
		done := map[string][]string{"begun": {c.next()[len("begun "):]}}
		timer := time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = c.Process.Kill() })
		for line := c.next(); line != ""; line = c.next() {
			what, which, _ := strings.Cut(line, " ")
			done[what] = append(done[what], which)
			reported++
		}
		_ = c.Wait()
		timer.Stop()
		checkDone(t, db, done)
	}
	var check string
	if err := fileOf(db).reading.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("integrity: %s, %v", check, err)
	}
	t.Logf("%d changes were reported", reported)
}

// checkDone compares the file with what a killed process reported.
func checkDone(t *testing.T, db *DB, done map[string][]string) {
	t.Helper()
	for _, code := range done["consumed"] {
		want(t, "a consumed code", peek(t, db, authz.NewSecret(code)), ErrNotFound)
	}
	for _, cookie := range done["ended"] {
		_, err := db.Sessions.Find(t.Context(), authz.NewSecret(cookie))
		want(t, "an ended session", err, ErrNotFound)
	}
	for _, key := range done["finished"] {
		if a, err := db.Idempotency.Begin(t.Context(), operation("ada", key)); err != nil || string(a.Answer) != key {
			t.Errorf("finished: %+v, %v", a, err)
		}
	}
	for _, key := range done["begun"] {
		if a, err := db.Idempotency.Begin(t.Context(), operation("ada", key)); err != nil || a.RecordID != "k_"+key || !a.Resumed && a.Answer == nil {
			t.Errorf("begun: %+v, %v", a, err)
		}
	}
	// At most the one that was not reported as begun.
	if attempts, err := db.Idempotency.Interrupted(context.Background()); err != nil || len(attempts) > 1 {
		t.Errorf("interrupted: %+v, %v", attempts, err)
	}
}
