package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyward/internal/postgrestest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(beside{m}, map[string]func(){"keyward": main})
}

// beside runs the tests beside the server of their databases.
type beside struct{ m *testing.M }

func (b beside) Run() int { return postgrestest.Main(b.m, &postgresServer) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"field":  field,
			"nokeys": noKeys,

			"cmpactions": compareActions,
		},
	})
}

// exits runs a command and compares its exit code: exits CODE COMMAND ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want, err := strconv.Atoi(args[0]); err != nil || got != want {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// field sets a variable to a member of the last command's JSON: field VAR MEMBER.
// For an array it is the member of the last element.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field VAR MEMBER")
	}
	text := []byte(ts.ReadFile("stdout"))
	var all []map[string]any
	if json.Unmarshal(text, &all) != nil {
		all = make([]map[string]any, 1)
		ts.Check(json.Unmarshal(text, &all[0]))
	}
	value, ok := all[len(all)-1][args[1]].(string)
	if !ok {
		ts.Fatalf("no text %q in %s", args[1], text)
	}
	ts.Setenv(args[0], value)
}

// noKeys fails if a file, or stdout or stderr, has one of the keys in the
// variables KEY*.
func noKeys(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		text := ts.ReadFile(file)
		for _, name := range []string{"KEY", "KEY2", "KEY3"} {
			if key := ts.Getenv(name); key != "" && strings.Contains(text, key) {
				ts.Fatalf("%s holds the key %s", file, name)
			}
		}
	}
}

// compareActions holds a list of the audit log to its actions: cmpactions FILE ACTION...
func compareActions(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cmpactions FILE ACTION...")
	}
	var got []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		got = append(got, strings.Fields(line)[3])
	}
	if want := append([]string{"ACTION"}, args[1:]...); !slices.Equal(got, want) {
		ts.Fatalf("%q, want %q", got, want)
	}
}
