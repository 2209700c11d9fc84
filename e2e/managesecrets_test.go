package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/e2e/stack"
	"keyward/internal/otlpreceiver"
	"keyward/internal/prove"
)

// TestManagedSecrets sends mixed requests to the API, with secrets also where none
// belongs. Each secret that was shown or sent is then in no other answer, and in
// nothing that Keyward wrote: its log at level debug, the metrics, the traces, and the
// files of its directory.
func TestManagedSecrets(t *testing.T) {
	receiver := otlpreceiver.Start(t)
	m := startManagedWith(t, fmt.Sprintf("log: {level: debug, decisions: all}\ntracing: {endpoint: \"http://%s\"}", receiver.Address))
	s := &secretive{m: m, client: &http.Client{Timeout: 20 * time.Second}, secrets: []string{m.admin}}
	const callers = 4
	var wait sync.WaitGroup
	for range callers {
		wait.Go(func() {
			for range prove.Size(500, 10_000) / callers {
				s.request()
			}
		})
	}
	wait.Wait()
	seen := map[string][]byte{"an answer": s.answers.Bytes(), "the metrics": s.metrics()}
	m.readFiles(seen)
	m.process.Stop() // the log and the traces are complete, and SQLite's own files are gone
	m.readFiles(seen)
	seen["the traces"] = receiver.Bytes(t)
	for what, text := range seen {
		if found := s.in(text); found != "" {
			t.Errorf("%s has a secret: %s", what, found)
		}
	}
	if s.in([]byte("x"+m.admin+"x")) == "" {
		t.Error("a secret would not be found")
	}
	t.Logf("%d secrets in %d requests by status: %v", len(s.secrets), s.sent, s.statuses)
}

// readFiles adds the content of all files of the directory.
func (m *managed) readFiles(to map[string][]byte) {
	m.t.Helper()
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			to[d.Name()], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// secretive sends requests, and keeps their answers and the secrets.
type secretive struct {
	m      *managed
	client *http.Client

	mu       sync.Mutex
	sent     int
	statuses map[int]int
	answers  bytes.Buffer
	secrets  []string
	keys     [][2]string // ids and secrets of keys
}

// request sends one request, of a random kind.
func (s *secretive) request() {
	password := s.secret("correct-" + rand.Text())
	id, key := s.someKey()
	name := rand.Text()
	kinds := []func(){
		func() { s.send(s.m.admin, "POST", "/keys", `{"name": "x"}`) },
		func() { s.send(s.m.admin, "POST", "/keys", `{"name": "x", "format": "hex"}`, "Idempotency-Key", name) },
		func() {
			s.send(s.m.admin, "POST", "/keys", `{"name": "twice"}`, "Idempotency-Key", name)
			s.send(s.m.admin, "POST", "/keys", `{"name": "twice"}`, "Idempotency-Key", name)
		},
		func() { s.send(s.m.admin, "POST", "/keys/"+id+"/rotate", `{"grace": "1h"}`, "Idempotency-Key", name) },
		func() { s.send(s.m.admin, "POST", "/keys/verify", `{"key": "`+key+`"}`) },
		func() { s.send(s.m.admin, "POST", "/keys/verify", `{"key": "`+key+`", "key": "`+key+`"}`) },
		func() { s.send(s.m.admin, "POST", "/keys/verify", `{"key": ["`+key+`"]}`) },
		func() {
			s.send(s.m.admin, "POST", "/users", `{"name": "`+name+`", "password": "`+password+`"}`, "Idempotency-Key", name)
		},
		func() { s.send(s.m.admin, "POST", "/users", `{"name": "root", "password": "`+password+`"}`) },
		func() {
			s.send(s.m.admin, "POST", "/users", `{"name": "u", "password": {"`+password+`": "`+password+`"}}`)
		},
		func() { s.send(s.m.admin, "POST", "/users", `{"name": "u", "passwort": "`+password+`"}`) },
		func() { s.send(s.m.admin, "POST", "/users", `{"name": "u", "password": "`+password) },
		func() { s.send(s.m.admin, "POST", "/users/second/password", `{"password": "`+password+`"}`) },
		func() {
			s.send(s.m.admin, "POST", "/users/second/password", `{"password": "`+password+password+password+`"}`)
		},
		func() { s.send(key, "GET", "/keys", "") },
		func() { s.send(key, "POST", "/users", `{"name": "u", "password": "`+password+`"}`) },
		func() { s.send(key+"x", "GET", "/me", "") },
		func() {
			s.send("", "GET", "/me", "", "Authorization", "bearer: "+key, "X-Api-Key", key, "Cookie", "key="+key)
		},
		func() { s.send(s.m.admin, "GET", "/keys?key="+key, "") },
		func() { s.send(s.m.admin, "GET", "/keys?limit="+password+"&cursor="+key+"&state="+password, "") },
		func() { s.send(s.m.admin, "GET", "/keys?limit=1", "", "If-Match", key, "Idempotency-Key", key) },
		func() {
			s.send(s.m.admin, "POST", "/keys/"+id+"/rotate", "", "If-Match", `"`+key+`"`, "Idempotency-Key", password)
		},
		func() { s.send(s.m.admin, "GET", "/audit?limit=50", "") },
		func() { s.send(s.m.admin, "GET", "/keys?limit=50", "") },
		func() { s.send(s.m.admin, "GET", "/keys/"+id, "") },
	}
	kinds[mathrand.IntN(len(kinds))]()
}

// secret remembers a secret.
func (s *secretive) secret(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, text)
	return text
}

// someKey returns the id and secret of a key.
func (s *secretive) someKey() (id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) == 0 {
		return "k_000000000000", "kw_none"
	}
	found := s.keys[mathrand.IntN(len(s.keys))]
	return found[0], found[1]
}

// send sends a request, and keeps its answer without the secret that it shows.
func (s *secretive) send(key, method, path, body string, header ...string) {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.m.address+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.m.t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.m.t.Error(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.m.t.Error(err)
	}
	var shown struct{ ID, Key string }
	_ = json.Unmarshal(text, &shown) // an answer without a body shows nothing
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer.StatusCode < 300 && method == "POST" && shown.Key != "" {
		s.keys = append(s.keys, [2]string{shown.ID, shown.Key})
		s.secrets = append(s.secrets, shown.Key)
		text = bytes.Replace(text, []byte(shown.Key), nil, 1)
	}
	s.sent++
	if s.statuses == nil {
		s.statuses = map[int]int{}
	}
	s.statuses[answer.StatusCode]++
	fmt.Fprintf(&s.answers, "%v\n%s\n", answer.Header, text)
}

func (s *secretive) metrics() []byte {
	response, err := s.client.Get("http://" + stack.Address(s.m.ports.Admin) + "/metrics")
	if err != nil {
		s.m.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || len(text) == 0 {
		s.m.t.Fatalf("metrics: %d bytes, %v", len(text), err)
	}
	return text
}

// in returns what is around a part of a secret in the text; "" if there is none.
func (s *secretive) in(text []byte) string {
	const part = 12 // bytes from the middle; a key's hint has fewer
	parts := map[string]bool{}
	for _, secret := range s.secrets {
		if from := len(secret)/2 - part/2; from >= 0 {
			parts[secret[from:from+part]] = true
		}
	}
	for i := 0; i+part <= len(text); i++ {
		if parts[string(text[i:i+part])] {
			return string(text[max(0, i-100):min(len(text), i+100)])
		}
	}
	return ""
}
