package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/store"
)

// installation is a directory with a configuration, whose records are in files there or in
// a database, and how the commands reach them: by --config, or through a server.
type installation struct {
	t       *testing.T
	dir     string
	server  string   // "": --config
	keys    []string // that the commands printed, in their order
	ids     []string // of these, and those that import printed
	clients []string // the ids of OAuth clients
}

const installed = `
listen: {grpc: "", http: "", console: "127.0.0.1:0", admin: "unix://DIR/admin.sock"}
keys: {file: DIR/keys.jsonl, max_age: 400d}
users: {file: DIR/users.jsonl}
clients: {file: DIR/clients.jsonl}
revocations: {file: DIR/revocations.jsonl}
rate_limits: {api_key: {rate: 100000/h, burst: 5000}}
`

const installedFiles = installed + `
projects: {file: DIR/projects.jsonl}
audit: {file: DIR/audit.jsonl}
state: {file: DIR/keyward.db}
usage: {file: DIR/usage.jsonl}
`

// newInstallation makes an installation with files.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir()}
	in.write("usage.jsonl", `{"keyward":"usage","version":1,"since":"2026-01-01T00:00:00Z"}`+"\n")
	in.configure(installedFiles)
	return in
}

var postgresServer = postgrestest.Server{Hasher: apikey.NewHasher(authz.Secret{})}

// newDatabaseInstallation makes an installation with a database.
func newDatabaseInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir()}
	in.configure(installed + "store: {url: \"" + postgresServer.Database(t).URL.String() + "\"}\n")
	return in
}

// configure makes an administrator, whose key is in the file token.
func (in *installation) configure(text string) {
	in.t.Helper()
	in.write("keyward.yaml", strings.ReplaceAll(text, "DIR", in.dir))
	in.must("", "user", "set", "root", "--scope", "keyward:admin")
	in.must("", "key", "create", "--name", "root", "--user", "root", "--scope", "keyward:admin", "--json")
	in.write("token", in.keys[0])
}

func (in *installation) write(name, text string) {
	in.t.Helper()
	if err := os.WriteFile(filepath.Join(in.dir, name), []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
}

// serve starts a server, which the commands use from then on.
func (in *installation) serve() {
	in.t.Helper()
	log, err := os.Create(filepath.Join(in.dir, "log"))
	if err != nil {
		in.t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		in.t.Fatal(err)
	}
	serve := exec.Command(program, "serve", "--config", filepath.Join(in.dir, "keyward.yaml"))
	serve.Args[0] = "keyward" // by which TestMain knows it
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			in.t.Errorf("serve: %v", err)
		}
		_ = log.Close()
	})
	console := regexp.MustCompile(`"listener":"console","address":"([^"]+)"`)
	eventually.Succeeds(in.t, func() error {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			return err
		}
		found := console.FindSubmatch(text)
		if found == nil || !bytes.Contains(text, []byte(`"msg":"ready"`)) {
			return fmt.Errorf("not ready: %s", text)
		}
		in.server = "http://" + string(found[1])
		return nil
	})
}

var (
	printedKey = regexp.MustCompile(`kw_[0-9A-Za-z]{38}|\b[0-9A-F]{44}\b`)
	printedID  = regexp.MustCompile(`\b[kc]_[0-9A-Za-z]{12}\b`)
)

// run runs a command. KEY1, ID1 and CLIENT1 in its arguments and input stand for the
// first key, key's id and client's id that the commands printed.
func (in *installation) run(stdin string, args ...string) (code int, stdout, stderr string) {
	in.t.Helper()
	fill := func(text string) string {
		for name, printed := range map[string][]string{"ID": in.ids, "KEY": in.keys, "CLIENT": in.clients} {
			for i := len(printed); i > 0; i-- {
				text = strings.ReplaceAll(text, fmt.Sprint(name, i), printed[i-1])
			}
		}
		return text
	}
	environment := map[string]string{}
	for i := range args {
		args[i] = fill(args[i])
	}
	if in.server == "" {
		args = append(args, "--config", filepath.Join(in.dir, "keyward.yaml"))
	} else {
		environment["KEYWARD_SERVER"], environment["KEYWARD_TOKEN_FILE"] = in.server, filepath.Join(in.dir, "token")
	}
	var out, errs bytes.Buffer
	code = run(in.t.Context(), args, strings.NewReader(fill(stdin)), &out, &errs, func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
	in.remember(out.String() + errs.String())
	return code, out.String(), errs.String()
}

func (in *installation) remember(text string) {
	in.keys = append(in.keys, printedKey.FindAllString(text, -1)...)
	for _, id := range printedID.FindAllString(text, -1) {
		known := &in.ids
		if store.ValidClientID(id) {
			known = &in.clients
		}
		if !slices.Contains(*known, id) {
			*known = append(*known, id)
		}
	}
}

func (in *installation) must(stdin string, args ...string) string {
	in.t.Helper()
	code, stdout, stderr := in.run(stdin, args...)
	if code != command.Done {
		in.t.Fatalf("%v: exit code %d, %s", args, code, stderr)
	}
	return stdout
}

// plain returns what a command printed without what differs between two installations:
// ids and keys get their numbers, and times, actors and places their kinds.
func (in *installation) plain(text string) string {
	text = printedKey.ReplaceAllString(text, "KEY")
	for i, id := range in.ids {
		text = strings.ReplaceAll(text, id, fmt.Sprint("ID", i+1))
	}
	for i, id := range in.clients {
		text = strings.ReplaceAll(text, id, fmt.Sprint("CLIENT", i+1))
	}
	for _, each := range [][2]string{
		{`at http://127\.0\.0\.1:\d+\b`, "PLACE"},
		{`in ` + regexp.QuoteMeta(in.dir) + `/[a-z]+\.jsonl|in the database`, "PLACE"},
		{`kwcs_[0-9A-Za-z]{38}`, "SECRET"},
		{`kw_[0-9A-Za-z]{4}\b|"hint":"[0-9A-F]{4}"|\b[0-9A-F]{4}…`, "HINT"},
		{`\d{4}-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
		{`cli:[^\s"]+@[^\s"]+|\broot\b`, "ACTOR"},
		{`"via":"(cli|api)"`, `"via":"VIA"`},
		{`\b(cli|api)\b`, "VIA"},
		{`,"(created_by":"ACTOR"|last_use":"TIME")`, ""}, // of the administrator's key, which only a server sees
		{`(?m)^keyward: note: keys.prefixes .*\n`, ""},   // a server refuses what it would not recognize
		{`(?m)^ *created by +ACTOR\n`, ""},
		{`\d{4}-\d\d-\d\d\b`, "DAY"},
		{` +`, " "},
	} {
		text = regexp.MustCompile(each[0]).ReplaceAllString(text, each[1])
	}
	return text
}

// step is one command.
type step struct {
	stdin string
	args  string // separated by "|", since some are empty or have spaces
	code  int
}

// TestEveryWay: the commands on keys, users, projects, revocations and the audit log.
func TestEveryWay(t *testing.T) {
	const future = "2099-01-31T00:00:00Z"
	everyWay(t, []step{
		{"correct-horse", "user|set|alice|--scope|read|--scope|write|--path|/a", 0},
		{"", "user|set|bob|--disabled|--json", 0},
		{"", "user|set|bob|--enabled|--no-scopes|--any-path", 0},
		{"battery-staple", "user|set|bob", 0},
		{"", "user|set|bob|--scope|read", 0},
		{"", "user|set|c_eve", 2},
		{"", "user|set|bob|--scope|a b", 2},
		{"", "user|list", 0},
		{"", "user|list|--json", 0},

		{"", "project|create|shop|--description|The shop|--member|alice|--member|bob", 0},
		{"", "project|create|empty|--json", 0},
		{"", "project|create|shop", 1},
		{"", "project|create|a\u200bb", 2},
		{"", "project|create|x|--member|stranger", 2},
		{"", "project|list", 0},
		{"", "project|list|--member|bob|--json", 0},
		{"", "project|list|--query|emp", 0},
		{"", "project|show|shop|--json", 0},
		{"", "project|show|nothing", 1},
		{"", "key|create|--name|x|--project|nothing", 2},

		{"", "key|create|--name|ci|--project|shop|--user|alice|--scope|read|--path|/a|--expires|" + future + "|--rate|5/h|--json", 0}, // ID2
		{"", "key|create|--name|cron|--owner|ops|--description|nightly|--not-before|" + future + "|--cidr|127.0.0.0/8|--json", 0},     // ID3
		{"", "key|create|--name|plain|--no-scopes", 0},
		{"", "key|create|--name|hex|--format|hex|--json", 0}, // ID4
		{"", "key|create", 2},
		{"", "key|create|--name|", 2},
		{"", "key|create|--name|x|--rate|often", 2},
		{"", "key|create|--name|x|--scope|a b", 2},
		{"", "key|create|--name|x|--user|a\u200bb", 2},
		{"", "key|create|--name|x|--path|a", 2},
		{"", "key|create|--name|x|--cidr|192.0.2.1/24", 2},
		{"", "key|create|--name|x|--expires|2001-01-01T00:00:00Z", 2},
		{"", "key|list", 0},
		{"", "key|list|--json", 0},
		{"", "key|list|--user|alice", 0},
		{"", "key|list|--state|not_yet_valid", 0},
		{"", "key|list|--state|gone", 2},
		{"", "key|list|--query|cr", 0},
		{"", "key|list|--older-than|1h", 0},
		{"", "key|list|--unused-for|1h", 0},
		{"", "key|list|--expiring|500d", 0},
		{"", "key|show|ID2", 0},
		{"", "key|show|ID3|--json", 0},
		{"", "key|show|k_000000000000", 1},
		{"", "key|show|KEY2", 1},

		{"", "key|update|ID2|--name|ci two|--any-path|--user-scopes|--expires||--rate||--owner|billing", 0},
		{"", "key|update|ID3|--not-before||--any-address|--path|/b|--scope|write|--description||--json", 0},
		{"", "key|update|ID2|--rate|often", 2},
		{"", "key|update|ID2|--path|a", 2},
		{"", "key|update|ID2", 2},
		{"", "key|update|k_000000000000|--name|x", 1},
		{"", "key|pause|ID2|--reason|leaked?", 0},
		{"", "key|show|ID2", 0},
		{"KEY2", "key|verify", 1},
		{"", "key|resume|ID2", 0},
		{"", "key|rotate|ID2|--grace|24h|--json", 0}, // KEY6
		{"KEY2", "key|verify", 0},
		{"KEY6", "key|verify|--json", 0},
		{"", "key|end-grace|ID2", 0},
		{"KEY2", "key|verify", 1},
		{"", "key|rotate|ID2", 0},
		{"", "key|rotate|ID2|--grace|long", 2},
		{"KEY6", "key|verify", 1},
		{"kw_unknown", "key|verify", 1},
		{"", "key|verify", 2},

		{"", "key|revoke|ID2|k_000000000000", 1},
		{"", "key|revoke|ID3|--reason|done|--json", 0},
		{"", "key|revoke|ID3", 0},
		{"", "key|rotate|ID3", 1},
		{"", "key|update|ID3|--name|x", 1},
		{"", "key|pause|ID3", 1},
		{"", "key|resume|ID3", 1},
		{"KEY3", "key|verify", 1},
		{"", "key|delete|ID3", 0},
		{"", "key|show|ID3", 1},
		{"", "key|revoke|KEY2", 1},

		{"\n\nold-key-0123456789abcdef\n", "key|import|--name|old|--owner|ops|--scope|read", 0},
		{"old-key-0123456789abcdef\n", "key|import", 1},
		{"old key\n", "key|import", 1},
		{"", "key|import", 0},
		{"sha256:" + strings.Repeat("ab", 32), "key|import|--hashed|--json", 0},
		{"sha256:xyz", "key|import|--hashed", 1},
		{"name,key,team\nweb,abcdefabcdefabcdefabcdef,shop\n", "key|import|--csv|name,key,project=team", 0},
		{"name,key\nweb,x", "key|import|--csv|name,key=absent", 1},
		{"x", "key|import|--rate|often", 2},
		{"", "key|list", 0},

		{"", "token|revoke|--jti|8f7b2c", 0},
		{"", "token|revoke|--subject|mallory", 0},
		{"", "token|revoke|--issued-before|2026-01-01T00:00:00Z|--json", 0},
		{"", "token|revoke|--subject|mal\u200blory", 2},
		{"", "token|revoke", 2},
		{"", "project|delete|empty", 0},
		{"", "project|delete|shop|nothing", 1}, // it has keys
		{"", "project|list", 0},
		{"", "user|delete|bob|stranger", 1},
		{"", "user|delete|alice|--json", 0},
		{"", "key|list", 0},
		{"", "user|list", 0},
		{"", "audit|list", 0},
		{"", "audit|list|--target|ID2|--action|key.rotate", 0},
		{"", "audit|list|--since|1h|--actor|stranger|--json", 0},
		{"", "audit|list|--action|key.steal", 2},
	})
}

// TestClientsEveryWay: the commands on OAuth clients.
func TestClientsEveryWay(t *testing.T) {
	everyWay(t, []step{
		{"", "client|create|Shop|--redirect-uri|https://shop.example.com/cb|--redirect-uri|http://127.0.0.1/cb|--scope|read|--grant|authorization_code|--grant|refresh_token", 0}, // CLIENT1
		{"", "client|create|Job|--grant|client_credentials|--json", 0},                                                    // CLIENT2
		{"", "client|create|App|--redirect-uri|https://app.example.com/cb|--grant|authorization_code|--public", 0},        // CLIENT3
		{"", "client|create|Web|--redirect-uri|https://web.example.com/cb|--grant|authorization_code|--public|--json", 0}, // CLIENT4
		{"", "client|create|Shop", 2},
		{"", "client|create||--grant|client_credentials", 2},
		{"", "client|create|x|--grant|password", 2},
		{"", "client|create|x|--grant|authorization_code", 2},
		{"", "client|create|x|--grant|authorization_code|--redirect-uri|http://x.example.com/", 2},
		{"", "client|create|x|--grant|client_credentials|--public", 2},
		{"", "client|create|x|--grant|client_credentials|--scope|keyward:admin", 2},
		{"", "client|create|a\u200bb|--grant|client_credentials", 2},
		{"", "client|list", 0},
		{"", "client|list|--grant|authorization_code|--json", 0},
		{"", "client|list|--grant|password", 2},
		{"", "client|list|--query|Jo", 0},
		{"", "client|rotate|CLIENT2|--grace|24h", 0},
		{"", "client|rotate|CLIENT2|--grace|1h|--json", 0},
		{"", "client|rotate|CLIENT2|--grace|long", 2},
		{"", "client|rotate|CLIENT3", 1}, // it is public
		{"", "client|rotate|c_000000000000", 1},
		{"", "client|show|CLIENT2", 0},
		{"", "client|rotate|CLIENT2", 0},
		{"", "client|show|CLIENT1|--json", 0},
		{"", "client|show|c_000000000000", 1},
		{"", "client|show|KEY1", 1},
		{"", "client|disable|CLIENT1", 0},
		{"", "client|disable|CLIENT3|--json", 0},
		{"", "client|list", 0},
		{"", "client|enable|CLIENT1|--json", 0},
		{"", "client|enable|CLIENT3", 0},
		{"", "client|disable|c_000000000000", 1},
		{"", "client|delete|CLIENT1|c_000000000000", 1},
		{"", "client|delete|CLIENT2|CLIENT3|--json", 0},
		{"", "client|enable|CLIENT2", 1},
		{"", "client|list", 0},
		{"", "audit|list", 0},
		{"", "audit|list|--target|CLIENT2|--action|client.rotate", 0},
	})
}

// everyWay runs the same commands on files and on a database, each by --config and through
// a server, and compares what they print and their exit codes.
func everyWay(t *testing.T, steps []step) {
	t.Helper()
	files, served, database, servedDatabase := newInstallation(t), newInstallation(t), newDatabaseInstallation(t), newDatabaseInstallation(t)
	served.serve()
	servedDatabase.serve()
	for _, step := range steps {
		run := func(in *installation) string {
			code, stdout, stderr := in.run(step.stdin, strings.Split(step.args, "|")...)
			if code != step.code {
				t.Errorf("%s, %s: exit code %d, want %d: %s", step.args, in.server, code, step.code, stderr)
			}
			if code != command.Done {
				stderr = ""
			}
			return in.plain(stdout) + in.plain(stderr)
		}
		want := run(files)
		for way, in := range map[string]*installation{"through a server": served, "in a database": database, "in a database, through a server": servedDatabase} {
			if got := run(in); got != want {
				t.Errorf("%s: on files\n%s%s\n%s", step.args, want, way, got)
			}
		}
	}
}

// TestLimitsThroughServer: a key's limit is shown and reset, by callers who may do that.
func TestLimitsThroughServer(t *testing.T) {
	in := newInstallation(t)
	in.must("", "user", "set", "reader", "--scope", "keyward:read")
	in.must("", "key", "create", "--name", "reader", "--user", "reader", "--scope", "keyward:read", "--json") // KEY2, ID2
	in.serve()
	if got := in.must("", "limits", "show", "ID1", "--json"); !strings.Contains(got, `"limit":"api_key","rate":"100000/h","burst":5000,`) {
		t.Error(got)
	}
	if got := in.must("", "limits", "reset", "ID2"); got != "reset "+in.ids[1]+"\n" {
		t.Error(got)
	}
	if code, _, stderr := in.run("", "limits", "reset", "k_000000000000"); code != command.Refused || !strings.Contains(stderr, "no key k_000000000000 at "+in.server) {
		t.Errorf("%d %s", code, stderr)
	}
	in.write("token", in.keys[1])
	in.must("", "limits", "show", "ID1")
	if code, _, stderr := in.run("", "limits", "reset", "ID1"); code != command.Refused || !strings.Contains(stderr, "answers 403 forbidden: ") {
		t.Errorf("%d %s", code, stderr)
	}
	in.write("token", "kw_4X8DKSS24K3yA5svpnIXoG1meypn3RUA19kNKA")
	if code, stdout, stderr := in.run("", "key", "list"); code != command.Refused || stdout != "" || !strings.Contains(stderr, "answers 401 unauthenticated: ") || strings.Contains(stderr, "kw_4X8D") {
		t.Errorf("%d %s", code, stderr)
	}
}
