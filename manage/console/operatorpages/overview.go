package operatorpages

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/denials"
	"keyward/store"
)

// Of the overview: how many keys and denials a list shows, how many of each are looked at,
// and the spans of the two lists of keys.
const (
	overviewRows    = 5
	overviewDenials = 10
	overviewLooks   = 100
	denialsCounted  = 10_000

	expiringWithin = 14 * 24 * time.Hour
	unusedFor      = 90 * 24 * time.Hour
)

// overviewPage is what the overview gets.
type overviewPage struct {
	Counts   []stateCount // nil: they are not known
	All      int
	None     bool // there are no keys
	Make     bool // the actor may make keys
	Allowed  uint64
	Denied   uint64
	Charts   []page.Chart
	Expiring keyList
	Unused   *keyList // nil: nothing records when keys were used
	Latest   []*denials.Denial
	Reasons  []reasonCount
	Since    time.Time // of the oldest denial that is counted
}

// stateCount is how many keys are in a state.
type stateCount struct {
	Count             int
	State, Text, Note string
	Class             string
}

// Shown is the count with its thousands apart.
func (c stateCount) Shown() string { return page.Count(uint64(max(c.Count, 0))) }

// keyList are some keys that need attention.
type keyList struct {
	Keys []manage.KeyView
	More bool // than are shown
}

// reasonCount is how many denials have a reason.
type reasonCount struct {
	Reason string
	Count  int
}

// showOverview shows what an operator looks at first.
func (p pages) showOverview(r *page.Request) error {
	data := overviewPage{Make: r.Actor.Has(access.Keys)}
	if counts, known := r.Service().CountKeys(r.Actor); known {
		data.count(counts)
	}
	days, err := r.Service().RequestsPerDay(r.Context(), r.Actor)
	if err != nil {
		return err
	}
	data.Charts = page.Charts(days)
	for _, day := range days {
		data.Allowed, data.Denied = data.Allowed+day.Allowed, data.Denied+day.Denied
	}
	soonest := func(a, b manage.KeyView) int { return a.Expires.Compare(b.Expires) }
	if data.Expiring, err = keysOf(r, store.KeyFilter{Expiring: expiringWithin}, soonest); err != nil {
		return err
	}
	if r.Service().LastUse != nil {
		longest := func(a, b manage.KeyView) int { return a.LastUse.Compare(b.LastUse) }
		unused, err := keysOf(r, store.KeyFilter{State: store.KeyActive, UnusedFor: unusedFor}, longest)
		if err != nil {
			return err
		}
		data.Unused = &unused
	}
	latest, err := r.Service().RecentDenials(r.Context(), r.Actor, denialsCounted)
	if err != nil {
		return err
	}
	data.deny(latest)
	return r.Render(p.Templates, "overview.html", page.Head{Title: "Overview"}, data)
}

// count adds how many keys are in each state.
func (o *overviewPage) count(c manage.KeyCounts) {
	o.All, o.None = c.All(), c.All() == 0
	o.Counts = []stateCount{
		{c.InForce(), "active", "Active", "in force", "active"},
		{c.Expiring, "expiring", "Expiring", "within 14 days", "expiring"},
		{c.Rotating, "rotating", "Rotating", "old secret still accepted", "rotating"},
		{c.Paused, "paused", "Paused", "refused", "disabled"},
		{c.Expired, "expired", "Expired", "refused", "expired"},
		{c.Revoked, "revoked", "Revoked", "refused", "revoked"},
	}
}

// keysOf returns the first of the keys that the filter selects, in the order, among those
// that are looked at: to find the first of all would take a look at each.
func keysOf(r *page.Request, filter store.KeyFilter, order func(a, b manage.KeyView) int) (keyList, error) {
	records, next, err := r.Service().ListKeys(r.Context(), r.Actor, filter, store.Page{Limit: overviewLooks})
	if err != nil {
		return keyList{}, err
	}
	view, err := r.Service().KeyViewer(r.Context())
	if err != nil {
		return keyList{}, err
	}
	var found keyList
	for i := range records {
		found.Keys = append(found.Keys, view(&records[i]))
	}
	slices.SortStableFunc(found.Keys, order)
	found.More = next != "" || len(found.Keys) > overviewRows
	found.Keys = found.Keys[:min(len(found.Keys), overviewRows)]
	return found, nil
}

// deny adds the latest denials, and counts their reasons.
func (o *overviewPage) deny(latest []*denials.Denial) {
	o.Latest = latest[:min(len(latest), overviewDenials)]
	counts := map[string]int{}
	for _, d := range latest {
		counts[d.Reason]++
		o.Since = d.Time
	}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		o.Reasons = append(o.Reasons, reasonCount{reason, counts[reason]})
	}
	slices.SortStableFunc(o.Reasons, func(a, b reasonCount) int { return cmp.Compare(b.Count, a.Count) })
	if len(o.Reasons) > overviewRows+1 {
		others := reasonCount{Reason: "others"}
		for _, rest := range o.Reasons[overviewRows:] {
			others.Count += rest.Count
		}
		o.Reasons = append(o.Reasons[:overviewRows], others)
	}
}

// Means is what a reason says to an operator; "" for others.
func (c reasonCount) Means() string { return adviceOn(authz.ParseReason(c.Reason)).Means }
