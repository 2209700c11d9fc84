package password

import "time"

// prompt is the time that hashes may take at normal priority. A hash at low
// priority waits for all other work of the machine: with both cores of a node
// busy that is a quarter of a core or less, and the first request of a user
// then takes longer than Envoy waits. At normal priority it takes a fair
// share. A flood of passwords uses this time up and goes on at low priority,
// so strangers take no more than a tenth of one core from the checks.
//
// The zero prompt is full. It is used under the lock of its [Processes].
type prompt struct {
	paid time.Time // when what was used is paid back
}

const (
	// promptShare of the time may be used: one part in ten.
	promptShare = 10
	// promptBurst may be used at once, some ten hashes of HashPassword's cost.
	promptBurst = 300 * time.Millisecond
)

// allows reports whether a hash may begin at normal priority.
func (p *prompt) allows(now time.Time) bool {
	return p.paid.Sub(now) < promptBurst*promptShare
}

// use charges a hash that took so long.
func (p *prompt) use(took time.Duration, now time.Time) {
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(took * promptShare)
}
