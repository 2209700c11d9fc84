package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/audit"
)

// The states of a record. A user's are its scopes.
const (
	isAbsent  = ""
	isActive  = "active"
	isRevoked = "revoked"
)

// killRecord is a key or a user as its worker knows it.
type killRecord struct {
	user  bool
	name  string
	id    string // of a key; "" until it is known
	state string
	hash  string               // of a key's secret
	done  map[audit.Action]int // the changes that were made
}

// killChange is one change of one or several records of a worker.
type killChange struct {
	action             audit.Action
	records            []*killRecord
	method, path, body string
	once               string // the Idempotency-Key
	after              string // the state that the records get
	made               bool   // found after it was interrupted
}

func (c *killChange) String() string {
	return fmt.Sprintf("%s of %s (%s %s, once %q)", c.action, c.records[0].name, c.method, c.path, c.once)
}

// accept notes the change as made and acknowledged.
func (c *killChange) accept(got killAnswer) {
	for _, r := range c.records {
		if id, ok := got.body["id"].(string); ok {
			r.id = id
		}
		if key, ok := got.body["key"].(string); ok {
			r.hash = digestOf(key)
		}
		r.state = c.after
		r.done[c.action]++
	}
}

func digestOf(key string) string {
	return fmt.Sprintf("%x", apikey.NewHasher(authz.Secret{}).Digest(key))
}

// killWorker changes records of its own, one after the other.
type killWorker struct {
	m            *managed
	name         string
	cli          bool
	send         func(context.Context, *killWorker, *killChange) (killAnswer, error)
	client       *http.Client
	records      []*killRecord
	pending      *killChange // was sent, and not answered
	acknowledged int
}

// work makes changes until Keyward is gone.
func (w *killWorker) work(ctx context.Context) {
	for {
		w.pending = w.next()
		got, err := w.send(ctx, w, w.pending)
		if err != nil {
			return
		}
		if !got.ok() {
			w.m.t.Errorf("%s: %d %v", w.pending, got.status, got.body)
			return
		}
		w.pending.accept(got)
		w.pending = nil
		w.acknowledged++
	}
}

// next is the next change, at random.
func (w *killWorker) next() *killChange {
	once := !w.cli && rand.IntN(2) == 0
	keys, users := w.having(false, isActive), w.having(true, "")
	switch n := rand.IntN(12); {
	case n < 4 || len(keys) < 3 || w.cli && n < 8:
		return w.create(once)
	case n == 4 && !w.cli:
		return w.createUser(once)
	case n == 5 && len(users) > 0:
		scope := fmt.Sprintf("s%d", rand.Uint32())
		return &killChange{action: audit.UserUpdate, records: users[:1], method: "PATCH", path: "/users/" + users[0].name, body: fmt.Sprintf(`{"scopes": [%q]}`, scope), after: scope}
	case n == 6 && len(users) > 0:
		return &killChange{action: audit.UserDelete, records: users[:1], method: "DELETE", path: "/users/" + users[0].name, after: isAbsent}
	case n == 7 && !w.cli:
		chosen := keys[:2+rand.IntN(len(keys)-1)]
		var ids []string
		for _, r := range chosen {
			ids = append(ids, fmt.Sprintf("%q", r.id))
		}
		return w.once(once, &killChange{action: audit.KeyRevoke, records: chosen, method: "POST", path: "/keys/revoke", body: `{"ids": [` + strings.Join(ids, ",") + `]}`, after: isRevoked})
	case n < 10 && !w.cli:
		return w.once(once, &killChange{action: audit.KeyRotate, records: keys[:1], method: "POST", path: "/keys/" + keys[0].id + "/rotate", body: `{"grace": "1h"}`, after: isActive})
	case n == 10:
		return w.once(once, &killChange{action: audit.KeyRevoke, records: keys[:1], method: "POST", path: "/keys/" + keys[0].id + "/revoke", after: isRevoked})
	default:
		return &killChange{action: audit.KeyDelete, records: keys[:1], method: "DELETE", path: "/keys/" + keys[0].id, after: isAbsent}
	}
}

// having are the worker's keys of that state, or its users, in random order.
func (w *killWorker) having(user bool, state string) []*killRecord {
	found := slices.DeleteFunc(slices.Clone(w.records), func(r *killRecord) bool {
		return r.user != user || r.state == isAbsent || !user && r.state != state
	})
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found
}

func (w *killWorker) record(user bool) *killRecord {
	r := &killRecord{user: user, name: fmt.Sprintf("%s-%d", w.name, len(w.records)), done: map[audit.Action]int{}}
	w.records = append(w.records, r)
	return r
}

func (w *killWorker) create(once bool) *killChange {
	r := w.record(false)
	return w.once(once, &killChange{action: audit.KeyCreate, records: []*killRecord{r}, method: "POST", path: "/keys", body: fmt.Sprintf(`{"name": %q}`, r.name), after: isActive})
}

func (w *killWorker) createUser(once bool) *killChange {
	r := w.record(true)
	return w.once(once, &killChange{action: audit.UserCreate, records: []*killRecord{r}, method: "POST", path: "/users", body: fmt.Sprintf(`{"name": %q, "scopes": ["first"]}`, r.name), after: "first"})
}

func (w *killWorker) once(once bool, c *killChange) *killChange {
	if once {
		c.once = fmt.Sprintf("%s-%x", w.name, rand.Uint64())
	}
	return c
}

// killAnswer is what a change was answered with.
type killAnswer struct {
	status int
	body   map[string]any
}

func (a killAnswer) ok() bool { return a.status/100 == 2 }

// overAPI sends a change to the API. Without a complete answer it is an error.
func overAPI(ctx context.Context, w *killWorker, c *killChange) (killAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, "http://"+w.m.address+"/api/v1"+c.path, strings.NewReader(c.body))
	if err != nil {
		return killAnswer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+w.m.admin)
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.once != "" {
		request.Header.Set("Idempotency-Key", c.once)
	}
	response, err := w.client.Do(request)
	if err != nil {
		return killAnswer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return killAnswer{}, err
	}
	got := killAnswer{status: response.StatusCode}
	if len(text) > 0 {
		err = json.Unmarshal(text, &got.body)
	}
	return got, err
}

// byCommand makes a change of a key by a command on the same files.
func byCommand(ctx context.Context, w *killWorker, c *killChange) (killAnswer, error) {
	r := c.records[0]
	args := map[audit.Action][]string{
		audit.KeyCreate: {"key", "create", "--name", r.name, "--json"},
		audit.KeyRevoke: {"key", "revoke", r.id},
		audit.KeyDelete: {"key", "delete", r.id},
	}[c.action]
	cmd := exec.CommandContext(ctx, programs.keyward, append(args, "--config", "keyward.yaml")...)
	cmd.Dir = w.m.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return killAnswer{}, ctx.Err()
	case err != nil:
		return killAnswer{body: map[string]any{"stderr": stderr.String()}}, nil
	}
	got := killAnswer{status: http.StatusOK}
	if c.action == audit.KeyCreate {
		err = errors.Join(err, json.Unmarshal(out, &got.body))
	}
	return got, err
}
