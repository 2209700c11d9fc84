package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
)

// quiet is how long the Keywards are measured before the failure.
var quiet = prove.Size(1500*time.Millisecond, 10*time.Second)

// harness checks and changes keys while something fails, and verifies what came of it.
type harness struct {
	*fleet
	ledger  *ledger
	checks  *checks
	changes *changes

	stopChanging, stopChecking context.CancelFunc
	changing, checking         sync.WaitGroup
	before                     latency
}

// startHarness starts Keywards with the database on the hosts, and the load on them.
func startHarness(t *testing.T, hosts string) *harness {
	t.Helper()
	h := &harness{fleet: newFleet(t, hosts), ledger: &ledger{}}
	h.changes = newChanges(h.fleet, h.ledger)
	valid, revoked := h.changes.create("valid"), h.changes.create("revoked")
	h.changes.revoke(revoked)
	h.checks = &checks{ledger: h.ledger, valid: valid.secret, revoked: revoked.secret}
	checking, stop := context.WithCancel(t.Context())
	h.stopChecking = stop
	for i, n := range h.replicas {
		h.awaitCopies(n)
		if err := h.checks.connect(i, n); err != nil {
			t.Fatal(err)
		}
		h.checking.Go(func() { h.checks.run(checking, i) })
	}
	changing, stop := context.WithCancel(t.Context())
	h.stopChanging = stop
	for worker := range workers {
		h.changing.Go(func() { h.changes.run(changing, worker) })
	}
	t.Cleanup(h.stop)
	time.Sleep(quiet / 3)
	h.checks.phase() // connections are there, and caches are filled
	time.Sleep(quiet)
	h.before = h.checks.phase()
	return h
}

// awaitCopies waits until the node has the two keys that stay as they are.
func (h *harness) awaitCopies(n *node) {
	h.t.Helper()
	eventually.Succeeds(h.t, func() error {
		if seq, _ := n.metric("keyward_store_applied_seq"); seq < 5 {
			return fmt.Errorf("%s has the changes up to %v", n.name, seq)
		}
		return nil
	})
}

// stop ends the load, the changes with an answer to each.
func (h *harness) stop() {
	h.stopChanging()
	h.changing.Wait()
	h.stopChecking()
	h.checking.Wait()
}

// recovered waits until the store is up and changes are made again.
func (h *harness) recovered() {
	h.t.Helper()
	h.awaitUp(1, 40*time.Second)
	made := h.ledger.count(acknowledged)
	eventually.SucceedsWithin(h.t, 60*time.Second, func() error {
		time.Sleep(pollEvery)
		if got := h.ledger.count(acknowledged); got < made+10 {
			return fmt.Errorf("%d changes were made since the store is up", got-made)
		}
		return nil
	})
}

// verify ends the load and compares what was answered with what the cluster has.
func (h *harness) verify(c *postgrestest.Cluster) {
	h.t.Helper()
	during := h.checks.phase()
	h.stopChanging()
	h.changing.Wait()
	h.inForce(c)
	h.stop()
	h.t.Logf("checks before: %v; during: %v", h.before, during)
	if limit := max(p99Limit, slowdown*h.before.p99); during.p99 > limit || during.max > slowest {
		h.t.Errorf("checks took %v, want at most %v, and none longer than %v", during, limit, slowest)
	}
	h.report(h.checks.wrong)
	h.compare(c)
	h.report(h.ledger.wrong)
	h.t.Logf("changes: %d acknowledged, %d refused, %d not known", h.ledger.count(acknowledged), h.ledger.count(refused), h.ledger.count(sent))
}

// report fails the test with the first of many faults.
func (h *harness) report(wrong []string) {
	h.t.Helper()
	slices.Sort(wrong)
	wrong = slices.Compact(wrong)
	for i, text := range wrong {
		if i == 20 {
			h.t.Errorf("and %d more", len(wrong)-i)
			break
		}
		h.t.Error(text)
	}
}

// inForce waits until each replica answers for each key as the database does.
func (h *harness) inForce(c *postgrestest.Cluster) {
	h.t.Helper()
	records := h.records(c)
	for i := range h.replicas {
		for _, k := range h.ledger.keys {
			if k.secret == "" {
				continue
			}
			eventually.SucceedsWithin(h.t, 20*time.Second, func() error {
				if h.ledger.settled(i, k, records[k.name]) {
					return nil
				}
				h.checks.askAbout(h.t.Context(), i, k)
				var seen string
				h.ledger.update(func() { seen = fmt.Sprintf("%+v", k) }) // the checks go on
				return fmt.Errorf("replica %d does not answer as the database has it: %s, %+v", i, seen, records[k.name])
			})
		}
	}
}

// settled reports whether the replica has answered for the key as the record has it; nil
// is a record that was lost. A key of which only the revocation was lost stays refused.
func (l *ledger) settled(replica int, k *keyState, r *record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r == nil:
		return k.accepted[replica].IsZero() || !k.denied[replica].IsZero()
	case r.revoked:
		return !k.denied[replica].IsZero()
	default:
		return !k.accepted[replica].IsZero() || l.lossy && !k.denied[replica].IsZero()
	}
}

// record is what the database has of a key.
type record struct {
	keys             int // of that name
	revoked          bool
	creates, revokes int // entries of the audit log of changes that were made
}

const selectRecords = `SELECT line::jsonb->>'name', count(*), bool_or(line::jsonb ? 'revoked'),
	sum((SELECT count(*) FROM audit WHERE target = id AND action = 'key.create' AND outcome = 'done')),
	sum((SELECT count(*) FROM audit WHERE target = id AND action = 'key.revoke' AND outcome = 'done'))
	FROM key_record GROUP BY 1`

func (h *harness) records(c *postgrestest.Cluster) map[string]*record {
	h.t.Helper()
	conn, err := c.Connect(h.t.Context(), central)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(h.t.Context(), selectRecords)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]*record{}
	for rows.Next() {
		var name string
		r := &record{}
		if err := rows.Scan(&name, &r.keys, &r.revoked, &r.creates, &r.revokes); err != nil {
			h.t.Fatal(err)
		}
		all[name] = r
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// compare finds changes that were made twice, were lost, or were made though the answer
// said otherwise.
func (h *harness) compare(c *postgrestest.Cluster) {
	h.t.Helper()
	records := h.records(c)
	for _, k := range h.ledger.keys {
		r := records[k.name]
		if r == nil {
			r = &record{}
		}
		if r.keys != r.creates {
			h.ledger.fault("%s: %d keys and %d entries of the audit log", k.name, r.keys, r.creates)
		}
		h.compareOne(k.name+": create", k.created, r.creates)
		h.compareOne(k.name+": revoke", k.revoked, r.revokes)
		if r.revoked != (r.revokes == 1) {
			h.ledger.fault("%s: revoked %v, and the audit log has %d revocations", k.name, r.revoked, r.revokes)
		}
	}
}

func (h *harness) compareOne(what string, known change, made int) {
	switch {
	case made > 1:
		h.ledger.fault("%s was done %d times", what, made)
	case known == acknowledged && made == 0 && !h.ledger.lossy:
		h.ledger.fault("%s was lost after it was acknowledged", what)
	case (known == refused || known == unsent) && made == 1:
		h.ledger.fault("%s was refused, and done", what)
	}
}

// atLeast returns an error if there are fewer than that.
func atLeast(got, want int, what string) error {
	if got < want {
		return fmt.Errorf("%d %s, want at least %d", got, what, want)
	}
	return nil
}
