package failover

import (
	"context"
	"encoding/binary"
	"time"

	"keyward/ratelimit"
)

// watch probes the store whenever it is unavailable.
func (f *Store) watch(ctx context.Context) {
	for n := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		since := time.Now()
		if !f.waitForStore(ctx, &n) {
			return
		}
		f.circuit.close()
		f.cfg.Log.Info("rate limits: the shared store answers again", "unavailable_for", time.Since(since).Round(time.Millisecond))
	}
}

// waitForStore returns true when the store answers, false when ctx ends before.
func (f *Store) waitForStore(ctx context.Context, n *uint64) bool {
	ticker := time.NewTicker(f.cfg.ProbeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
		if *n++; f.probe(ctx, *n) == nil {
			return true
		}
	}
}

// probe charges buckets that belong to no subject, since a store that can be
// read but not written is still unavailable. The buckets are of several
// subjects, different ones each time, and therefore on most of the nodes of a
// cluster.
func (f *Store) probe(ctx context.Context, n uint64) error {
	var limits [ratelimit.MaxLimits]ratelimit.Limit
	var results [ratelimit.MaxLimits]ratelimit.Result
	for i := range limits {
		limits[i] = ratelimit.Limit{Name: "probe", Rate: ratelimit.Rate{Count: 1000, Period: time.Second}, Shadow: true}
		binary.BigEndian.PutUint64(limits[i].Bucket[:8], n*ratelimit.MaxLimits+uint64(i))
	}
	ctx, cancel := context.WithTimeout(ctx, lateRounds*f.cfg.Timeout)
	defer cancel()
	began := f.cfg.Now()
	_, err := callStore(ctx, f.cfg.Store, time.Now(), limits[:], results[:], true)
	if now := f.cfg.Now(); err == nil && now.Sub(began) > f.cfg.Timeout {
		if f.lateness.note(now); !f.lateness.since(began) {
			return errTimeout
		}
	}
	return err
}
