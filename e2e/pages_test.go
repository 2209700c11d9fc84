package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/markdown"
)

// TestPageCommands runs the commands in README.md and docs/, those of a section
// one after the other in a directory of their own, as a reader would. A command
// in a block of `sh` must succeed. In a block without a language the commands
// begin with `$ `, and print what the page shows, but for what is random.
// pages_sessions_test.go has what a section needs beforehand, and the commands that
// cannot run here. recipes_test.go runs the pages of docs/recipes.
func TestPageCommands(t *testing.T) {
	need(t, "curl")
	ran, left := map[string]bool{}, map[string]bool{}
	for _, page := range pagesWithCommands(t) {
		for _, section := range markdown.Read(t, filepath.Join(programs.root, page)) {
			commands := slices.DeleteFunc(commandsOf(t, page, section), func(c *pageCommand) bool {
				beginning := c.cannotRun()
				left[beginning] = true
				return beginning != ""
			})
			if len(commands) == 0 {
				continue
			}
			name := page + ": " + section.Heading
			ran[name] = true
			t.Run(name, func(t *testing.T) { runSection(t, sessions[name], commands) })
		}
	}
	for name := range sessions {
		if !ran[name] {
			t.Errorf("there are no commands in %s", name)
		}
	}
	for beginning := range cannotRun {
		if !left[beginning] {
			t.Errorf("no page has a command that begins with %s", beginning)
		}
	}
	if len(ran) < 20 {
		t.Errorf("ran the commands of only %d sections", len(ran))
	}
}

func pagesWithCommands(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(programs.root, "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("found the pages %q, %v", pages, err)
	}
	for i := range pages {
		pages[i] = "docs/" + filepath.Base(pages[i])
	}
	return append(pages, "README.md")
}

// pageCommand is a command on a page, of one or more lines.
type pageCommand struct {
	where  string
	text   string
	prints string // what the page shows; "" for anything
	script bool   // it must succeed
}

// cannotRun returns the entry of that table that the command is, "" for none.
func (c *pageCommand) cannotRun() string {
	for beginning := range cannotRun {
		if strings.HasPrefix(c.text, beginning) {
			return beginning
		}
	}
	return ""
}

// commandsOf returns the commands of a section. A block in a language that is
// not known fails the test: it may have commands that nothing runs.
func commandsOf(t *testing.T, page string, section markdown.Section) (all []*pageCommand) {
	t.Helper()
	for _, block := range section.Blocks {
		where := fmt.Sprintf("%s:%d", page, block.Line)
		switch block.Info {
		case "sh":
			all = append(all, scriptCommands(t, where, block.Text)...)
		case "":
			all = append(all, sessionCommands(t, where, block.Text)...)
		case "json", "nginx", "yaml":
		default:
			t.Errorf("%s: a block of %q, neither sh nor something that is not run", where, block.Info)
		}
	}
	return all
}

// scriptCommands splits a script into its commands: a line and those after it
// without which it is not complete.
func scriptCommands(t *testing.T, where, text string) (all []*pageCommand) {
	t.Helper()
	command := ""
	for line := range strings.Lines(text) {
		if command += line; complete(t, command) {
			all = append(all, &pageCommand{where: where, text: command, script: true})
			command = ""
		}
	}
	if command != "" {
		t.Errorf("%s: not a complete command: %s", where, command)
	}
	return all
}

// sessionCommands splits what a terminal shows. A block without a prompt has no commands.
func sessionCommands(t *testing.T, where, text string) (all []*pageCommand) {
	t.Helper()
	var last *pageCommand
	for line := range strings.Lines(text) {
		command, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case prompt:
			last = &pageCommand{where: where, text: command}
			all = append(all, last)
		case last == nil:
			return nil
		case !complete(t, last.text):
			last.text += line
		default:
			last.prints += line
		}
	}
	return all
}

// complete reports whether a shell would run the command, or wait for more of it.
func complete(t *testing.T, command string) bool {
	t.Helper()
	if strings.HasSuffix(command, "\\\n") {
		return false
	}
	shell := exec.Command("bash", "-n")
	shell.Stdin = strings.NewReader(command)
	complaints, err := shell.CombinedOutput()
	return err == nil && len(complaints) == 0
}

// runSection runs the commands in one shell, and compares what they print.
func runSection(t *testing.T, s session, commands []*pageCommand) {
	if slices.ContainsFunc(commands, func(c *pageCommand) bool { return strings.HasPrefix(c.text, "prom") }) {
		need(t, "Prometheus")
	}
	var script strings.Builder
	script.WriteString(prelude + s.before + "\n")
	replace := strings.NewReplacer(s.replace...)
	for _, c := range commands {
		// The marker ends the output of a command, and has its exit code, which stays that of the last command.
		fmt.Fprintf(&script, "%s{ code=$?; printf '\\n%s%%d\\n' $code; (exit $code); }\n", replace.Replace(c.text), endOfCommand)
	}
	script.WriteString(":\n" + s.after + "\n") // not the exit code of the last command
	out := shellOutput(t, scratch(t), script.String(), s.environment(t)...)
	parts := strings.Split(out, "\n"+endOfCommand)
	if len(parts) != len(commands)+1 {
		t.Fatalf("the script ended early:\n%s\nprinted:\n%s", script.String(), out)
	}
	printed := parts[0]
	for i, c := range commands {
		code, next, _ := strings.Cut(parts[i+1], "\n")
		if c.script && code != "0" {
			t.Errorf("%s: exit code %s of\n%sprinted:\n%s\npages_sessions_test.go has what comes before the commands of a section, and those that cannot run here",
				c.where, code, c.text, printed)
		}
		if want := alike(strings.TrimSpace(c.prints)); c.prints != "" && !matchesTemplate(want, alike(strings.TrimSpace(printed))) {
			t.Errorf("%s: %sprinted:\n%s\nthe page has:\n%s", c.where, c.text, printed, c.prints)
		}
		printed = next
	}
	if t.Failed() {
		t.Logf("the script:\n%s", script.String())
	}
}

// environment is what names the servers that the session needs.
func (s *session) environment(t *testing.T) []string {
	t.Helper()
	if s.postgres {
		return postgresServer.Environment(t)
	}
	return nil
}

const endOfCommand = "--- end of command: "

// shellOutput runs a script in the directory and returns what it printed.
func shellOutput(t *testing.T, dir, script string, environment ...string) string {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ".script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"PATH="+filepath.Join(dir, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+dir, "TZ=UTC",
		"ROOT="+programs.root, "KEYWARD="+programs.keyward, "PROMETHEUS="+programs.prometheus.Server, "PROMTOOL="+programs.prometheus.Tool,
		fmt.Sprintf("LISTEN=listen: {grpc: %q, http: %q, admin: %q}", stack.Address(ports.GRPC), stack.Address(ports.HTTP), stack.Address(ports.Admin)),
		"API=http://"+stack.Address(ports.HTTP), "CONSOLE="+stack.Address(ports.Console), "ISSUER="+stack.Address(ports.Issuer), "ADMIN=http://"+stack.Address(ports.Admin), "FREE="+stack.Address(ports.Upstream))
	cmd.Env = append(cmd.Env, environment...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what it started, too
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v:\n%s\nprinted:\n%s", err, script, out.String())
	}
	return out.String()
}

// scratch makes the directory of a section, with the programs that the commands
// name: those that run until they are stopped are stopped when they are ready.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range stubs {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte("#!/bin/bash\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// random is what differs from one run to the next, and what stands for it. Each
// has the length of what it replaces where a table has it.
var random = []struct{ pattern, replacement string }{
	{`\bk_[0-9A-Za-z]{12}\b`, "k_0123456789aB"},
	{`\bc_[0-9A-Za-z]{12}\b`, "c_0123456789aB"},
	{`\bkw_[0-9A-Za-z]{38}\b`, "kw_key"},
	{`\bkwcs_[0-9A-Za-z]{38}\b`, "kwcs_secret"},
	{`\bkw_[0-9A-Za-z]{4}\b`, "kw_hint"},
	{`/setup/kwt_[0-9A-Za-z_-]{43}\b`, "/setup/code"},
	{`(?m)^[0-9A-Za-z_-]{43} `, "kid "},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "2026-01-02T03:04:05Z"},
	{`\d{4}-\d\d-\d\d( |$)`, "2026-01-02$1"},
	{`cli:\w+@\w+( *)`, "cli:op@host "},
	{`\bACTOR +`, "ACTOR "},
	{`127\.0\.0\.1:\d+`, "127.0.0.1:1"},
	{`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`, "00000000-0000-4000-8000-000000000000"},
	{`\b\ds ago\b`, "1s ago"},
	{`\b\d+\.\d+(s?)\b`, "1.5$1"},
	{`keyward \S+ go\S+ \w+/\w+`, "keyward v1 go1 linux/amd64"},
}

// alike returns the text with the same in place of all that is random.
func alike(text string) string {
	for _, r := range random {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.replacement)
	}
	return text
}

// TestPageCommandsAreFound holds the search to what it must find.
func TestPageCommandsAreFound(t *testing.T) {
	section := markdown.Sections("# x\n```sh\na |\n  b\nfor i in 1 2; do\n  c # d\ndone\ne \\\n  f\n```\n```\n$ g <<EOF\nin\nEOF\nout\n$ h\n$ i\nmore\nout\n```\n```\nnone\n$ no\n```\n")[1]
	var got []string
	for _, c := range commandsOf(t, "x.md", section) {
		got = append(got, c.text+"|"+c.prints)
	}
	want := []string{"a |\n  b\n|", "for i in 1 2; do\n  c # d\ndone\n|", "e \\\n  f\n|", "g <<EOF\nin\nEOF\n|out\n", "h\n|", "i\n|more\nout\n"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
