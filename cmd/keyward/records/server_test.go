package records

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/cmd/keyward/command"
)

// TestFilesOrServer: which of the two a command works on, or why on neither. The server
// is one that is not there, and the files are in a directory without any.
func TestFilesOrServer(t *testing.T) {
	const (
		served  = "no answer of http://127.0.0.1:1: "
		onFiles = ""
	)
	dir := t.TempDir()
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"token": 0o600, "open": 0o644} {
		if err := os.WriteFile(name, []byte("kw_4X8DKSS24K3yA5svpnIXoG1meypn3RUA19kNKA\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("keyward.yaml", []byte("users: {file: users.jsonl}\naudit: {file: audit.jsonl}\nrevocations: {file: r.jsonl}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const flags = " --server http://127.0.0.1:1 --token-file token"
	environment := map[string]string{"KEYWARD_SERVER": "http://127.0.0.1:1", "KEYWARD_TOKEN_FILE": "token"}
	for _, test := range []struct {
		args string
		env  bool
		code int
		want string
	}{
		{"key list" + flags, false, command.Refused, served},
		{"user list" + flags, false, command.Refused, served},
		{"project list" + flags, false, command.Refused, served},
		{"client list" + flags, false, command.Refused, served},
		{"client show c_0123456789aB" + flags, false, command.Refused, served},
		{"audit list" + flags, false, command.Refused, served},
		{"token revoke --jti t" + flags, false, command.Refused, served},
		{"limits show k_0123456789aB" + flags, false, command.Refused, served},
		{"limits reset k_0123456789aB" + flags, false, command.Refused, served},
		{"key list", true, command.Refused, served},
		{"user delete bob", true, command.Refused, served},
		{"token revoke --jti t", true, command.Refused, served},
		{"key list", false, command.Done, onFiles},

		{"key list --file keys.jsonl", true, command.Done, onFiles},
		{"client list --file c.jsonl", true, command.Done, onFiles},
		{"user list --config keyward.yaml", true, command.Done, onFiles},
		{"audit list --file audit.jsonl", true, command.Done, onFiles},
		{"key compact --file keys.jsonl", true, command.Refused, "no key file keys.jsonl"},
		{"user import --config keyward.yaml", true, command.Done, onFiles},

		{"key list --file keys.jsonl" + flags, false, command.BadUsage, "--file is for work on files"},
		{"key list --config keyward.yaml" + flags, false, command.BadUsage, "--config is for work on files"},
		{"key list --pepper-file p" + flags, false, command.BadUsage, "--pepper-file is for work on files"},
		{"key list --usage u" + flags, false, command.BadUsage, "--usage is for work on files"},
		{"key revoke k_0123456789aB --start-over" + flags, false, command.BadUsage, "--start-over is for work on files"},
		{"user list --config keyward.yaml" + flags, false, command.BadUsage, "--config is for work on files"},
		{"project list --file p.jsonl" + flags, false, command.BadUsage, "--file is for work on files"},
		{"project delete p --start-over" + flags, false, command.BadUsage, "--start-over is for work on files"},
		{"client list --file c.jsonl" + flags, false, command.BadUsage, "--file is for work on files"},
		{"client show c_0123456789aB --pepper-file p" + flags, false, command.BadUsage, "--pepper-file is for work on files"},
		{"client disable c_0123456789aB --start-over" + flags, false, command.BadUsage, "--start-over is for work on files"},
		{"user set bob --start-over" + flags, false, command.BadUsage, "--start-over is for work on files"},
		{"token revoke --jti t --file r.jsonl" + flags, false, command.BadUsage, "--file is for work on files"},
		{"audit list --file audit.jsonl" + flags, false, command.BadUsage, "--file is for work on files"},
		{"limits show k_0123456789aB --admin 127.0.0.1:1" + flags, false, command.BadUsage, "--admin is for work on files"},
		{"limits reset k_0123456789aB --config keyward.yaml" + flags, false, command.BadUsage, "unknown flag --config"},
		{"key list --pepper-file p", true, command.BadUsage, "--pepper-file is for work on files"},
		{"key show k_0123456789aB --usage u", true, command.BadUsage, "--usage is for work on files"},
		{"key compact", true, command.BadUsage, "$KEYWARD_SERVER is set, and this command works on files"},
		{"user import", true, command.BadUsage, "$KEYWARD_SERVER is set, and this command works on files"},
		{"key compact" + flags, false, command.BadUsage, "unknown flag --server"},
		{"user import" + flags, false, command.BadUsage, "unknown flag --server"},

		{"key list --server http://127.0.0.1:1", false, command.BadUsage, "name its file with --token-file or $KEYWARD_TOKEN_FILE"},
		{"key list --token-file token", false, command.BadUsage, "--token-file and --ca-file are for --server"},
		{"key list --ca-file ca.pem --file keys.jsonl", true, command.BadUsage, "--token-file and --ca-file are for --server"},
		{"key list --server http://keyward.example.com --token-file token", false, command.BadUsage, "want https://HOST"},
		{"key list --server https://root:secret@127.0.0.1:1 --token-file token", false, command.BadUsage, "want https://HOST"},
		{"key list --server http://127.0.0.1:1 --token-file open", false, command.Refused, `token file "open": other users may`},
		{"key list --server http://127.0.0.1:1 --token-file none", false, command.Refused, `token file "none": no such file`},
		{"key list --ca-file none" + flags, false, command.BadUsage, "reading certificates: open none"},
	} {
		var out, errs bytes.Buffer
		env := &command.Env{Context: t.Context(), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now, Getenv: func(name string) (string, bool) {
			if !test.env {
				return "", false
			}
			value, ok := environment[name]
			return value, ok
		}}
		code := env.Run(&grammar{}, strings.Fields(test.args))
		if code != test.code || !strings.Contains(errs.String(), test.want) || strings.Contains(errs.String(), "secret@") || strings.Contains(errs.String(), "kw_4X8D") {
			t.Errorf("%s, %v: exit code %d, want %d: %s", test.args, test.env, code, test.code, errs.String())
		}
		for _, name := range []string{"keys.jsonl", "users.jsonl", "r.jsonl", "audit.jsonl"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				t.Errorf("%s made %s", test.args, name)
			}
		}
	}
}
