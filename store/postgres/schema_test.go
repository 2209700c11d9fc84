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
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
)

// emptyConfig is of a new database without the schema.
func emptyConfig(t *testing.T) database.Config {
	t.Helper()
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, `DROP SCHEMA public CASCADE`)
	postgrestest.Exec(t, cfg, `CREATE SCHEMA public`)
	return cfg
}

// TestMissingSchema: nothing but Migrate makes it.
func TestMissingSchema(t *testing.T) {
	cfg := emptyConfig(t)
	s := openStore(t, cfg)
	_, errGet := s.Keys().Get(t.Context(), aKey(t, "one").ID)
	for what, err := range map[string]error{
		"check": s.db.Check(t.Context()), "get": errGet, "edit": create(t.Context(), s, aKey(t, "one")), "append": s.Audit().Append(t.Context()),
	} {
		if !errors.Is(err, database.ErrSchema) || !strings.Contains(err.Error(), "keyward store migrate") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var tables int
	conn := postgrestest.Connect(t, cfg)
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
			if err := database.Migrate(t.Context(), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := openStore(t, cfg)
	if err := create(t.Context(), s, aKey(t, "one")); err != nil {
		t.Error(err)
	}
	if err := database.Migrate(t.Context(), cfg); err != nil {
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
		"this one":                             {database.SchemaVersion, database.SchemaVersion, true},
		"a newer one that only adds":           {database.SchemaVersion + 1, database.SchemaVersion, true},
		"one far newer that only adds":         {database.SchemaVersion + 9, database.OldestSchema, true},
		"a newer one that this cannot serve":   {database.SchemaVersion + 1, database.SchemaVersion + 1, false},
		"an older one than this one can serve": {database.OldestSchema - 1, database.OldestSchema - 1, false},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := server.Database(t)
			open := openStore(t, cfg)
			if err := open.db.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			postgrestest.Exec(t, cfg, `UPDATE meta SET schema_version = $1, serves_from = $2`, c.schema, c.servesFrom)
			for version := database.SchemaVersion + 1; version <= c.schema; version++ {
				postgrestest.Exec(t, cfg, `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`, version)
			}
			for when, s := range map[string]*Store{"connected before": open, "connected after": openStore(t, cfg)} {
				for what, err := range map[string]error{"check": s.db.Check(t.Context()), "edit": create(t.Context(), s, aKey(t, "one"))} {
					if errors.Is(err, database.ErrSchema) == c.served || c.served && err != nil {
						t.Errorf("%s, %s: %v", when, what, err)
					}
				}
			}
			if err := database.Migrate(t.Context(), cfg); errors.Is(err, database.ErrSchema) == c.served || c.served && err != nil {
				t.Errorf("migrate: %v", err)
			}
			var schema int
			if err := postgrestest.Connect(t, cfg).QueryRow(t.Context(), `SELECT schema_version FROM meta`).Scan(&schema); err != nil || schema != c.schema {
				t.Errorf("after it the schema has version %d, %v", schema, err)
			}
		})
	}
}

// TestOtherPepper: a program with another pepper, or without one, uses nothing.
func TestOtherPepper(t *testing.T) {
	cfg := server.Database(t)
	for what, hasher := range map[string]*apikey.Hasher{"another": apikey.NewHasher(authz.NewSecret("another pepper, longer")), "none": apikey.NewHasher(authz.Secret{})} {
		other := cfg
		other.Hasher = hasher
		s := openStore(t, other)
		for call, err := range map[string]error{"check": s.db.Check(t.Context()), "edit": create(t.Context(), s, aKey(t, "one")), "migrate": database.Migrate(t.Context(), other)} {
			if !errors.Is(err, database.ErrPepper) {
				t.Errorf("%s, %s: %v", what, call, err)
			}
		}
	}
	if err := openStore(t, cfg).db.Check(t.Context()); err != nil {
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
	s := openStore(t, database.Config{URL: u, PasswordFile: password, Hasher: newHasher()})
	_, _, errList := s.Keys().List(t.Context(), store.KeyFilter{}, store.Page{})
	for what, err := range map[string]error{"check": s.db.Check(t.Context()), "list": errList, "edit": create(t.Context(), s, aKey(t, "one"))} {
		if !errors.Is(err, database.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEncoding: names of users are UTF-8, which another encoding does not keep.
func TestEncoding(t *testing.T) {
	cfg := server.Database(t)
	name := strings.TrimPrefix(cfg.URL.String()[:strings.Index(cfg.URL.String(), "?")], "postgres://keyward@/")
	postgrestest.Exec(t, cfg, `CREATE DATABASE ascii_`+name+` ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0`)
	u, err := pgurl.Parse(strings.Replace(cfg.URL.String(), name, "ascii_"+name, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context(), database.Config{URL: u, Hasher: cfg.Hasher}); !errors.Is(err, database.ErrSchema) || !strings.Contains(err.Error(), "UTF8") {
		t.Error(err)
	}
	postgrestest.Exec(t, cfg, `DROP DATABASE ascii_`+name+` WITH (FORCE)`)
}

// TestReadOnlyServer: a server that is not the primary refuses changes; once there is a
// primary, they are made, on new connections.
func TestReadOnlyServer(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	s := openStore(t, cfg)
	r := aKey(t, "one")
	if err := create(t.Context(), s, r); !errors.Is(err, database.ErrUnavailable) {
		t.Error(err)
	}
	conn := postgrestest.Connect(t, cfg)
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
