package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"keyward/internal/eventually"

	"github.com/jackc/pgx/v5"
)

// Cluster is a server of one test, which may break it. It listens on a loopback port, and
// syncs what it commits.
type Cluster struct {
	Port int

	t       testing.TB
	dir     string
	account *syscall.Credential
	process *os.Process     // nil: it was never started
	exited  <-chan struct{} // is closed when it has ended
}

// NewCluster makes the files of a server in the directory, or in one of its own if that is
// "". The server is to be started, and ends with the test.
func NewCluster(t testing.TB, dir string) *Cluster {
	t.Helper()
	c := prepareCluster(t, dir)
	if err := initialize(c.dir, c.account); err != nil {
		t.Fatal(err)
	}
	return c
}

// Standby makes a server that follows this one, which runs, and can take its place.
func (c *Cluster) Standby() *Cluster {
	c.t.Helper()
	s := prepareCluster(c.t, "")
	s.run("pg_basebackup", "-D", filepath.Join(s.dir, "data"), "-R", "-X", "stream", "-c", "fast", "-d", c.address("postgres"))
	return s
}

func prepareCluster(t testing.TB, dir string) *Cluster {
	t.Helper()
	Program(t, "postgres")
	var err error
	if dir == "" {
		if dir, err = os.MkdirTemp("", "keyward-postgres-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	c := &Cluster{t: t, dir: dir}
	if c.account, err = Account(dir); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Port = listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	t.Cleanup(c.end)
	return c
}

// Host is where the server listens, as in a URL.
func (c *Cluster) Host() string { return fmt.Sprint("127.0.0.1:", c.Port) }

func (c *Cluster) address(database string) string {
	return "postgres://keyward@" + c.Host() + "/" + database + "?sslmode=disable"
}

// Start starts the server, and returns when it answers. After a kill its processes first
// have to end.
func (c *Cluster) Start() {
	c.t.Helper()
	eventually.SucceedsWithin(c.t, 30*time.Second, func() error {
		if !c.Running() {
			c.launch()
		}
		time.Sleep(50 * time.Millisecond) // the log has each attempt
		return execute(c.t.Context(), c.address("postgres"), "SELECT 1")
	})
}

func (c *Cluster) launch() {
	c.t.Helper()
	var err error
	c.process, c.exited, err = StartProgram(c.dir, c.account, Program(c.t, "postgres"), "-D", filepath.Join(c.dir, "data"), "-k", c.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprint("port=", c.Port), "-c", "max_connections=100", "-c", "shared_buffers=16MB")
	if err != nil {
		c.t.Fatal(err)
	}
}

// Running reports whether the server's first process runs.
func (c *Cluster) Running() bool {
	if c.process == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// Stop ends the server as `pg_ctl stop -m fast` does: sessions end, and what was committed
// is written.
func (c *Cluster) Stop() { c.signalAndWait(syscall.SIGINT) }

// Kill kills the server's first process; the others notice it and end.
func (c *Cluster) Kill() { c.signalAndWait(syscall.SIGKILL) }

func (c *Cluster) signalAndWait(s syscall.Signal) {
	c.t.Helper()
	if err := c.process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
	<-c.exited
}

// Freeze stops all processes of the server, with their connections open.
func (c *Cluster) Freeze() { c.signalAll(syscall.SIGSTOP) }

// Continue ends Freeze.
func (c *Cluster) Continue() { c.signalAll(syscall.SIGCONT) }

// signalAll sends the signal to the first process, which then starts no other, and to those
// that it has started.
func (c *Cluster) signalAll(s syscall.Signal) {
	first := c.process.Pid
	_ = syscall.Kill(first, s)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, _, _ := bytes.Cut(stat, []byte(" "))
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(first) {
			continue
		}
		if n, err := strconv.Atoi(string(pid)); err == nil {
			_ = syscall.Kill(n, s)
		}
	}
}

// Promote makes a standby the primary.
func (c *Cluster) Promote() {
	c.t.Helper()
	c.run("pg_ctl", "promote", "-w", "-D", filepath.Join(c.dir, "data"))
}

// Exec executes statements in the database, one after the other.
func (c *Cluster) Exec(database string, statements ...string) {
	c.t.Helper()
	for _, sql := range statements {
		if err := execute(c.t.Context(), c.address(database), sql); err != nil {
			c.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// Connect returns a connection to the database, which the caller closes.
func (c *Cluster) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, c.address(database))
}

// Dump writes a dump of the database to a file, and Restore replaces the database by it.
func (c *Cluster) Dump(database, file string) {
	c.t.Helper()
	c.run("pg_dump", "-Fc", "-f", filepath.Join(c.dir, file), c.address(database))
}

// Restore replaces the database by the dump, in one transaction: replicas that see half of
// it take that for the truth.
func (c *Cluster) Restore(database, file string) {
	c.t.Helper()
	c.Exec("postgres", "DROP DATABASE "+database+" WITH (FORCE)", "CREATE DATABASE "+database)
	c.run("pg_restore", "--single-transaction", "-d", c.address(database), filepath.Join(c.dir, file))
}

// run runs a program of Postgres to its end.
func (c *Cluster) run(name string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(Program(c.t, name), args...)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: c.account}, c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Log returns what the server has logged.
func (c *Cluster) Log() string {
	text, err := os.ReadFile(filepath.Join(c.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// end ends the server, also one that is frozen.
func (c *Cluster) end() {
	if c.t.Failed() {
		log := c.Log()
		c.t.Logf("the end of the server's log:\n%s", log[max(0, len(log)-3000):])
	}
	if c.Running() {
		c.Continue()
		_ = c.process.Signal(syscall.SIGQUIT)
		<-c.exited
	}
}
