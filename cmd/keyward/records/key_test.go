package records

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/store"
	"keyward/usage"

	"keyward/cmd/keyward/command"
)

// grammar has the commands of this package.
type grammar struct {
	Key     KeyCommands     `cmd:""`
	User    UserCommands    `cmd:""`
	Project ProjectCommands `cmd:""`
	Client  ClientCommands  `cmd:""`
	Token   TokenCommands   `cmd:""`
	Audit   AuditCommands   `cmd:""`
	Limits  LimitsCommands  `cmd:""`
}

// cli is a command line with a fake clock.
type cli struct {
	t    *testing.T
	now  time.Time
	file string
}

func newCLI(t *testing.T) *cli {
	return &cli{t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), filepath.Join(t.TempDir(), "keys.jsonl")}
}

func (c *cli) run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &command.Env{
		Context: context.Background(), Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
		Getenv: func(string) (string, bool) { return "", false }, Now: func() time.Time { return c.now },
	}
	code = env.Run(&grammar{}, append(args, "--file", c.file))
	return code, out.String(), errs.String()
}

func (c *cli) must(stdin string, args ...string) string {
	code, stdout, stderr := c.run(stdin, args...)
	if code != command.Done {
		c.t.Fatalf("%v: exit code %d, %s", args, code, stderr)
	}
	return stdout
}

// listed returns the names of the keys that key list shows.
func (c *cli) listed(args ...string) string {
	lines := strings.Split(strings.TrimSpace(c.must("", append([]string{"key", "list"}, args...)...)), "\n")
	var names []string
	for _, line := range lines[1:] {
		names = append(names, strings.Fields(line)[3])
	}
	slices.Sort(names) // made at one time, they are listed by their ids
	return strings.Join(names, " ")
}

func TestKeyExpires(t *testing.T) {
	c := newCLI(t)
	key := c.must("", "key", "create", "--name", "a", "--expires", "90d")
	if !strings.Contains(c.must("", "key", "list"), "2030-04-02T03:04:05Z") {
		t.Error("90d from now is not in the list")
	}
	c.now = c.now.Add(90*24*time.Hour - time.Second)
	c.must(key, "key", "verify")
	c.now = c.now.Add(time.Second)
	code, stdout, stderr := c.run(key, "key", "verify")
	if code != command.Refused || !strings.Contains(stdout, "expired") || !strings.HasPrefix(stderr, "keyward: expired: k_") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, strings.TrimSpace(key)) {
		t.Error("verify shows the key")
	}
	if list := c.must("", "key", "list"); !strings.Contains(list, " expired ") {
		t.Errorf("list: %s", list)
	}
}

// TestBornExpired: the expiry of a key is stored to the second, and must be in
// the future after that.
func TestBornExpired(t *testing.T) {
	c := newCLI(t)
	c.now = c.now.Add(500 * time.Millisecond)
	for expires, want := range map[string]int{"499ms": command.BadUsage, "500ms": command.Done, "2030-01-02T03:04:05.9Z": command.BadUsage} {
		for _, args := range [][]string{{"key", "create", "--name", "a"}, {"key", "import"}} {
			if code, _, stderr := c.run("a-key-of-old-"+expires, append(args, "--expires", expires)...); code != want {
				t.Errorf("%v --expires %s: exit code %d, %s", args, expires, code, stderr)
			}
		}
	}
}

func TestGraceEnds(t *testing.T) {
	c := newCLI(t)
	key := c.must("", "key", "create", "--name", "a")
	id := strings.Fields(c.must("", "key", "list"))[10] // after the heading
	c.must("", "key", "rotate", id, "--grace", "24h")
	c.now = c.now.Add(24*time.Hour - time.Second)
	c.must(key, "key", "verify")
	c.now = c.now.Add(time.Second)
	if code, _, stderr := c.run(key, "key", "verify"); code != command.Refused || !strings.Contains(stderr, "has a new secret") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestOlderThan(t *testing.T) {
	c := newCLI(t)
	c.must("", "key", "create", "--name", "old-one")
	c.now = c.now.Add(90*24*time.Hour + time.Second)
	c.must("", "key", "create", "--name", "new-one")
	list := c.must("", "key", "list", "--older-than", "90d")
	if !strings.Contains(list, "old-one") || strings.Contains(list, "new-one") {
		t.Errorf("list: %s", list)
	}
}

// TestListSelects: each flag selects, and they combine.
func TestListSelects(t *testing.T) {
	c := newCLI(t)
	c.must("", "key", "create", "--name", "deploy", "--user", "alice", "--project", "shop")
	c.must("", "key", "create", "--name", "redeploy", "--user", "alice")
	revoked := c.must("", "key", "create", "--name", "backup", "--user", "bob", "--project", "shop", "--json")
	c.must("", "key", "revoke", revoked[7:21])
	for flags, want := range map[string]string{
		"--user alice": "deploy redeploy", "--user carol": "", "--project shop": "backup deploy", "--project shop --user alice": "deploy",
		"--state revoked": "backup", "--state active": "deploy redeploy", "--query deploy": "deploy redeploy", "--query " + revoked[7:21]: "backup",
		"--query red --state active": "redeploy",
	} {
		if got := c.listed(strings.Fields(flags)...); got != want {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
	}
	if code, _, stderr := c.run("", "key", "list", "--state", "gone"); code != command.BadUsage || !strings.Contains(stderr, "active not_yet_valid paused") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// TestExpiring: active keys that expire within the time, also by keys.max_age.
func TestExpiring(t *testing.T) {
	c := newCLI(t)
	c.must("", "key", "create", "--name", "in-13d", "--expires", "13d")
	c.must("", "key", "create", "--name", "in-14d", "--expires", "14d")
	c.must("", "key", "create", "--name", "in-15d", "--expires", "15d")
	c.must("", "key", "create", "--name", "in-1h", "--expires", "1h")
	c.must("", "key", "create", "--name", "never")
	revoked := c.must("", "key", "create", "--name", "revoked", "--expires", "13d", "--json")
	c.must("", "key", "revoke", revoked[7:21])
	if got := c.listed("--expiring", "14d"); got != "in-13d in-14d in-1h" {
		t.Errorf("listed %s", got)
	}
	c.now = c.now.Add(2 * time.Hour)
	if got := c.listed("--expiring", "14d"); got != "in-13d in-14d" {
		t.Errorf("listed %s", got)
	}
	rules := store.KeyRules{MaxAge: 30 * 24 * time.Hour}
	made := store.KeyRecord{Created: c.now}
	wanted := store.KeyFilter{Expiring: 14 * 24 * time.Hour, Rules: rules}
	for age, want := range map[int]bool{15: false, 16: true, 29: true, 30: false} {
		wanted.Now = c.now.Add(time.Duration(age) * 24 * time.Hour)
		if got := wanted.Match(&made); got != want {
			t.Errorf("%d days old: %v", age, got)
		}
	}
}

// TestUnusedFor: keys created longer ago, and last used longer ago or never.
// Options combine.
func TestUnusedFor(t *testing.T) {
	c := newCLI(t)
	account := filepath.Join(t.TempDir(), "usage.jsonl")
	use := func(name string) {
		id := ""
		for _, line := range strings.Split(c.must("", "key", "list"), "\n") {
			if strings.Contains(line, " "+name+" ") {
				id = line[:14]
			}
		}
		tracker := usage.New(usage.Config{File: account, Now: func() time.Time { return c.now }})
		r := authz.Request{Method: "GET", Target: "/"}
		tracker.Observe(&r, &authz.Decision{Reason: authz.OK, Principal: &authz.Principal{KeyID: id}, At: c.now})
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	for _, name := range []string{"never", "once", "always"} {
		c.must("", "key", "create", "--name", name, "--expires", "120d")
	}
	use("once")
	use("always")
	c.now = c.now.Add(30 * day)
	c.must("", "key", "create", "--name", "young")
	c.now = c.now.Add(60 * day)
	use("always")
	if got := c.listed("--unused-for", "90d", "--usage", account); got != "" {
		t.Errorf("after 90 days: %s", got)
	}
	c.now = c.now.Add(time.Second)
	if got := c.listed("--unused-for", "90d", "--usage", account); got != "never once" {
		t.Errorf("a second later: %s", got)
	}
	if got := c.listed("--unused-for", "50d", "--usage", account); got != "never once young" {
		t.Errorf("for 50 days: %s", got)
	}
	if got := c.listed("--unused-for", "50d", "--older-than", "80d", "--expiring", "40d", "--usage", account); got != "never once" {
		t.Errorf("all three: %s", got)
	}
	if got := c.listed("--unused-for", "50d", "--older-than", "80d", "--expiring", "20d", "--usage", account); got != "" {
		t.Errorf("all three, of which one holds of none: %s", got)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestKeyNotPrinted: create fails and names the id if it cannot print the key.
func TestKeyNotPrinted(t *testing.T) {
	var errs bytes.Buffer
	env := &command.Env{
		Context: context.Background(), Stdin: strings.NewReader(""), Stdout: fullDisk{}, Stderr: &errs,
		Getenv: func(string) (string, bool) { return "", false }, Now: time.Now,
	}
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	for _, args := range [][]string{{"--name", "a"}, {"--name", "a", "--json"}} {
		errs.Reset()
		code := env.Run(&grammar{}, append([]string{"key", "create", "--file", file}, args...))
		if code != command.Refused || !strings.Contains(errs.String(), "could not print its secret") || strings.Contains(errs.String(), "kw_") {
			t.Errorf("exit code %d, %q", code, errs.String())
		}
	}
}
