package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

var errNotInstalled = errors.New("no Postgres is installed")

// programs returns where Debian has the programs of the server, of the latest version
// that is installed; "" if none is.
func programs() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is a good one
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(slices.Max(found)) // 10 and later have two digits
}

// Program returns the path of a program of Postgres, such as pg_dump. Without Postgres the
// test is skipped, unless all tests must run.
func Program(t testing.TB, name string) string {
	t.Helper()
	dir := programs()
	switch {
	case dir == "" && os.Getenv("CI") != "true":
		t.Skip(errNotInstalled)
	case dir == "":
		t.Fatal(errNotInstalled)
	}
	return filepath.Join(dir, name)
}

// Account returns as whom programs of Postgres run, which must not be root; nil is the
// account of this process. The directory becomes that account's.
func Account(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, errUID := strconv.ParseUint(postgres.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(postgres.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

// initialize makes the files of a server whose owner is keyward.
func initialize(dir string, account *syscall.Credential) error {
	initdb := exec.Command(filepath.Join(programs(), "initdb"), "-D", filepath.Join(dir, "data"), "-U", "keyward", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// StartProgram starts a program of Postgres in the directory, with its output in the file
// log there. exited is closed when it has ended.
//
// It ends with the test program, also if that is killed or panics: a server that stays
// keeps the files that the program was started with open, such as a lock. The signal
// comes with the end of the thread that started it, which therefore does nothing else.
func StartProgram(dir string, account *syscall.Credential, argv ...string) (program *os.Process, exited <-chan struct{}, err error) {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, err
	}
	return cmd.Process, ended, nil
}
