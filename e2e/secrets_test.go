package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"keyward/e2e/stack"
)

// TestNoKeyInPlainText sends 10,000 mixed requests at log level debug, with
// every decision logged. Then it searches for any part of a key that may not be
// shown again: in logs, metrics, files, error texts, responses and at the
// upstream.
func TestNoKeyInPlainText(t *testing.T) {
	const requests = 10_000
	s := newSystem(t, options{config: strings.Replace(routesConfig, "query:", "basic_key_usernames: [haplo], query:", 1)})
	keys, ids := s.assortedKeys()
	secrets := newSecretsToFind(keys)
	s.start()
	s.keyward("key", "revoke", "--file", "keys.jsonl", ids[0])

	answers := s.fire(requests, keys)
	secrets.search(t, "the responses to clients", answers)
	s.mu.Lock()
	for _, r := range s.received {
		secrets.search(t, "a request at the upstream", fmt.Appendf(nil, "%v", r))
	}
	t.Logf("%d requests, %d reached the upstream", requests, len(s.received))
	if len(s.received) < requests/10 || len(s.received) > requests*9/10 {
		t.Errorf("a poor mixture")
	}
	s.mu.Unlock()
	for name, output := range s.commandOutputs(keys) {
		secrets.search(t, name, output)
	}
	for _, url := range []string{
		stack.Address(s.Ports().Admin) + "/metrics",
		stack.Address(s.Ports().EnvoyAdmin) + "/stats",
		stack.Address(s.Ports().EnvoyAdmin) + "/config_dump",
	} {
		secrets.search(t, url, fetch(t, "http://"+url))
	}
	s.Stop() // so that everything is written
	s.searchFiles(secrets)
}

// assortedKeys makes keys in use, one to be revoked, both secrets of a rotated
// one, unknown ones, and ones with one wrong digit.
func (s *system) assortedKeys() (keys, ids []string) {
	s.t.Helper()
	for i := range 4 {
		name := fmt.Sprintf("key %d", i)
		key := s.key("--name", name, "--path", "/any", "--path", "/reports", "--scope", "reports:read")
		keys = append(keys, key)
		ids = append(ids, s.idOf(key))
	}
	keys = append(keys, s.keyward("key", "rotate", "--file", "keys.jsonl", "--grace", "1h", ids[1]))
	for range 3 {
		unknown := s.keyward("key", "create", "--name", "unknown", "--file", filepath.Join(s.t.TempDir(), "elsewhere.jsonl"))
		last := byte('0')
		if unknown[len(unknown)-1] == last {
			last = '1'
		}
		keys = append(keys, unknown, unknown[:len(unknown)-1]+string(last))
	}
	return keys, ids
}

// idOf looks up the id of a key, which is passed by stdin.
func (s *system) idOf(key string) string {
	s.t.Helper()
	out := string(s.run(key, "key", "verify", "--file", "keys.jsonl"))
	at := strings.Index(out, "k_")
	if at < 0 || len(out) < at+14 {
		s.t.Fatalf("key verify printed no id: %s", out)
	}
	return out[at : at+14]
}

// run runs a command that may fail, with the text as its stdin, and returns all
// of its output.
func (s *system) run(stdin string, args ...string) []byte {
	cmd := exec.Command(programs.keyward, args...)
	cmd.Dir, cmd.Stdin = s.dir, strings.NewReader(stdin)
	out, _ := cmd.CombinedOutput()
	return out
}

// commandOutputs runs commands about keys, some of them with a key in place of
// an id.
func (s *system) commandOutputs(keys []string) map[string][]byte {
	outputs := map[string][]byte{"key list": s.run("", "key", "list", "--file", "keys.jsonl", "--json")}
	for i, key := range keys {
		for n, args := range [][]string{
			{"key", "verify", "--file", "keys.jsonl"},
			{"key", "show", "--file", "keys.jsonl", key},
			{"key", "revoke", "--file", "keys.jsonl", key},
			{"key", "rotate", "--file", "keys.jsonl", key},
			{"key", key},
			{"check", "--config", "keyward.yaml", "--method", "GET", "--path", "/any", "--header", bearer(key)},
			{"check", "--config", "keyward.yaml", "--method", "GET", "--path", "/any?api_key=" + key},
		} {
			outputs[fmt.Sprintf("command %d (%s …) with key %d", n, args[0], i)] = s.run(key, args...)
		}
	}
	return outputs
}

// fire sends the requests, eight at a time, and returns all responses.
func (s *system) fire(n int, keys []string) []byte {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all bytes.Buffer
	)
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range n / 8 {
				response, err := client.Do(s.randomRequest(random, keys))
				if err != nil {
					s.t.Error(err)
					return
				}
				body, _ := io.ReadAll(response.Body)
				response.Body.Close()
				mu.Lock()
				fmt.Fprintln(&all, response.Header, string(body))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all.Bytes()
}

// randomRequest has one key or two, in one of the places, valid or altered.
func (s *system) randomRequest(random *rand.Rand, keys []string) *http.Request {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	request, err := http.NewRequest(pick("GET", "POST", "HEAD"), s.URL()+pick("/any", "/any/more", "/reports", "/public", "/news", "/off", "/x;y"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for range 1 + random.IntN(6)/5 {
		key := pick(keys...)
		switch random.IntN(8) {
		case 0, 1:
			request.Header.Add("Authorization", "Bearer "+key)
		case 2:
			request.Header.Add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pick("haplo", "other")+":"+key)))
		case 3:
			request.Header.Add("X-API-Key", key)
		case 4:
			request.Header.Add("Cookie", "a=b; session="+key)
		case 5:
			request.URL.RawQuery = pick("api_key=", "a=b&api_key=") + key
		case 6:
			request.Header.Add("Authorization", pick("Bearer ", "Bearer", "Digest ", "Bearer \t")+key+pick(" x", ",", "!", "\xff"))
		case 7:
			request.Header.Add("X.Api.Key", key)
		}
	}
	return request
}

// searchFiles searches all files that the system has written.
func (s *system) searchFiles(secrets secretsToFind) {
	s.t.Helper()
	err := filepath.WalkDir(s.dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		secrets.search(s.t, file, text)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || len(body) == 0 {
		t.Fatalf("%s: %d, %d bytes, %v", url, response.StatusCode, len(body), err)
	}
	return body
}

// secretsToFind are the parts of keys that must not be found anywhere: any
// twelve consecutive characters, in plaintext or in base64 as in Basic.
type secretsToFind map[string]int // piece → index of its key

const fragmentLength = 12

func newSecretsToFind(keys []string) secretsToFind {
	n := secretsToFind{}
	for i, key := range keys {
		for _, text := range []string{key, base64.StdEncoding.EncodeToString([]byte("haplo:" + key))[8:]} {
			for at := 0; at+fragmentLength <= len(text); at++ {
				n[text[at:at+fragmentLength]] = i
			}
		}
	}
	return n
}

// search fails the test, without showing the key, if the text contains a part
// of one.
func (n secretsToFind) search(t *testing.T, where string, text []byte) {
	t.Helper()
	for at := 0; at+fragmentLength <= len(text); at++ {
		if key, found := n[string(text[at:at+fragmentLength])]; found {
			t.Errorf("a part of key %d is in %s, after %q", key, where, text[max(0, at-80):at])
			return
		}
	}
}
