package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/bench/loadgen"
	"keyward/e2e/stack"
	"keyward/internal/prove"
	"keyward/store"
)

// TestManagedAtScale: with many keys, neither one record nor one page nor one change
// reads the file, and a change is in force before the answer. At full size the times
// have bounds too.
func TestManagedAtScale(t *testing.T) {
	s := &scale{managed: startManaged(t), client: &http.Client{Timeout: 20 * time.Second}}
	s.process.Stop()
	s.writeKeys(prove.Size(25_000, 1_000_000))
	began := time.Now()
	s.start()
	s.within("ready", []time.Duration{time.Since(began)}, 5*time.Second)
	s.call("GET", "/keys?limit=1", "", nil) // the catalog is read by then
	for _, read := range []struct {
		what, path string
		limit      time.Duration
	}{
		{"one record", "/keys/ID", 5 * time.Millisecond},
		{"a page by user", "/keys?limit=100&user=USER", 50 * time.Millisecond},
		{"a page by a rare state", "/keys?limit=100&state=paused", 50 * time.Millisecond},
		{"a page by state and user", "/keys?limit=100&state=revoked&user=USER", 50 * time.Millisecond},
		{"a page by a frequent state", "/keys?limit=100&state=active", 50 * time.Millisecond},
		{"a page by a state that no key has", "/keys?limit=100&state=expired", 50 * time.Millisecond},
		{"a page by a time that no key meets", "/keys?limit=100&older_than=900d", 50 * time.Millisecond},
	} {
		s.reads(read.what, read.limit, prove.Size(20, 1000), func() {
			n := mathrand.IntN(len(s.ids))
			s.call("GET", strings.NewReplacer("ID", s.ids[n], "USER", userOf(n)).Replace(read.path), "", nil)
		})
	}
	s.changes()
	s.pages()
	if prove.Size(false, true) {
		s.checksBeside(map[string]*steady{"100 changes per second": s.steadyChanges(), "20 pages of the console per second": s.steadyPages()})
	}
}

// scale is a Keyward with many keys.
type scale struct {
	*managed
	client  *http.Client
	ids     []string
	secrets []string // of some keys that are in force
	cookie  string   // of an administrator's session
	size    int64    // of the key file
}

const keysPerUser = 100

func userOf(n int) string { return fmt.Sprint("user-", n/keysPerUser) }

// writeKeys appends keys: of each thousand one is paused, one is revoked, and ten have no
// user, which is what those that are checked are.
func (s *scale) writeKeys(count int) {
	s.t.Helper()
	path := filepath.Join(s.dir, "keys.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	maker := store.KeyMaker{Hasher: apikey.NewHasher(authz.Secret{}), Rand: bufio.NewReader(rand.Reader)}
	begin := time.Now().Add(-90 * 24 * time.Hour).UTC()
	for n := range count {
		p := store.KeyParams{Name: fmt.Sprint("key ", n), Prefix: "kw_", User: userOf(n), Project: fmt.Sprint("project-", n%50)}
		if n%100 == 0 {
			p.User = ""
		}
		at := begin.Add(time.Duration(n) * time.Second)
		r, secret, err := maker.New(&p, at)
		switch n % 1000 {
		case 1:
			r.Paused = &store.Pause{Since: at}
		case 2:
			r.Revoke(at)
		}
		line, errLine := r.Line()
		if err != nil || errLine != nil {
			s.t.Fatal(err, errLine)
		}
		_, _ = out.Write(line)
		s.ids = append(s.ids, r.ID)
		if p.User == "" && len(s.secrets) < 10_000 {
			s.secrets = append(s.secrets, secret.Reveal())
		}
	}
	if err := out.Flush(); err != nil {
		s.t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	s.size = info.Size()
}

// call sends a request of the administrator, which must be answered with success.
func (s *scale) call(method, path, body string, into any) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.admin)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			s.t.Fatal(err)
		}
	}
}

// within reports the times, and at full size holds their 99th percentile to the limit.
func (s *scale) within(what string, times []time.Duration, limit time.Duration) {
	s.t.Helper()
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	s.t.Logf("%-36s p50 %-10v p99 %v", what, times[len(times)/2].Round(10*time.Microsecond), p99.Round(10*time.Microsecond))
	if prove.Size(false, true) && p99 > limit {
		s.t.Errorf("%s: p99 %v, want at most %v", what, p99, limit)
	}
}

// reads repeats a request, and holds it to its time and to what it reads: a small part
// of the key file.
func (s *scale) reads(what string, limit time.Duration, times int, request func()) {
	s.t.Helper()
	before := s.bytesRead()
	var took []time.Duration
	for range times {
		began := time.Now()
		request()
		took = append(took, time.Since(began))
	}
	each := (s.bytesRead() - before) / int64(times)
	s.t.Logf("%-36s %d of %d bytes read", what, each, s.size)
	if each > s.size/20 {
		s.t.Errorf("%s: %d bytes are read, of a file of %d", what, each, s.size)
	}
	s.within(what, took, limit)
}

// bytesRead is how much the process has read, from files and connections.
func (s *scale) bytesRead() int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.process.PID()))
	if err != nil {
		s.t.Fatal("the system does not count what a process reads: ", err)
	}
	var read int64
	if _, err := fmt.Fscanf(bytes.NewReader(text), "rchar: %d", &read); err != nil {
		s.t.Fatal(err)
	}
	return read
}

// changes makes, rotates and revokes keys. Each change is in force when it is answered.
func (s *scale) changes() {
	s.t.Helper()
	checks, err := loadgen.DialTarget(stack.Address(s.ports.GRPC), 1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer checks.Close()
	wantCheck := func(what, secret string, want bool) {
		s.t.Helper()
		if got, err := checks.Allowed(s.t.Context(), 0, "Bearer "+secret); err != nil || got != want {
			s.t.Errorf("%s: allowed %v, %v", what, got, err)
		}
	}
	took := map[string][]time.Duration{}
	timed := func(what, path, body string, into any) {
		began := time.Now()
		s.call("POST", path, body, into)
		took[what] = append(took[what], time.Since(began))
	}
	var bare []time.Duration
	rounds := prove.Size(20, 500)
	before := s.bytesRead()
	for range rounds {
		bare = append(bare, s.appendAndSync())
		var made, rotated struct{ ID, Key string }
		timed("create", "/keys", `{"name": "made"}`, &made)
		wantCheck("created", made.Key, true)
		timed("rotate", "/keys/"+made.ID+"/rotate", "", &rotated)
		wantCheck("rotated away", made.Key, false)
		wantCheck("rotated", rotated.Key, true)
		timed("revoke", "/keys/"+made.ID+"/revoke", "", nil)
		wantCheck("revoked", rotated.Key, false)
	}
	each := (s.bytesRead() - before) / int64(3*rounds)
	s.t.Logf("%-36s %d of %d bytes read", "a change", each, s.size)
	if each > s.size/2 {
		s.t.Errorf("a change reads %d bytes, of a file of %d", each, s.size)
	}
	slices.Sort(bare)
	limit := max(25*time.Millisecond, 3*bare[len(bare)*99/100])
	s.within("a bare append and fsync", bare, time.Hour)
	for _, what := range []string{"create", "rotate", "revoke"} {
		s.within(what, took[what], limit)
	}
}

// appendAndSync appends a line to another file and makes it durable.
func (s *scale) appendAndSync() time.Duration {
	s.t.Helper()
	began := time.Now()
	f, err := os.OpenFile(filepath.Join(s.dir, "bare"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte("x"), 400)); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		s.t.Fatal(err)
	}
	return time.Since(began)
}
