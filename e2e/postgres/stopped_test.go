package postgres

import (
	"fmt"
	"testing"
	"time"

	"keyward/internal/latencyproxy"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
)

// outage is how long the database is unavailable.
var outage = prove.Size(3*time.Second, time.Minute)

// startCluster starts a server with the database.
func startCluster(t *testing.T) *postgrestest.Cluster {
	t.Helper()
	c := postgrestest.NewCluster(t, "")
	c.Start()
	migrate(t, c)
	return c
}

// TestKilled: the server is killed, and started again.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	h := startHarness(t, c.Host())
	for range prove.Size(1, 10) {
		c.Kill()
		down := h.awaitUp(0, 10*time.Second)
		time.Sleep(outage)
		c.Start()
		t.Logf("keyward_store_up 0 after %v, 1 after %v", down, h.awaitUp(1, 20*time.Second))
		h.recovered()
	}
	h.verify(c)
	h.noHistory()
}

// noHistory verifies that no replica has begun again: nothing was lost.
func (h *harness) noHistory() {
	h.t.Helper()
	if got := h.resyncs(); fmt.Sprint(got) != "[0 0]" {
		h.t.Errorf("the replicas began again %v times since the history was another", got)
	}
}

// TestRestarted: the server is restarted, as for an upgrade.
func TestRestarted(t *testing.T) {
	c := startCluster(t)
	h := startHarness(t, c.Host())
	for range prove.Size(2, 20) {
		c.Stop()
		c.Start()
		h.recovered()
	}
	h.verify(c)
	h.noHistory()
}

// TestFrozen: all processes of the server are stopped, with their connections open.
func TestFrozen(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := startCluster(t)
	h := startHarness(t, c.Host())
	c.Freeze()
	time.Sleep(prove.Size(15*time.Second, time.Minute))
	c.Continue()
	h.recovered()
	h.verify(c)
	h.noHistory()
}

// TestBlackholed: the network forwards nothing, and closes nothing.
func TestBlackholed(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	proxy, err := latencyproxy.Open(c.Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	h := startHarness(t, proxy.Address())
	proxy.Blackhole(true)
	down := h.awaitUp(0, 20*time.Second)
	time.Sleep(outage)
	proxy.Blackhole(false)
	t.Logf("keyward_store_up 0 after %v, 1 after %v", down, h.awaitUp(1, 20*time.Second))
	h.recovered()
	h.verify(c)
	h.noHistory()
}
