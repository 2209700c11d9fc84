package filestore

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

const childFile = "KEYWARD_TEST_WRITER"

// TestWriterChild is not a test: it is the program that TestKill kills. It
// changes keys at random and says each change that was acknowledged.
func TestWriterChild(t *testing.T) {
	path := os.Getenv(childFile)
	if path == "" {
		t.Skip("run by TestKill")
	}
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
	var mine []string
	for {
		switch n := rand.IntN(10); {
		case len(mine) == 0 || n < 4:
			r, _, err := j.Create(context.Background(), store.KeyParams{Name: strings.Repeat("n", rand.IntN(200))})
			if err != nil {
				t.Fatal(err)
			}
			mine = append(mine, r.ID)
			fmt.Printf("ack create %s %x\n", r.ID, r.Hash[:])
		case n < 8:
			r, _, err := j.Rotate(context.Background(), mine[rand.IntN(len(mine))], "", 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("ack rotate %s %x\n", r.ID, r.Hash[:])
		default:
			i := rand.IntN(len(mine))
			r, err := j.Revoke(context.Background(), mine[i], "")
			if err != nil {
				t.Fatal(err)
			}
			mine = append(mine[:i], mine[i+1:]...)
			fmt.Printf("ack revoke %s -\n", r.ID)
		}
	}
}

// acked is what was acknowledged of each key.
type acked struct {
	mu       sync.Mutex
	commands int
	hash     map[string]string // the newest, in hexadecimal
	revoked  map[string]bool
}

func (a *acked) read(line string) {
	var verb, id, hash string
	if n, _ := fmt.Sscanf(line, "ack %s %s %s\n", &verb, &id, &hash); n != 3 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.commands++
	if verb == "revoke" {
		a.revoked[id] = true
		return
	}
	a.hash[id] = hash
}

func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.jsonl")
	a := &acked{hash: map[string]string{}, revoked: map[string]bool{}}
	stop, second := make(chan struct{}), make(chan int)
	go func() { second <- createUntil(t, path, stop) }()
	kills := 0
	for ; a.commands < 1000; kills++ {
		writeAndKill(t, path, a)
	}
	close(stop)
	others := <-second

	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
	if _, _, err := j.Create(context.Background(), store.KeyParams{Name: "last"}); err != nil { // cuts the last torn tail
		t.Fatal(err)
	}
	all, _, err := j.List(context.Background(), store.KeyFilter{}, store.Page{})
	if err != nil {
		t.Fatalf("the file does not parse: %v", err)
	}
	byID, second2 := map[string]store.KeyRecord{}, 0
	for _, r := range all {
		byID[r.ID] = r
		if r.Name == "second writer" {
			second2++
		}
	}
	for id, hash := range a.hash {
		r, there := byID[id]
		switch {
		case !there:
			t.Errorf("%s was acknowledged and is not there", id)
		case a.revoked[id] && r.Revoked.IsZero():
			t.Errorf("%s was revoked and is not", id)
		case fmt.Sprintf("%x", r.Hash[:]) != hash && !holdsHash(r, hash):
			t.Errorf("%s has lost the secret it was given", id)
		}
	}
	if second2 != others {
		t.Errorf("the second writer made %d keys, %d are there", others, second2)
	}
	keys := loaded(t, path)
	if c := keys.Counts(time.Now(), 0); c.Active+c.Revoked != len(all) {
		t.Errorf("a server has %+v, the file %d keys", c, len(all))
	}
	t.Logf("%d commands acknowledged, %d kills, %d keys by a second writer", a.commands, kills, others)
}

// holdsHash reports whether a command that was killed before it could say so
// has given the key another secret since.
func holdsHash(r store.KeyRecord, hash string) bool {
	for _, p := range r.Previous {
		if fmt.Sprintf("%x", p.Hash[:]) == hash {
			return true
		}
	}
	return false
}

// writeAndKill runs a writer and kills it at some moment.
func writeAndKill(t *testing.T, path string, a *acked) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestWriterChild$")
	child.Env = append(os.Environ(), childFile+"="+path)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines, before := bufio.NewReader(out), a.commands
	for n := 1 + rand.IntN(60); a.commands < before+n; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the writer ended by itself: %s%s", line, stderr.String())
		}
		a.read(line)
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
	_ = child.Process.Kill()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		a.read(line)
	}
	_ = child.Wait()
}

// createUntil is the second writer.
func createUntil(t *testing.T, path string, stop chan struct{}) int {
	j := newKeys(KeyFileConfig{Path: path, Hasher: apikey.NewHasher(authz.Secret{})})
	for n := 0; ; n++ {
		select {
		case <-stop:
			return n
		default:
		}
		if _, _, err := j.Create(context.Background(), store.KeyParams{Name: "second writer"}); err != nil {
			t.Error(err)
			return n
		}
	}
}
