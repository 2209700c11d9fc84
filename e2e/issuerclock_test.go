package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyward/internal/prove"
)

// jumpSource and followJump add to the clock of a Keyward that is built for a test the seconds in
// the file "jump" of its working directory: to the wall clock alone, as when a machine's clock
// is set.
const (
	jumpSource = `package time

import "sync/atomic"

var Jump atomic.Int64
`
	followJump = `package main

import (
	"os"
	"strconv"
	"time"
)

func init() {
	go func() {
		for ; ; time.Sleep(5 * time.Millisecond) {
			text, _ := os.ReadFile("jump")
			seconds, _ := strconv.ParseInt(string(text), 10, 64)
			time.Jump.Store(seconds)
		}
	}()
}
`
)

// keywardWithJumps builds keyward with that clock. Everything else is as shipped.
func keywardWithJumps(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	std := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const word = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(text), word) {
		t.Fatal("time.Now is not as it was: adapt the test")
	}
	dir := t.TempDir()
	return buildWith(t, dir, map[string]string{
		filepath.Join(std, "time.go"):                                  writeFile(t, dir, "time.go", strings.Replace(string(text), word, word+"\tsec += Jump.Load()\n", 1)),
		filepath.Join(std, "jump.go"):                                  writeFile(t, dir, "jump.go", jumpSource),
		filepath.Join(programs.root, "cmd", "keyward", "testclock.go"): writeFile(t, dir, "testclock.go", followJump),
	})
}

// TestIssuerClockJumps: while the clock of a running Keyward jumps, forward and back, logins,
// refreshes and logouts go on, what is issued is accepted, and nothing that ended comes back.
func TestIssuerClockJumps(t *testing.T) {
	s := startIssuing(t, options{keyward: keywardWithJumps(t)})
	jump := func(by time.Duration) {
		writeFile(t, s.dir, "jump", strconv.FormatInt(int64(by/time.Second), 10))
		time.Sleep(time.Second) // Keyward follows within milliseconds, and reads its signing keys again
	}
	ended := map[string]string{}
	first := s.login()
	s.wants("at first", 200, bearer(first.Token))
	const day = 24 * time.Hour
	for step, by := range prove.Size([]time.Duration{0, 40 * day, -time.Hour, 0}, []time.Duration{30 * time.Second, 2 * time.Hour, 0, -time.Hour, day, 40 * day, 20 * day, 0, -3 * day, 0}) {
		jump(by)
		login := s.login()
		s.wants(by.String()+": a login", 200, bearer(login.Token))
		next := s.tokens(s.post("/v1/auth/refresh", `{"refresh_token": "`+login.Refresh+`"}`))
		s.wants(by.String()+": a refresh", 200, bearer(next.Token))
		if a := s.post("/v1/auth/logout", `{"refresh_token": "`+next.Refresh+`"}`); a.status != 204 {
			t.Errorf("%s: logout: %d %s", by, a.status, a.body)
		}
		ended[fmt.Sprintf("the token of login %d (%v)", step, by)], ended[fmt.Sprintf("the token of refresh %d (%v)", step, by)] = login.Token, next.Token
		for what, token := range ended {
			if a := s.get("/items", bearer(token)); a.status != 401 {
				t.Errorf("at %s, %s is accepted after its logout: %d", by, what, a.status)
			}
		}
		// It is accepted as long as it is valid: neither before it was issued nor after its end.
		a := s.get("/items", bearer(first.Token))
		if want := by >= 0 && by < time.Hour; (a.status == 200) != want {
			t.Errorf("at %s the first token: %d %s", by, a.status, a.body)
		}
	}
}
