package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/postgres/pgurl"
)

// emptyConfig is of a new database without the schema.
func emptyConfig(t *testing.T) Config {
	t.Helper()
	cfg := configOf(t)
	postgrestest.Exec(t, cfg.URL.String(), `DROP SCHEMA public CASCADE`)
	postgrestest.Exec(t, cfg.URL.String(), `CREATE SCHEMA public`)
	return cfg
}

// TestMissingSchema: nothing but Migrate makes it.
func TestMissingSchema(t *testing.T) {
	cfg := emptyConfig(t)
	s := openStore(t, cfg)
	_, errGet := s.Keys().Get(t.Context(), aKey(t, "one").ID)
	for what, err := range map[string]error{
		"check": s.Check(t.Context()), "get": errGet, "edit": create(t.Context(), s, aKey(t, "one")), "append": s.Audit().Append(t.Context()),
	} {
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "keyward store migrate") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var tables int
	conn := connectTo(t, cfg)
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
}

// TestMigrateAtOnce: several programs may migrate at once, and again.
func TestMigrateAtOnce(t *testing.T) {
	cfg := emptyConfig(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := Migrate(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := openStore(t, cfg)
	if err := create(t.Context(), s, aKey(t, "one")); err != nil {
		t.Error(err)
	}
	if err := Migrate(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if got, _, err := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{}); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSchemaVersions: a program serves a newer schema if that says so, and no other.
func TestSchemaVersions(t *testing.T) {
	for what, c := range map[string]struct {
		schema, servesFrom int
		served             bool
	}{
		"this one":                             {schemaVersion, schemaVersion, true},
		"a newer one that only adds":           {schemaVersion + 1, schemaVersion, true},
		"one far newer that only adds":         {schemaVersion + 9, oldestSchema, true},
		"a newer one that this cannot serve":   {schemaVersion + 1, schemaVersion + 1, false},
		"an older one than this one can serve": {oldestSchema - 1, oldestSchema - 1, false},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := configOf(t)
			open := openStore(t, cfg)
			if err := open.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			postgrestest.Exec(t, cfg.URL.String(), `UPDATE meta SET schema_version = $1, serves_from = $2`, c.schema, c.servesFrom)
			for version := schemaVersion + 1; version <= c.schema; version++ {
				postgrestest.Exec(t, cfg.URL.String(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`, version)
			}
			for when, s := range map[string]*Store{"connected before": open, "connected after": openStore(t, cfg)} {
				for what, err := range map[string]error{"check": s.Check(t.Context()), "edit": create(t.Context(), s, aKey(t, "one"))} {
					if errors.Is(err, ErrSchema) == c.served || c.served && err != nil {
						t.Errorf("%s, %s: %v", when, what, err)
					}
				}
			}
			if err := Migrate(t.Context(), cfg); errors.Is(err, ErrSchema) == c.served || c.served && err != nil {
				t.Errorf("migrate: %v", err)
			}
			var schema int
			if err := connectTo(t, cfg).QueryRow(t.Context(), `SELECT schema_version FROM meta`).Scan(&schema); err != nil || schema != c.schema {
				t.Errorf("after it the schema has version %d, %v", schema, err)
			}
		})
	}
}

// TestOtherPepper: a program with another pepper, or without one, uses nothing.
func TestOtherPepper(t *testing.T) {
	cfg := configOf(t)
	for what, hasher := range map[string]*apikey.Hasher{"another": apikey.NewHasher(authz.NewSecret("another pepper, longer")), "none": apikey.NewHasher(authz.Secret{})} {
		other := cfg
		other.Hasher = hasher
		s := openStore(t, other)
		for call, err := range map[string]error{"check": s.Check(t.Context()), "edit": create(t.Context(), s, aKey(t, "one")), "migrate": Migrate(t.Context(), other)} {
			if !errors.Is(err, ErrPepper) {
				t.Errorf("%s, %s: %v", what, call, err)
			}
		}
	}
	if err := openStore(t, cfg).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUnavailable: a database that does not answer is an error that says so, without
// a password, and the Store can be made without it.
func TestUnavailable(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := pgurl.Parse("postgres://keyward@/keyward?host=" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, Config{URL: u, PasswordFile: password, Hasher: newHasher()})
	_, _, errList := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{})
	for what, err := range map[string]error{"check": s.Check(t.Context()), "list": errList, "edit": create(t.Context(), s, aKey(t, "one"))} {
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestReadPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{"hunter2": "hunter2", "hunter2\n": "hunter2", " a b \n\n": " a b \n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPassword(file); err != nil || got != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if got, err := readPassword(file + ".missing"); err == nil || got != "" {
		t.Errorf("a missing file: %q, %v", got, err)
	}
}

// TestEncoding: names of users are UTF-8, which another encoding does not keep.
func TestEncoding(t *testing.T) {
	cfg := configOf(t)
	name := strings.TrimPrefix(cfg.URL.String()[:strings.Index(cfg.URL.String(), "?")], "postgres://keyward@/")
	postgrestest.Exec(t, cfg.URL.String(), `CREATE DATABASE ascii_`+name+` ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`)
	u, err := pgurl.Parse(strings.Replace(cfg.URL.String(), name, "ascii_"+name, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), Config{URL: u, Hasher: cfg.Hasher}); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "UTF8") {
		t.Error(err)
	}
	postgrestest.Exec(t, cfg.URL.String(), `DROP DATABASE ascii_`+name+` WITH (FORCE)`)
}

// TestReadOnlyServer: a server that is not the primary refuses changes; once there is a
// primary, they are made, on new connections.
func TestReadOnlyServer(t *testing.T) {
	cfg := configOf(t)
	postgrestest.Exec(t, cfg.URL.String(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	s := openStore(t, cfg)
	r := aKey(t, "one")
	if err := create(t.Context(), s, r); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	conn := connectTo(t, cfg)
	if _, err := conn.Exec(t.Context(), `SET default_transaction_read_only = off`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, r); err != nil {
		t.Error(err)
	}
	wantMade(t, "in the end", s, r.ID, 1)
}
