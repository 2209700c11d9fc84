// Package usage records the use of each API key: how often it was used and with
// which results, when first and last, from which address, its last outcomes, how
// often on each of the last 30 days, and how often by a previous secret.
//
// A [Tracker] observes each decision. It keeps what it observes in memory until
// the next flush, which appends two lines to the usage file for each key that was
// used. Several processes may append to one file; a reader adds up the lines of
// a key. Recording never delays or fails a check, and records neither a secret
// nor a query. The usage file is not evidence: if memory or the disk is full,
// some usage is lost, and the log says so.
package usage

import (
	"cmp"
	"slices"
	"time"
)

// maxOutcomes is the number of outcomes kept per key.
const maxOutcomes = 20

// Usage is the recorded use of one key. That of a key that was never used has a
// Total of zero.
type Usage struct {
	Total    uint64            `json:"total"`
	Results  map[string]uint64 `json:"by_result"` // by the name of an authz.Reason
	First    time.Time         `json:"first_use,omitzero"`
	Last     time.Time         `json:"last_use,omitzero"`
	Address  string            `json:"last_address"`  // of the client
	Outcomes []Outcome         `json:"last_outcomes"` // the newest first, at most 20

	Days     []Day          `json:"days"` // the last 30, today first
	Previous PreviousSecret `json:"previous_secret"`
}

// Outcome is the decision about one request.
type Outcome struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"` // without its query, at most 256 bytes of it
	Status int       `json:"status"`
	Result string    `json:"result"`
}

// aggregate is the content of one line of a key, or the sum of several: those of
// a line about days have nothing else. Times
// are microseconds since 1970.
type aggregate struct {
	first, last int64
	address     string
	results     []count
	outcomes    []outcome // the oldest first
	daily
}

type count struct {
	result string
	n      uint64
}

type outcome struct {
	at           int64
	method, path string
	status       int
	result       string
}

// add adds another aggregate of the same key. It keeps none of other's slices.
func (t *aggregate) add(other *aggregate) {
	t.daily.add(&other.daily)
	if len(other.results) == 0 {
		return // a line about days
	}
	if t.first == 0 || other.first < t.first {
		t.first = other.first
	}
	if other.last >= t.last {
		t.last, t.address = other.last, other.address
	}
	for _, c := range other.results {
		i := slices.IndexFunc(t.results, func(mine count) bool { return mine.result == c.result })
		switch {
		case i >= 0:
			t.results[i].n += c.n
		case len(t.results) < maxResults: // more than there are reasons
			t.results = append(t.results, c)
		}
	}
	inOrder := len(t.outcomes) == 0 || len(other.outcomes) == 0 || other.outcomes[0].at >= t.outcomes[len(t.outcomes)-1].at
	t.outcomes = append(t.outcomes, other.outcomes...)
	if !inOrder {
		slices.SortStableFunc(t.outcomes, func(a, b outcome) int { return cmp.Compare(a.at, b.at) })
	}
	if more := len(t.outcomes) - maxOutcomes; more > 0 {
		t.outcomes = slices.Delete(t.outcomes, 0, more)
	}
}

// usage returns the Usage with the 30 days up to now.
func (t *aggregate) usage(now time.Time) Usage {
	u := Usage{Results: map[string]uint64{}, Address: t.address, Outcomes: []Outcome{}}
	u.Days, u.Previous = t.until(now)
	if t.last != 0 {
		u.First, u.Last = time.UnixMicro(t.first).UTC(), time.UnixMicro(t.last).UTC()
	}
	for _, c := range t.results {
		u.Total += c.n
		u.Results[c.result] += c.n
	}
	for _, o := range slices.Backward(t.outcomes) {
		u.Outcomes = append(u.Outcomes, Outcome{time.UnixMicro(o.at).UTC(), o.method, o.path, o.status, o.result})
	}
	return u
}
