package password

import (
	"testing"
	"time"
)

// TestPriorityBudget checks that in a flood of hashes of any cost at most a
// tenth of the time goes to normal priority, beyond the burst and one hash.
func TestPriorityBudget(t *testing.T) {
	for _, took := range []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second} {
		began := time.Unix(1, 0)
		now, budget, used := began, priorityBudget{}, time.Duration(0)
		for now.Sub(began) < time.Hour {
			if budget.allows(now) {
				used += took
				now = now.Add(took)
				budget.charge(took, now)
			} else {
				now = now.Add(took) // at low priority
			}
		}
		limit := now.Sub(began)/budgetShare + budgetBurst + took
		if used > limit || used < limit-2*took-budgetBurst {
			t.Errorf("hashes of %s: %s in an hour, want about %s", took, used, limit)
		}
		if now = now.Add((budgetBurst + took) * budgetShare); !budget.allows(now) {
			t.Errorf("hashes of %s: not allowed after a quiet time", took)
		}
	}
}
