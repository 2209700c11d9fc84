package replica

import (
	"math"
	"testing"
)

// TestLineBeyond: a line behind the last change is not applied, whatever its number is, and
// later changes are.
func TestLineBeyond(t *testing.T) {
	for _, seq := range []int64{2, 5, math.MaxInt64} {
		simulate(t, func(t *testing.T, db *database, n *node) {
			db.putKey(keyID(1), 0, keep)
			n.puller.Start()
			wait()
			forged := decodeKey(db.records[Keys][keyID(1)])
			forged.Owner = "mallory"
			db.mu.Lock()
			db.forged = []Line{{seq, Keys, trimmed(encode(forged, lineOfKey))}}
			db.mu.Unlock()
			wait()
			if s := n.puller.Status(); s.Applied != 1 || !s.Up || len(s.Resyncs) != 1 {
				t.Errorf("%d: %+v", seq, s)
			}
			db.forged = nil // its number is taken
			db.putKey(keyID(1), seq%7, revoke)
			wait()
			if n.check(true); n.active(keyID(1)) {
				t.Errorf("%d: a revocation was not read", seq)
			}
			must(t, n.puller.Close())
		})
	}
}
