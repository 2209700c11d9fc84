package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"keyward/e2e/stack"
)

const (
	changesEvery  = 40 * time.Millisecond // of each worker
	changeTimeout = 4 * time.Second       // until a client gives up and sends its request again
	retryAfter    = 100 * time.Millisecond
	workers       = 4
)

// changes creates and revokes keys through the console's API.
type changes struct {
	ledger *ledger
	url    string
	admin  string
	client *http.Client
}

func newChanges(f *fleet, l *ledger) *changes {
	return &changes{l, "http://" + stack.Address(f.console.ports.Console) + "/api/v1", f.admin, &http.Client{Timeout: changeTimeout}}
}

// answer is what the API answered.
type answer struct {
	status int
	body   struct {
		ID     string `json:"id"`
		Key    string `json:"key"`
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
}

// unavailable reports whether the answer is a refusal for want of the store.
func (a *answer) unavailable() bool {
	return a.status == http.StatusServiceUnavailable && (strings.HasSuffix(a.body.Type, "/store_unavailable") || strings.HasSuffix(a.body.Type, "/audit_unavailable"))
}

// uncertain reports whether the answer leaves open what became of the change.
func (a *answer) uncertain() bool { return strings.Contains(a.body.Detail, "did not answer whether") }

// made reports whether the answer says that the change was made, and is not in force yet: the
// secret of a key is lost then.
func (a *answer) made() bool { return strings.HasPrefix(a.body.Detail, "the change was made") }

// running reports whether an earlier request with the Idempotency-Key is being carried out.
func (a *answer) running() bool {
	return a.status == http.StatusConflict && strings.HasSuffix(a.body.Type, "/idempotency_running")
}

// post sends one request; once is its Idempotency-Key, or "".
func (c *changes) post(ctx context.Context, path, body, once string) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Authorization", "Bearer "+c.admin)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if once != "" {
		request.Header.Set("Idempotency-Key", once)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.status = response.StatusCode
	return a, json.Unmarshal(text, &a.body)
}

// run makes changes until ctx ends. The last one is carried out to its answer.
func (c *changes) run(ctx context.Context, worker int) {
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	var mine []*keyState
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case i%3 == 2 && len(mine) > 0:
			c.revoke(mine[0])
			mine = mine[1:]
		case i%7 == 3:
			c.createOnce(fmt.Sprintf("w%d-%d-once", worker, i))
		default:
			if k := c.create(fmt.Sprintf("w%d-%d", worker, i)); k.id != "" {
				mine = append(mine, k)
			}
		}
	}
}

// create makes a key, with the same request until it is acknowledged.
func (c *changes) create(name string) *keyState {
	k := c.ledger.add(name)
	c.ledger.update(func() { k.created = sent })
	c.insist("/keys", fmt.Sprintf(`{"name": %q}`, name), name+"-create", func(a *answer) {
		k.id, k.secret, k.created = a.body.ID, a.body.Key, acknowledged
	})
	return k
}

// createOnce asks for a key once, without an Idempotency-Key.
func (c *changes) createOnce(name string) {
	k := c.ledger.add(name)
	c.ledger.update(func() { k.created = sent })
	a, err := c.post(context.Background(), "/keys", fmt.Sprintf(`{"name": %q}`, name), "")
	c.ledger.update(func() {
		switch {
		case err != nil || a.uncertain():
		case a.status == http.StatusCreated || a.made():
			k.id, k.secret, k.created = a.body.ID, a.body.Key, acknowledged
		case a.unavailable():
			k.created = refused
		default:
			c.ledger.fault("%s: %d %v", name, a.status, a.body)
		}
	})
}

// revoke revokes a key, with the same request until it is acknowledged.
func (c *changes) revoke(k *keyState) {
	c.ledger.update(func() { k.revoked = sent })
	c.insist("/keys/"+k.id+"/revoke", "", k.name+"-revoke", func(*answer) { k.revoked = acknowledged })
}

// insistFor is how long a client sends its request again.
const insistFor = 2 * time.Minute

// insist sends the request until it is acknowledged, and calls done then.
func (c *changes) insist(path, body, once string, done func(*answer)) {
	for deadline := time.Now().Add(insistFor); ; time.Sleep(retryAfter) {
		a, err := c.post(context.Background(), path, body, once)
		switch {
		case err == nil && a.status/100 == 2:
			c.ledger.update(func() { done(&a) })
			return
		case err == nil && a.status == http.StatusNotFound && c.ledger.mayLose():
			return // the key was lost
		case time.Now().After(deadline):
			c.ledger.update(func() { c.ledger.fault("%s was not answered: %d %v %v", once, a.status, a.body, err) })
			return
		case err == nil && !a.unavailable() && !a.running():
			c.ledger.update(func() { c.ledger.fault("%s: %d %v", once, a.status, a.body) })
			return
		}
	}
}
