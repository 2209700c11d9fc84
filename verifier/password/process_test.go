package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier/password"
)

// TestMain runs this binary as a child if its arguments say so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "hash-child" {
		if err := password.Serve(os.Stdin, os.Stdout, fake); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "replaced-parent" {
		if err := replacedParent(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var fake = password.Hashing{Verify: fakeVerify, Hash: fakeHash}

func fakeHash(pass authz.Secret) (string, error) {
	switch pass.Reveal() {
	case "dies":
		os.Exit(3)
	case "broken":
		return "", errors.New("no randomness")
	}
	return "of " + pass.Reveal(), nil
}

// fakeVerify is the verification of a child. The hash selects what it does.
func fakeVerify(hash, pass authz.Secret) (bool, error) {
	switch hash.Reveal() {
	case "dies":
		os.Exit(3)
	case "hangs":
		time.Sleep(time.Hour)
	case "broken":
		return false, errors.New("no hash")
	case "low":
		return slices.Contains(os.Args, "low-priority"), nil
	case "takes long":
		time.Sleep(500 * time.Millisecond)
	case "environment":
		return strings.Contains(strings.Join(os.Environ(), " "), "KEYWARD_TEST_SECRET"), nil
	}
	return hash.Reveal() == "of "+pass.Reveal(), nil
}

// selfExecutable returns the file that this process runs; on Linux also if another
// has been put in its place.
func selfExecutable() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	return os.Args[0]
}

func newProcesses(t *testing.T, timeout time.Duration) *password.WorkerProcesses {
	t.Helper()
	p, err := password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: password.Command{Path: selfExecutable(), Args: []string{os.Args[0], "hash-child"}}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestProcesses(t *testing.T) {
	t.Setenv("KEYWARD_TEST_SECRET", "of the server's")
	p := newProcesses(t, time.Minute)
	long := strings.Repeat("x", 500)
	for _, test := range []struct {
		hash, pass string
		right, err bool
	}{
		{"of a", "a", true, false},
		{"of a", "b", false, false},
		{"of ", "", true, false},
		{"of \n\x00é", "\n\x00é", true, false},
		{"of " + long, long, true, false},
		{"broken", "a", false, true},
		{"environment", "a", false, false},
		{"dies", "a", false, true},
		{"of a", "a", true, false}, // a new child answers
	} {
		right, err := p.Verify(authz.NewSecret(test.hash), authz.NewSecret(test.pass))
		if right != test.right || (err != nil) != test.err {
			t.Errorf("%.20q, %.20q: %v, %v", test.hash, test.pass, right, err)
		}
		if err != nil && strings.Contains(err.Error(), test.hash) {
			t.Errorf("the error shows the hash: %v", err)
		}
	}
}

func TestManyProcesses(t *testing.T) {
	p := newProcesses(t, time.Minute)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 50 {
				pass := strings.Repeat("p", n+i)
				if right, err := p.Verify(authz.NewSecret("of "+pass), authz.NewSecret(pass)); !right || err != nil {
					t.Errorf("%v, %v", right, err)
				}
			}
		})
	}
	all.Wait()
}

// TestHangingProcess checks that a child that hangs is killed and that only its
// own request fails.
func TestHangingProcess(t *testing.T) {
	p := newProcesses(t, 300*time.Millisecond)
	if right, err := p.Verify(authz.NewSecret("hangs"), authz.NewSecret("a")); right || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, %v", right, err)
	}
	p = newProcesses(t, time.Minute)
	if right, err := p.Verify(authz.NewSecret("of a"), authz.NewSecret("a")); !right || err != nil {
		t.Errorf("%v, %v", right, err)
	}
}

// TestReplacedExecutable checks that a child that starts after the executable
// was replaced runs the same program.
func TestReplacedExecutable(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // only Linux can run an executable that has no name
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "keyward")
	if err := os.WriteFile(own, text, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(own, "replaced-parent")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "true true\n" {
		t.Errorf("%s, %v", out, err)
	}
}

// replacedParent runs in a process whose executable is replaced while it has a
// child, and whose child then dies.
func replacedParent() error {
	p, err := password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: password.Command{Path: selfExecutable(), Args: []string{os.Args[0], "hash-child"}}})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := os.WriteFile(os.Args[0]+".new", []byte("#!/bin/false\n"), 0o700); err != nil {
		return err
	}
	if err := os.Rename(os.Args[0]+".new", os.Args[0]); err != nil {
		return err
	}
	_, died := p.Verify(authz.NewSecret("dies"), authz.NewSecret("a"))
	right, err := p.Verify(authz.NewSecret("of a"), authz.NewSecret("a"))
	fmt.Println(died != nil, right)
	return err
}

// TestPriority checks that hashes after a quiet time run at normal priority,
// and those of a flood at low priority.
func TestPriority(t *testing.T) {
	p, err := password.NewWorkerProcesses(password.WorkerProcessesConfig{
		Command: password.Command{Path: selfExecutable(), Args: []string{os.Args[0], "hash-child"}, LowPriority: []string{"low-priority"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	low := func() bool {
		low, err := p.Verify(authz.NewSecret("low"), authz.NewSecret("a"))
		if err != nil {
			t.Fatal(err)
		}
		return low
	}
	if low() {
		t.Error("the first hash has low priority")
	}
	if _, err := p.Verify(authz.NewSecret("takes long"), authz.NewSecret("a")); err != nil {
		t.Fatal(err)
	}
	if !low() {
		t.Error("a hash beyond the budget has normal priority")
	}
}

func TestProcessCannotStart(t *testing.T) {
	for _, command := range [][]string{nil, {"/nowhere/keyward"}} {
		if p, err := password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: password.Command{Args: command}}); p != nil || err == nil {
			t.Errorf("%q: %v, %v", command, p, err)
		}
	}
}

// TestHashInProcess: a new hash is one of the password, and a child that fails is replaced.
func TestHashInProcess(t *testing.T) {
	p := newProcesses(t, 0)
	for pass, want := range map[string]string{"a": "of a", "dies": "", "broken": "", "b": "of b"} {
		if got, err := p.Hash(authz.NewSecret(pass)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", pass, got, err, want)
		}
	}
	if right, err := p.Verify(authz.Secret{}, authz.NewSecret("a")); right || err == nil {
		t.Errorf("without a stored hash: %v, %v", right, err)
	}
}

// TestServeEndsCleanly checks that Serve returns nil at the end of the input,
// and an error if a request is incomplete.
func TestServeEndsCleanly(t *testing.T) {
	for question, want := range map[string]string{
		"":                          "",
		"\x00\x04of a\x00\x01a":     "y",
		"\x00\x04of a\x00\x01b":     "n",
		"\x00\x06broken\x00\x01a":   "e",
		"\x00\x04of a\x00\x01a\x00": "y!",
		"\x00\x00\x00\x01a":         "h\x00\x04of a",
		"\x00\x00\x00\x06broken":    "e",
		"\x00\x04of":                "!",
		"\x00\x04of a":              "!",
		"\x00\x04of a\x00\x02a":     "!",
	} {
		var out bytes.Buffer
		if err := password.Serve(strings.NewReader(question), &out, fake); err != nil {
			out.WriteString("!")
		}
		if out.String() != want {
			t.Errorf("%q: %q, want %q", question, &out, want)
		}
	}
}

// FuzzServe checks that Serve ends for any input, with no more answers than it
// has requests.
func FuzzServe(f *testing.F) {
	f.Add([]byte("\x00\x04of a\x00\x01a\x00\x04of a"))
	f.Fuzz(func(t *testing.T, questions []byte) {
		var out bytes.Buffer
		_ = password.Serve(bytes.NewReader(questions), &out, password.Hashing{
			Verify: func(hash, pass authz.Secret) (bool, error) { return hash == pass, nil },
			Hash:   func(authz.Secret) (string, error) { return "", errors.New("no hash") },
		})
		if out.Len() > len(questions)/4 {
			t.Errorf("%d answers to %d bytes", out.Len(), len(questions))
		}
	})
}
