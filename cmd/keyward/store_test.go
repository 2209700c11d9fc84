package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"keyward/cmd/keyward/command"
	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

// storeCommand runs a command of `keyward store`.
func storeCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"store"}, args...), strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
	return code, out.String(), errs.String()
}

// emptyInstallation is a configuration without records.
func emptyInstallation(t *testing.T, text string) (in *installation, config string) {
	t.Helper()
	in = &installation{t: t, dir: t.TempDir()}
	in.write("keyward.yaml", strings.ReplaceAll(text, "DIR", in.dir))
	return in, filepath.Join(in.dir, "keyward.yaml")
}

func withDatabase(cfg database.Config) string {
	return installed + "store: {url: \"" + cfg.URL.String() + "\"}\n"
}

// TestStoreCopy: what the commands made in files, they find in the database and in the
// files to which that is copied. A copy to what has something is refused.
func TestStoreCopy(t *testing.T) {
	from := newInstallation(t)
	files := filepath.Join(from.dir, "keyward.yaml")
	central, db := emptyInstallation(t, withDatabase(postgresServer.Database(t)))
	back, others := emptyInstallation(t, installedFiles)
	used := fmt.Sprintf(`{"id":%q,"first":1795910331000000,"last":1795910331000000,"address":"192.0.2.1","results":{"ok":3},"outcomes":[[1795910331000000,"GET","/posts",200,"ok"]]}`, from.ids[0])
	from.write("usage.jsonl", `{"keyward":"usage","version":1,"since":"2026-01-01T00:00:00Z"}`+"\n"+used+"\n")
	want := from.must("", "key", "list", "--json")
	wantUse := from.must("", "key", "show", from.ids[0], "--json")
	if !strings.Contains(wantUse, `"total":3,"by_result":{"ok":3}`) {
		t.Fatal(wantUse)
	}
	const copied = "copied 1 keys, 1 users, 0 projects, 0 clients, 0 revocations, 2 entries of the audit log and the use of 1 keys\n"
	for _, step := range []struct {
		in       *installation
		from, to string
	}{{central, files, db}, {back, db, others}} {
		code, stdout, stderr := storeCommand(t, "copy", "--from", step.from, "--to", step.to)
		if code != command.Done || stdout != copied {
			t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
		}
		if got := step.in.must("", "key", "list", "--json"); got != want {
			t.Errorf("%s has %s, want %s", step.to, got, want)
		}
		step.in.must(from.keys[0], "key", "verify")
		if got := step.in.must("", "key", "show", from.ids[0], "--json"); got != wantUse {
			t.Errorf("%s has %s, want %s", step.to, got, wantUse)
		}
		code, _, stderr = storeCommand(t, "copy", "--from", step.from, "--to", step.to)
		if code != command.Refused || !strings.Contains(stderr, "not empty") {
			t.Errorf("again: exit code %d, %s", code, stderr)
		}
	}
}

// TestStoreUsage: what cannot be copied or migrated, and why.
func TestStoreUsage(t *testing.T) {
	_, files := emptyInstallation(t, installedFiles)
	_, db := emptyInstallation(t, withDatabase(postgresServer.Database(t)))
	other := postgresServer.Database(t)
	postgrestest.Exec(t, other, `UPDATE meta SET pepper = 'other'`)
	_, peppered := emptyInstallation(t, withDatabase(other))
	newer := postgresServer.Database(t)
	postgrestest.Exec(t, newer, `UPDATE meta SET schema_version = 99, serves_from = 99`)
	_, served := emptyInstallation(t, withDatabase(newer))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"copy --from " + files, command.BadUsage, "--to"},
		{"copy --from " + files + " --to " + files, command.BadUsage, "cp"},
		{"copy --from " + db + " --to " + db, command.BadUsage, "pg_dump"},
		{"copy --from " + files + " --to " + peppered, command.Refused, "another pepper"},
		{"copy --from " + peppered + " --to " + files, command.Refused, "another pepper"},
		{"copy --from " + files + " --to " + served, command.Refused, "version 99"},
		{"migrate", command.BadUsage, "--config"},
		{"migrate --roles --config " + db, command.BadUsage, "--roles"},
		{"migrate --config " + files, command.Refused, "store.url"},
		{"migrate --config " + peppered, command.Refused, "another pepper"},
		{"migrate --config " + served, command.Refused, "version 99"},
	} {
		code, stdout, stderr := storeCommand(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q, want %d and %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
}

// TestStoreMigrate: a database gets its schema once, and after the version it has the
// roles can be made by what --roles prints.
func TestStoreMigrate(t *testing.T) {
	cfg := postgresServer.Database(t)
	postgrestest.Exec(t, cfg, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	_, config := emptyInstallation(t, withDatabase(cfg))
	code, _, stderr := storeCommand(t, "copy", "--from", config, "--to", config+"x")
	if code != command.Refused {
		t.Errorf("a missing configuration: exit code %d, %s", code, stderr)
	}
	version := database.SchemaVersion
	for _, want := range []string{fmt.Sprintf("made the schema, of version %d\n", version), fmt.Sprintf("the schema has version %d: there was nothing to do\n", version)} {
		if code, stdout, stderr := storeCommand(t, "migrate", "--config", config); code != command.Done || stdout != want {
			t.Errorf("exit code %d, %q, %s, want %q", code, stdout, stderr, want)
		}
	}
	if code, stdout, stderr := storeCommand(t, "migrate", "--config", config, "--json"); code != command.Done || stdout != fmt.Sprintf("{\"before\":%d,\"after\":%d}\n", version, version) {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	code, roles, stderr := storeCommand(t, "migrate", "--roles")
	if code != command.Done || roles != database.RolesSQL() {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
