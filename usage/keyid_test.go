package usage

import (
	"testing"

	"keyward/authz"
)

// TestLongID: what is longer than any id is not recorded, and is not another key.
func TestLongID(t *testing.T) {
	const id = "k_34567890123456"
	for _, file := range []string{"", tempFile(t)} {
		tracker := quiet(file, func(cfg *Config) { cfg.MaxKeys = perShard }) // in one shard
		use(tracker, id, "/", authz.OK)
		use(tracker, id+"x", "/", authz.OK)
		for _, when := range []string{"in memory", "flushed"} {
			for text, want := range map[string]uint64{id: 1, id + "x": 0} {
				if u, err := tracker.Get(text); err != nil || u.Total != want {
					t.Errorf("%s: %s was used %d times (%v), want %d", when, text, u.Total, err, want)
				}
			}
			if got := tracker.memory.lastUse(id + "x"); got != 0 {
				t.Errorf("%s: last use %d", when, got)
			}
			if file != "" {
				flush(t, tracker)
			}
		}
	}
}
