// Package postgrestest runs a real Postgres for tests: one server per test program, and
// a database per test.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"

	"github.com/jackc/pgx/v5"
)

// Server is a server that the first Database starts, and Main stops.
type Server struct {
	// Hasher hashes the secrets in the databases.
	Hasher *apikey.Hasher

	start     sync.Once
	startErr  error
	dir       string
	process   *os.Process
	exited    <-chan struct{}
	databases atomic.Int64

	mu      sync.Mutex
	emptied []database.Config // of tests that ended, to be used again
}

// Main runs the tests of a package and stops the server after them. It is what TestMain
// exits with.
func Main(m *testing.M, s *Server) int {
	defer s.stop()
	return m.Run()
}

// Database returns a new database with the schema, which is dropped when the test ends.
// Without Postgres the test is skipped, unless all tests must run.
func (s *Server) Database(t testing.TB) database.Config {
	t.Helper()
	cfg := s.keep(t)
	t.Cleanup(func() {
		if err := s.exec(context.Background(), "DROP DATABASE "+nameOf(cfg)+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return cfg
}

// keep makes a database with the schema, which stays.
func (s *Server) keep(t testing.TB) database.Config {
	t.Helper()
	s.need(t)
	name := fmt.Sprint("test_", s.databases.Add(1))
	if err := s.exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE prepared"); err != nil {
		t.Fatal(err)
	}
	cfg, err := s.config(name)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// need starts the server, unless it runs.
func (s *Server) need(t testing.TB) {
	t.Helper()
	s.start.Do(func() { s.startErr = s.run() })
	switch {
	case errors.Is(s.startErr, errNotInstalled) && os.Getenv("CI") != "true":
		t.Skip(s.startErr)
	case s.startErr != nil:
		t.Fatal(s.startErr)
	}
}

// Environment returns the variables by which programs find the server.
func (s *Server) Environment(t testing.TB) []string {
	t.Helper()
	s.need(t)
	return []string{"PGHOST=" + s.dir, "PGUSER=keyward"}
}

// nameOf returns the name of the database.
func nameOf(cfg database.Config) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(cfg.URL.String(), "postgres://keyward@/"), "?")
	return name
}

// Emptied returns a database without records, which another test may have had: to empty one
// is faster than to make one. A test that changes the schema needs one of its own.
func (s *Server) Emptied(t testing.TB) database.Config {
	t.Helper()
	s.mu.Lock()
	var cfg database.Config
	if n := len(s.emptied); n > 0 {
		cfg, s.emptied = s.emptied[n-1], s.emptied[:n-1]
	}
	s.mu.Unlock()
	if cfg.URL.String() == "" {
		cfg = s.keep(t)
	}
	t.Cleanup(func() {
		if err := execute(context.Background(), cfg.URL.String(), empty); err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.emptied = append(s.emptied, cfg)
	})
	return cfg
}

// empty removes all records. What is emptied is another database to those that follow it.
// meta and state_lock have one row each, which stays.
// To delete a few rows is much faster than to truncate, which makes the files of all tables
// and indexes again. Triggers would only check what refers to rows that are deleted too.
const empty = `DO $$ DECLARE name text; BEGIN
	SET LOCAL session_replication_role = replica;
	FOR name IN SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('meta', 'state_lock', 'goose_db_version') LOOP
		EXECUTE 'DELETE FROM ' || name;
	END LOOP;
	UPDATE meta SET identity = gen_random_uuid(), epoch = gen_random_uuid(), last_seq = 0, cut_seq = 0;
END $$`

func (s *Server) config(name string) (cfg database.Config, err error) {
	cfg.Hasher = s.Hasher
	cfg.URL, err = pgurl.Parse(s.url(name))
	return cfg, err
}

// As returns the configuration with another login, which is made, and is a member of the
// role.
func (s *Server) As(t testing.TB, cfg database.Config, login, role string) database.Config {
	t.Helper()
	for _, sql := range []string{"DROP ROLE IF EXISTS %s", "CREATE ROLE %s LOGIN IN ROLE " + role} {
		if err := s.exec(t.Context(), fmt.Sprintf(sql, login)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if cfg.URL, err = pgurl.Parse(strings.Replace(cfg.URL.String(), "keyward@", login+"@", 1)); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// PID returns the number of the server's process, which has those of connections as its
// children. A database was made before.
func (s *Server) PID() int { return s.process.Pid }

// Refuse has the server end all connections to the database and refuse others, or ends
// that.
func (s *Server) Refuse(t testing.TB, cfg database.Config, refuse bool) {
	t.Helper()
	name := nameOf(cfg)
	ctx := context.Background()
	err := s.exec(ctx, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %v", name, !refuse))
	if err == nil && refuse {
		err = s.exec(ctx, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Connect returns a connection as the owner of the database, which is closed when the
// test ends.
func Connect(t testing.TB, cfg database.Config) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), cfg.URL.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec executes statements as the owner of the database.
func Exec(t testing.TB, cfg database.Config, sql string, args ...any) {
	t.Helper()
	if err := execute(t.Context(), cfg.URL.String(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) url(database string) string {
	return "postgres://keyward@/" + database + "?" + url.Values{"host": {s.dir}}.Encode()
}

func (s *Server) exec(ctx context.Context, sql string) error {
	return execute(ctx, s.url("postgres"), sql)
}

func execute(ctx context.Context, url, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// run makes the server's files, starts it, and makes the database that others are
// copies of.
func (s *Server) run() error {
	if programs() == "" {
		return errNotInstalled
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "keyward-postgres-"); err != nil {
		return err
	}
	account, err := Account(s.dir)
	if err != nil {
		return err
	}
	if err := initialize(s.dir, account); err != nil {
		return err
	}
	s.process, s.exited, err = StartProgram(s.dir, account, filepath.Join(programs(), "postgres"), "-D", filepath.Join(s.dir, "data"),
		"-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=300", "-c", "fsync=off")
	if err != nil {
		return err
	}
	return s.prepare()
}

func (s *Server) prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for s.exec(ctx, "SELECT 1") != nil {
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server does not answer:\n%s", log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := s.exec(ctx, "CREATE DATABASE prepared"); err != nil {
		return err
	}
	cfg, err := s.config("prepared")
	if err != nil {
		return err
	}
	return database.Migrate(ctx, cfg)
}

// stop ends the server and removes its files.
func (s *Server) stop() {
	if s.process != nil {
		_ = s.process.Signal(syscall.SIGINT) // it ends at once, and its sessions with it
		<-s.exited
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
