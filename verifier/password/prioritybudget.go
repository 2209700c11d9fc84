package password

import "time"

// priorityBudget is a budget of time that hashes may run at normal priority. A
// hash at low priority waits for all other work of the machine: with both cores
// of a node busy it gets a quarter of a core or less, and the first request of
// a user takes longer than Envoy waits. At normal priority it gets a fair
// share. A flood of passwords uses up the budget and goes on at low priority,
// so that unauthenticated clients take no more than a tenth of one core from
// the checks.
//
// The zero priorityBudget is a full budget. The lock of its [WorkerProcesses]
// guards it.
type priorityBudget struct {
	tat time.Time // when the time used is paid back
}

const (
	// budgetShare is the divisor that gives the share of time: one part in ten.
	budgetShare = 10
	// budgetBurst may be used at once, about ten hashes at the default cost.
	budgetBurst = 300 * time.Millisecond
)

// allows reports whether a hash may begin at normal priority.
func (p *priorityBudget) allows(now time.Time) bool {
	return p.tat.Sub(now) < budgetBurst*budgetShare
}

// charge charges a hash that took the given time.
func (p *priorityBudget) charge(took time.Duration, now time.Time) {
	if p.tat.Before(now) {
		p.tat = now
	}
	p.tat = p.tat.Add(took * budgetShare)
}
