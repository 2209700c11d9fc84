package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"keyward/authz"
)

// clock advances by a millisecond each time it is read.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli())
	return c
}

// read is Read on the first day of the clock.
func read(file, id string) (Usage, error) { return Read(file, id, newClock().now()) }

func (c *clock) now() time.Time { return time.UnixMilli(c.at.Add(1)).UTC() }

// quiet returns a tracker that flushes only when a test calls flush.
func quiet(file string, change func(*Config)) *Tracker {
	cfg := Config{File: file, Now: newClock().now}
	if change != nil {
		change(&cfg)
	}
	return newTracker(cfg)
}

// fileOf returns how the tracker writes its file.
func fileOf(t *Tracker) *fileStore { return t.store.(*fileStore) }

func start(t *testing.T, cfg Config) *Tracker {
	t.Helper()
	tracker := New(cfg)
	t.Cleanup(func() { _ = tracker.Close() })
	return tracker
}

func use(t *Tracker, id, target string, reason authz.Reason) {
	r := authz.Request{Method: "GET", Target: target, Peer: "192.0.2.1"}
	d := authz.Decision{Reason: reason, Principal: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: id}, At: t.cfg.Now()}
	t.Observe(&r, &d)
}

func get(t *testing.T, tracker *Tracker, id string) Usage {
	t.Helper()
	u, err := tracker.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func flush(t *testing.T, tracker *Tracker) {
	t.Helper()
	if err := tracker.flush(); err != nil {
		t.Fatal(err)
	}
}

func tempFile(t *testing.T) string { return filepath.Join(t.TempDir(), "usage.jsonl") }

// TestAccount: the usage of a key, in memory and in a file alike.
func TestAccount(t *testing.T) {
	for _, file := range []string{"", tempFile(t)} {
		tracker := quiet(file, nil)
		for i := range 25 {
			use(tracker, "k_a", fmt.Sprintf("/posts/%d?page=2", i), authz.OK)
			if i == 10 && file != "" {
				flush(t, tracker)
			}
		}
		use(tracker, "k_a", "/admin", authz.InsufficientScope)
		use(tracker, "k_b", "/b", authz.RevokedKey)
		u := get(t, tracker, "k_a")
		if u.Total != 26 || u.Results["ok"] != 25 || u.Results["insufficient_scope"] != 1 || len(u.Results) != 2 {
			t.Errorf("file %q: %+v", file, u)
		}
		if u.First.Format(time.RFC3339Nano) != "2026-01-02T03:04:05.001Z" || !u.Last.After(u.First) || u.Address != "192.0.2.1" {
			t.Errorf("file %q: first %v, last %v, address %s", file, u.First, u.Last, u.Address)
		}
		if len(u.Outcomes) != 20 {
			t.Fatalf("file %q: %d outcomes", file, len(u.Outcomes))
		}
		if want := (Outcome{u.Last, "GET", "/admin", 403, "insufficient_scope"}); u.Outcomes[0] != want {
			t.Errorf("file %q: newest %+v", file, u.Outcomes[0])
		}
		if last := u.Outcomes[19]; last.Path != "/posts/6" || last.Status != 200 {
			t.Errorf("file %q: oldest %+v", file, last)
		}
		if b := get(t, tracker, "k_b"); b.Total != 1 || b.Results["revoked_key"] != 1 || b.Outcomes[0].Status != 401 {
			t.Errorf("file %q: %+v", file, b)
		}
		if none := get(t, tracker, "k_"); none.Total != 0 || !none.Last.IsZero() || none.Outcomes == nil {
			t.Errorf("file %q: never used: %+v", file, none)
		}
	}
}

func TestOnlyKeysAreCounted(t *testing.T) {
	tracker := quiet("", nil)
	for _, p := range []*authz.Principal{nil, {}, {AuthMethod: authz.AuthMethodJWT, User: "bob"}, {AuthMethod: authz.AuthMethodAnonymous}} {
		tracker.Observe(&authz.Request{Target: "/"}, &authz.Decision{Reason: authz.OK, Principal: p, At: tracker.cfg.Now()})
	}
	for i := range tracker.memory.shards {
		if n := len(tracker.memory.shards[i].entries); n != 0 {
			t.Errorf("%d entries", n)
		}
	}
}

// TestNothingSecretIsKept: no query, no fragment, no header, and no memory of the
// message that the request's strings point into.
func TestNothingSecretIsKept(t *testing.T) {
	file := tempFile(t)
	tracker := quiet(file, nil)
	for _, target := range []string{"/a?api_key=kw_secret", "/a#kw_secret", "?kw_secret", strings.Repeat("/", 256) + "kw_secret", "/%?kw_secret"} {
		message := []byte("GET" + target + "192.0.2.1")
		text := unsafe.String(&message[0], len(message))
		id := []byte("k_a")
		r := authz.Request{
			Method: text[:3], Target: text[3 : 3+len(target)], Peer: text[3+len(target):], RequestID: "kw_secret",
			Headers: []authz.Header{{Name: "authorization", Value: "Bearer kw_secret"}},
		}
		d := authz.Decision{
			Reason: authz.OK, Principal: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: unsafe.String(&id[0], len(id)), KeyName: "kw_secret", User: "kw_secret"},
			Cause: errors.New("kw_secret"), ID: "kw_secret", At: tracker.cfg.Now(),
		}
		tracker.Observe(&r, &d)
		copy(message, bytes.Repeat([]byte("kw_secret"), 50))
		copy(id, "k_s")
	}
	u := get(t, tracker, "k_a")
	flush(t, tracker)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprint(u) + string(text); strings.Contains(all, "secret") || strings.Contains(all, "kw_") {
		t.Errorf("kept: %s", all)
	}
	if u.Outcomes[4].Path != "/a" || u.Outcomes[4].Method != "GET" || u.Address != "192.0.2.1" {
		t.Errorf("%+v", u)
	}
}

func TestOddTexts(t *testing.T) {
	file := tempFile(t)
	tracker := quiet(file, nil)
	r := authz.Request{Peer: strings.Repeat("9", 100) + "\xff", Method: strings.Repeat("M", 100), Target: "/\xff\"\\\n<é>" + strings.Repeat("é", 300)}
	d := authz.Decision{Reason: authz.Reason(200), Principal: &authz.Principal{KeyID: "k_\"é\n"}, At: tracker.cfg.Now()}
	tracker.Observe(&r, &d)
	flush(t, tracker)
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), "\n") != 4 {
		t.Fatalf("%q %v", text, err)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var any map[string]any
		if err := json.Unmarshal(line, &any); err != nil {
			t.Errorf("no JSON: %q: %v", line, err)
		}
	}
	u, err := read(file, d.Principal.KeyID)
	if err != nil || u.Total != 1 || u.Results["internal"] != 1 {
		t.Fatalf("%+v %v", u, err)
	}
	o := u.Outcomes[0]
	if !strings.HasPrefix(o.Path, "/\ufffd\"\\\n<é>éé") || len(o.Path) > maxPath+4 || o.Method != strings.Repeat("M", 32) || u.Address != "" {
		t.Errorf("%+v", u)
	}
}

func TestRestart(t *testing.T) {
	file := tempFile(t)
	clock := newClock()
	for i := range 3 {
		tracker := start(t, Config{File: file, Now: clock.now, Flush: time.Hour})
		if u := get(t, tracker, "k_a"); u.Total != uint64(10*i) {
			t.Errorf("start %d: %+v", i, u)
		}
		for range 10 {
			use(tracker, "k_a", fmt.Sprintf("/%d", i), authz.OK)
		}
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
	}
	u, err := read(file, "k_a")
	if err != nil || u.Total != 30 || len(u.Outcomes) != 20 || u.Outcomes[0].Path != "/2" || u.Outcomes[19].Path != "/1" {
		t.Errorf("%+v %v", u, err)
	}
	last, since, err := LastUses(file)
	if err != nil || len(last) != 1 || !last["k_a"].Equal(u.Last) || since.IsZero() || since.After(u.Last) {
		t.Errorf("%v %v %v", last, since, err)
	}
	if _, err := read(file+".none", "k_a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestAllReasonsHaveNames(t *testing.T) {
	tracker := quiet("", nil)
	for _, reason := range authz.Reasons() {
		use(tracker, "k_a", "/", reason)
	}
	u := get(t, tracker, "k_a")
	for _, reason := range authz.Reasons() {
		if u.Results[reason.String()] != 1 {
			t.Errorf("%s: %d", reason, u.Results[reason.String()])
		}
	}
}
