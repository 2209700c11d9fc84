package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/engine"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
)

// replicas are Keywards beside the console's, without listeners, each with copies of its
// own.
type replicas struct {
	t       *testing.T
	engines []*engine.Engine
}

func startReplicas(t *testing.T, url string, n int) *replicas {
	t.Helper()
	all := &replicas{t: t}
	for range n {
		dir := t.TempDir()
		text := strings.NewReplacer("DIR", dir, "URL", url).Replace(`
keys: {file: DIR/keys.jsonl}
users: {file: DIR/users.jsonl}
revocations: {file: DIR/revocations.jsonl}
log: {level: error, decisions: none}
store: {url: "URL"}
`)
		path := filepath.Join(dir, "keyward.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.Start(engine.Options{Config: cfg})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		all.engines = append(all.engines, e)
	}
	return all
}

// waitFor waits until all replicas answer a check of the key with the reason, and returns
// how long that took since it began.
func (all *replicas) waitFor(key string, want authz.Reason, began time.Time) time.Duration {
	all.t.Helper()
	request := authz.Request{Method: "GET", Target: "/posts", Scheme: "http", Peer: "192.0.2.1", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + key}}}
	for waiting := slices.Clone(all.engines); ; time.Sleep(200 * time.Microsecond) {
		waiting = slices.DeleteFunc(waiting, func(e *engine.Engine) bool {
			return e.Current().Checker().Check(context.Background(), &request).Reason == want
		})
		took := time.Since(began)
		if len(waiting) == 0 {
			return took
		}
		if took > 20*time.Second {
			all.t.Fatalf("%d replicas do not answer %s", len(waiting), want)
		}
	}
}

// TestRevokedEverywhere: a key that was revoked through the API is refused by all replicas
// at once, and within the time of a poll if no notification arrives.
func TestRevokedEverywhere(t *testing.T) {
	aboutFiles(t) // it has a database of its own
	b := &backend{dir: socketDir(t)}
	b.useDatabase(t, postgresServer.Database(t))
	postgrestest.Fill(t, b.config, prove.Size(10_000, 1_000_000), "filled")
	c := startConsoleIn(t, b, consoleConfig)
	all := startReplicas(t, b.url, prove.Size(3, 20))
	eventually.SucceedsWithin(t, prove.Size(20*time.Second, 10*time.Minute), func() error {
		for i, e := range all.engines {
			if err := e.Ready(); err != nil {
				return fmt.Errorf("replica %d: %w", i, err)
			}
		}
		return nil
	})
	revoke := func() (sinceSent, sinceAnswer time.Duration) {
		made := c.must("POST", "/keys", `{"name": "x"}`).body
		all.waitFor(made["key"].(string), authz.OK, time.Now())
		sent := time.Now()
		c.must("POST", "/keys/"+made["id"].(string)+"/revoke", "")
		answered := time.Now()
		all.waitFor(made["key"].(string), authz.RevokedKey, sent)
		return time.Since(sent), time.Since(answered)
	}
	measure := func(what string, n int, limit time.Duration) {
		var sent, answered []time.Duration
		for range n {
			s, a := revoke()
			sent, answered = append(sent, s), append(answered, a)
		}
		slices.Sort(sent)
		slices.Sort(answered)
		p99 := func(all []time.Duration) time.Duration { return all[len(all)*99/100] }
		t.Logf("%s, refused by %d replicas: since the request p50 %v, p99 %v; since its answer p50 %v, p99 %v, max %v",
			what, len(all.engines), sent[n/2], p99(sent), answered[n/2], p99(answered), answered[n-1])
		if p99(answered) > limit {
			t.Errorf("%s: p99 %v, want %v", what, p99(answered), limit)
		}
	}
	measure("revoked", prove.Size(20, 300), prove.Size(time.Second, 100*time.Millisecond))

	// What listens is cut off until it tries only each 30 seconds.
	ctx, stop := context.WithCancel(t.Context())
	conn := postgrestest.Connect(t, b.config)
	cutting := make(chan struct{})
	go func() {
		defer close(cutting)
		for ctx.Err() == nil {
			_, _ = conn.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()`)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	time.Sleep(prove.Size(time.Second, 40*time.Second))
	measure("revoked without notifications", prove.Size(2, 30), 2500*time.Millisecond)
	stop()
	<-cutting
}
