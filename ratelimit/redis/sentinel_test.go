package redis

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// startSentinel starts one Sentinel with short timeouts that watches a master.
func startSentinel(t *testing.T, master *server) (url string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.addr)
	at := freePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main %s %s 1\n"+
		"sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n", at, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t), file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "redis+sentinel://127.0.0.1:" + at + "/main"
}

// TestSentinel: the Sentinel leads to the master. When that is killed, every
// request is still decided, and the replica that takes its place is used, with
// its counts.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	host, port, _ := net.SplitHostPort(master.addr)
	replica := startServer(t, "--replicaof", host+" "+port)
	url := startSentinel(t, master)
	s := openStore(t, url, 0)
	hour := limit(numbered(1, 1), ratelimit.Rate{Count: 10, Period: time.Hour})
	soon(t, "the master is asked", func() bool {
		results := make([]ratelimit.Result, 1)
		_, err := s.Take(t.Context(), time.Now(), []ratelimit.Limit{hour}, results)
		return err == nil && results[0].Remaining == 9
	})
	soon(t, "the replica has the count, and the Sentinel knows the replica", func() bool {
		info, err := replica.say("EXISTS " + s.key(&hour.Bucket))
		link, linkErr := replica.say("ROLE")
		return err == nil && linkErr == nil && info == ":1" && link == "*5" && sentinelKnows(url)
	})
	l := startLoad(t, url, failover.FailLocal)
	master.kill()
	soon(t, "the master is unavailable", func() bool { return l.f.Stats().Unavailable })
	soon(t, "the replica is asked", func() bool { return !l.f.Stats().Unavailable })
	if _, _, _, err := l.phase(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
	soon(t, "with its counts", func() bool {
		results := make([]ratelimit.Result, 1)
		_, err := s.Take(t.Context(), time.Now(), []ratelimit.Limit{hour}, results)
		return err == nil && results[0].Remaining < 9
	})
}

// TestSentinelFailover: a master that is demoted but still running is replaced
// by the one that took its place.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	host, port, _ := net.SplitHostPort(master.addr)
	replica := startServer(t, "--replicaof", host+" "+port)
	url := startSentinel(t, master)
	s := openStore(t, url, patient)
	takes := func(n int) bool {
		_, err := s.Take(t.Context(), time.Now(), []ratelimit.Limit{limit(numbered(1, n), ratelimit.Rate{Count: 10, Period: time.Hour})}, make([]ratelimit.Result, 1))
		return err == nil
	}
	soon(t, "the master is asked", func() bool { return takes(1) })
	sentinelAt, _, _ := strings.Cut(strings.TrimPrefix(url, "redis+sentinel://"), "/")
	soon(t, "the failover begins", func() bool {
		reply, err := (&server{addr: sentinelAt}).say("SENTINEL FAILOVER main")
		return err == nil && reply == "+OK"
	})
	soon(t, "the replica is the master", func() bool { role, err := replica.say("ROLE"); return err == nil && role == "*3" })
	next := 2
	soon(t, "the replica is asked", func() bool {
		next++
		b := numbered(1, next)
		if !takes(next) {
			return false
		}
		there, err := replica.say("EXISTS " + s.key(&b))
		old, oldErr := master.say("ROLE")
		return err == nil && oldErr == nil && there == ":1" && old == "*5"
	})
}

func sentinelKnows(url string) bool {
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "redis+sentinel://"), "/")
	reply, err := (&server{addr: address}).say("SENTINEL REPLICAS main")
	return err == nil && reply == "*1"
}

// soon waits until is reports true, for as long as a failover may take.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
