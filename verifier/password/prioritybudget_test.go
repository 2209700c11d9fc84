package password

import (
	"testing"
	"time"
)

// TestPromptTime checks that in a flood of hashes of any cost at most a tenth of the time
// goes to normal priority, beyond the burst and one hash.
func TestPromptTime(t *testing.T) {
	for _, took := range []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second} {
		began := time.Unix(1, 0)
		now, prompt, used := began, prompt{}, time.Duration(0)
		for now.Sub(began) < time.Hour {
			if prompt.allows(now) {
				used += took
				now = now.Add(took)
				prompt.use(took, now)
			} else {
				now = now.Add(took) // at low priority
			}
		}
		most := now.Sub(began)/promptShare + promptBurst + took
		if used > most || used < most-2*took-promptBurst {
			t.Errorf("hashes of %s: %s in an hour, want about %s", took, used, most)
		}
		if now = now.Add((promptBurst + took) * promptShare); !prompt.allows(now) {
			t.Errorf("hashes of %s: not allowed after a quiet time", took)
		}
	}
}
