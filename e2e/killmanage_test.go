package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"keyward/internal/prove"
	"keyward/store/audit"
)

const (
	// killsPerDirectory bounds the files, which each round reads again.
	killsPerDirectory = 25
	killedWorkers     = 6
)

// TestKilledWhileManaging kills Keyward while several callers and a command change
// keys and users, and starts it again. Then no acknowledged change is lost, none is
// half made, the audit log has an entry for each change and a change for each entry
// that is done, and a request that is sent again under its Idempotency-Key is carried
// out once.
func TestKilledWhileManaging(t *testing.T) {
	kills := prove.Size(15, 1000)
	var total killTotals
	for n := 0; n < kills && !t.Failed(); {
		round := newKilled(t)
		for i := 0; i < killsPerDirectory && n < kills && !t.Failed(); i, n = i+1, n+1 {
			round.loadAndKill()
			round.m.start()
			round.checkRecords()
			round.sendAgain()
			round.checkFiles()
		}
		round.m.process.Stop()
		total.add(round.killTotals)
	}
	t.Logf("%d kills: %d changes acknowledged; %d interrupted, %d of them made, %d sent again", kills, total.acknowledged, total.interrupted, total.made, total.again)
	if total.acknowledged < 10*kills || total.interrupted < kills {
		t.Error("too little was going on when Keyward was killed")
	}
}

// killTotals counts changes by what became of them.
type killTotals struct{ acknowledged, interrupted, made, again int }

func (k *killTotals) add(other killTotals) {
	k.acknowledged += other.acknowledged
	k.interrupted += other.interrupted
	k.made += other.made
	k.again += other.again
}

// killed is a Keyward that is killed again and again, and those who change records.
type killed struct {
	m       *managed
	workers []*killWorker
	killTotals
}

func newKilled(t *testing.T) *killed {
	k := &killed{m: startManaged(t)}
	for n := range killedWorkers {
		k.workers = append(k.workers, &killWorker{m: k.m, name: fmt.Sprintf("w%d", n), send: overAPI})
	}
	k.workers = append(k.workers, &killWorker{m: k.m, name: "cli", send: byCommand, cli: true})
	return k
}

// loadAndKill has all workers make changes until Keyward is killed, at a random
// moment. The command that is running then is killed too.
func (k *killed) loadAndKill() {
	ctx, cancel := context.WithCancel(k.m.t.Context())
	client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for _, w := range k.workers {
		w.client = client
		wait.Go(func() { w.work(ctx) })
	}
	time.Sleep(20*time.Millisecond + rand.N(150*time.Millisecond)) // a random moment
	k.m.process.Kill()
	cancel()
	wait.Wait()
	for _, w := range k.workers {
		k.acknowledged += w.acknowledged
		w.acknowledged = 0
		if w.pending != nil {
			k.interrupted++
		}
	}
}

// sendAgain sends the interrupted requests with an Idempotency-Key again, and makes
// one more change of a key and of a user, with which the files of those who died are
// put in order.
func (k *killed) sendAgain() {
	for _, w := range k.workers {
		c := w.pending
		w.pending = nil
		if c == nil || c.once == "" {
			continue
		}
		k.again++
		got, err := w.send(k.m.t.Context(), w, c)
		switch {
		case err != nil || !got.ok():
			k.m.t.Errorf("%s, sent again: %d %v %v", c, got.status, got.body, err)
		case c.made && got.body["key"] != nil:
			k.m.t.Errorf("%s was carried out, and was carried out again", c)
		case c.made && (c.action == audit.KeyCreate || c.action == audit.KeyRotate) && got.body["secret_shown"] != false:
			k.m.t.Errorf("%s, sent again, does not say that its secret was shown: %v", c, got.body)
		case c.made && c.path == "/keys/revoke" && len(got.body["revoked"].([]any)) != len(c.records):
			k.m.t.Errorf("%s, sent again, revoked %v", c, got.body["revoked"])
		case !c.made:
			c.accept(got)
		}
	}
	w := k.workers[0]
	for _, c := range []*killChange{w.create(false), w.createUser(false)} {
		got, err := w.send(k.m.t.Context(), w, c)
		if err != nil || !got.ok() {
			k.m.t.Fatalf("%s: %d %v %v", c, got.status, got.body, err)
		}
		c.accept(got)
	}
}
