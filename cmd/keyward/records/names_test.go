package records

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/chars"

	"keyward/cmd/keyward/command"
)

// TestOldNamesAreShownEscaped: names that an older version accepted are read. No
// two names are printed alike, and none controls a terminal.
func TestOldNamesAreShownEscaped(t *testing.T) {
	c := newCLI(t)
	names := []string{"alice", "alice ", " alice", "\ufeffalice", "ali\u200bce", "ali\u202ece", "alice\U000e0041", "cafe\u0301", "café", "a\u00a0b", "a b", "k_8ENbdXlcXqgH"}
	const times = `"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"`
	keys, users := `{"keyward":"keys","version":1,"hash":"sha256"}`+"\n", `{"keyward":"users","version":1}`+"\n"
	for i, name := range names {
		keys += fmt.Sprintf(`{"id":"k_%012d","name":"%[2]s","user":"%[2]s","project":"%[2]s","format":"raw","hash":"%064[1]d",%[3]s}`+"\n", i, name, times)
		users += fmt.Sprintf(`{"name":"%s",%s}`+"\n", name, times)
	}
	usersFile := filepath.Join(t.TempDir(), "users.jsonl")
	for path, text := range map[string]string{c.file: keys, usersFile: users} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]string{}
	for i := range names {
		id := fmt.Sprintf("k_%012d", i)
		shown := strings.ReplaceAll(c.must("", "key", "show", id), id, "")
		if other, twice := seen[shown]; twice {
			t.Errorf("%+q and %+q look the same:\n%s", names[i], other, shown)
		}
		seen[shown] = names[i]
		seen[c.must("", "key", "show", id, "--json")] = ""
	}
	seen[c.must("", "key", "list")], seen[c.must("", "key", "list", "--json")] = "", ""
	c.file = usersFile
	list := c.must("", "user", "list")
	for _, want := range []string{`\n"alice " `, `\n" alice" `, `\n"\ufeffalice" `, `\n"ali\u202ece" `, `\n"cafe\u0301" `, "\ncafé ", "\nk_8ENbdXlcXqgH     disabled "} {
		if want = strings.Replace(want, `\n`, "\n", 1); !strings.Contains(list, want) {
			t.Errorf("%q is not in\n%s", want, list)
		}
	}
	seen[list], seen[c.must("", "user", "list", "--json")] = "", ""
	seen[c.must("", "user", "delete", "ali\u202ece")] = ""
	_, _, failure := c.run("", "user", "delete", "ali\u202ece")
	seen[failure] = ""
	for text := range seen {
		if i := strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), chars.IsHidden); i >= 0 {
			t.Errorf("something hidden is printed: %+q", text)
		}
	}
}

// TestNewNamesWarn: a name with letters of several scripts is accepted with a
// note that spells it out.
func TestNewNamesWarn(t *testing.T) {
	c := newCLI(t)
	for _, args := range [][]string{
		{"key", "create", "--name", "аlice"}, {"key", "create", "--name", "x", "--user", "аlice"}, {"key", "create", "--name", "x", "--project", "аlice"},
	} {
		if code, _, note := c.run("", args...); code != command.Done || !strings.Contains(note, `letters of Cyrillic and Latin, some of which look alike: it is "\u0430lice"`) {
			t.Errorf("%v: %d %s", args, code, note)
		}
	}
	c.file = filepath.Join(t.TempDir(), "users.jsonl")
	hash := "$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
	if _, _, note := c.run("иван:"+hash+"\nаlice:"+hash+"\n", "user", "import"); strings.Count(note, "look alike") != 1 {
		t.Errorf("import: %s", note)
	}
	c.now = c.now.Add(time.Minute)
	for i, want := range []int{0, 1} {
		name := []string{"аlice", "bоb"}[i] // the first exists already
		if _, _, note := c.run("", "user", "set", name); strings.Count(note, "look alike") != want {
			t.Errorf("%s: %s", name, note)
		}
	}
}

// TestNewNamesRefused: the exit code is that of a usage error, and the message
// escapes the name.
func TestNewNamesRefused(t *testing.T) {
	c := newCLI(t)
	for _, args := range [][]string{
		{"key", "create", "--name", "a\u202eb"}, {"key", "create", "--name", "x", "--user", "a "}, {"key", "create", "--name", "x", "--project", "\ufeffa"},
		{"key", "create", "--name", "x", "--user", "k_8ENbdXlcXqgH"}, {"key", "import", "--name", "cafe\u0301"},
		{"user", "set", "ali\u200bce"}, {"user", "set", "k_8ENbdXlcXqgH"}, {"user", "set", "c_8ENbdXlcXqgH"}, {"user", "set", " alice"}, {"user", "set", "cafe\u0301"},
		{"token", "revoke", "--subject", "ali\u200bce"}, {"token", "revoke", "--subject", "alice "}, {"token", "revoke", "--jti", "\ufeffx"},
	} {
		code, _, message := c.run("", args...)
		if code != command.BadUsage || !strings.Contains(message, "invalid: ") || strings.ContainsFunc(strings.TrimSpace(message), chars.IsHidden) {
			t.Errorf("%+q: %d %+q", args, code, message)
		}
	}
	if _, err := os.Stat(c.file); err == nil {
		t.Error("a refused name made the file")
	}
}
