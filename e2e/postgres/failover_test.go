package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
)

// startPair starts a primary with the database, and a standby that follows it.
func startPair(t *testing.T) (primary, standby *postgrestest.Cluster) {
	t.Helper()
	primary = startCluster(t)
	standby = primary.Standby()
	standby.Start()
	return primary, standby
}

// TestFailedOver: the primary waits for the standby with each commit. When the standby takes
// its place, nothing that was acknowledged is lost, and no replica has seen more than the
// standby has.
func TestFailedOver(t *testing.T) {
	primary, standby := startPair(t)
	primary.Exec("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	h := startHarness(t, primary.Host()+","+standby.Host())
	primary.Kill()
	standby.Promote()
	h.recovered()
	h.verify(standby)
	h.noHistory()
}

// TestFailedOverWithLoss: the primary does not wait for the standby, which lacks the last
// changes when it takes the primary's place. The replicas begin again, and say why. What
// they have seen revoked stays refused.
func TestFailedOverWithLoss(t *testing.T) {
	primary, standby := startPair(t)
	h := startHarness(t, primary.Host()+","+standby.Host())
	standby.Stop() // from now on it receives nothing
	h.changeMore(20)
	primary.Kill()
	h.ledger.update(func() { h.ledger.lossy = true })
	standby.Start()
	standby.Promote()
	h.recovered()
	h.verify(standby)
	h.history()
	h.lost(standby)
}

// TestRestored: the database is replaced by a dump of an earlier time. The replicas begin
// again, and say why. What they have seen revoked stays refused, and `keyward store status`
// names it.
func TestRestored(t *testing.T) {
	c := startCluster(t)
	h := startHarness(t, c.Host())
	c.Dump(central, "yesterday")
	h.changeMore(20)
	h.ledger.update(func() { h.ledger.lossy = true })
	c.Restore(central, "yesterday")
	h.recovered()
	h.verify(c)
	h.history()
	h.lost(c)
}

// changeMore waits until that many more changes are acknowledged, and the replicas have
// answered for some of their keys.
func (h *harness) changeMore(n int) {
	h.t.Helper()
	made := h.ledger.count(acknowledged)
	eventually.Succeeds(h.t, func() error {
		time.Sleep(pollEvery)
		return atLeast(h.ledger.count(acknowledged)-made, n, "changes")
	})
	for i := range h.replicas {
		for _, k := range h.ledger.all() {
			if k.secret != "" {
				h.checks.askAbout(h.t.Context(), i, k)
			}
		}
	}
}

// history verifies that each replica has begun again since the history was another.
func (h *harness) history() {
	h.t.Helper()
	for i, got := range h.resyncs() {
		if got < 1 {
			h.t.Errorf("replica %d has not begun again", i)
		}
	}
}

// lost verifies that something was lost, and that `keyward store status` names each key
// that a replica has accepted and the database lacks.
func (h *harness) lost(c *postgrestest.Cluster) {
	h.t.Helper()
	records, missing := h.records(c), []string{}
	for _, k := range h.ledger.all() {
		seen := !k.accepted[0].IsZero() || !k.accepted[1].IsZero()
		if seen && records[k.name] == nil {
			missing = append(missing, fmt.Sprintf("key %s: missing", k.id))
		}
	}
	if len(missing) == 0 {
		h.t.Error("nothing was lost: the test shows nothing")
	}
	h.t.Logf("%d keys were lost after they were acknowledged", len(missing))
	eventually.SucceedsWithin(h.t, 15*time.Second, func() error {
		status := h.console.run("store", "status")
		for _, line := range missing {
			// One that was revoked before the loss is lost as what has ended.
			if !strings.Contains(status, line) && !strings.Contains(status, strings.Replace(line, ": missing", ": ended", 1)) {
				return fmt.Errorf("store status has no %q:\n%s", line, status)
			}
		}
		return nil
	})
}
