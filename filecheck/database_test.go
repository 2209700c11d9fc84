package filecheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/internal/postgrestest"
)

var postgresServer = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &postgresServer)) }

// TestDatabase: a central store is a problem if its schema is missing or its pepper is
// another one. Copies that are not there yet are none.
func TestDatabase(t *testing.T) {
	good, empty := postgresServer.Database(t), postgresServer.Database(t)
	postgrestest.Exec(t, empty, `DROP TABLE meta`)
	for _, c := range []struct{ name, url, pepper, want string }{
		{"good", good.URL.String(), "a pepper of sixteen", ""},
		{"another pepper", good.URL.String(), "another pepper, longer", "another pepper"},
		{"no schema", empty.URL.String(), "a pepper of sixteen", "keyward store migrate"},
		{"no database", "postgres://keyward@/keyward?host=" + t.TempDir(), "a pepper of sixteen", "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			for name, text := range map[string]string{
				"pepper": c.pepper, "password": "secret",
				"keyward.yaml": "keys: {file: keys.jsonl, pepper_file: pepper}\nusers: {file: users.jsonl}\nrevocations: {file: revocations.jsonl}\n" +
					"store: {url: \"" + c.url + "\", password_file: password}\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := config.Load(filepath.Join(dir, "keyward.yaml"), os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			if missing := Missing(cfg); len(missing) != 0 {
				t.Error(missing)
			}
			problems, _ := Check(cfg)
			switch {
			case c.want == "" && len(problems) != 0, c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), c.want)):
				t.Errorf("%v, want %q", problems, c.want)
			}
		})
	}
}
