// Package denials keeps the recent denials of this process, by the id that the
// client got with the response, and answers what would be decided for such a
// request now.
//
// It keeps neither a credential nor a header nor a query, and nothing outlives the
// process. Memory is bounded, and no one can take all of it: principals and
// strangers have a half each, and within a half each of them has a share.
package denials

import (
	"container/list"
	"sync"
	"time"

	"keyward/authz"
)

// Config bounds a Recent.
type Config struct {
	// Max is the number of denials that are kept; 0 is 10,000.
	Max int
	// MaxBytes bounds the memory that they take; 0 is 16 MiB.
	MaxBytes int
}

const (
	defaultMax      = 10_000
	defaultMaxBytes = 16 << 20

	// shares is how many owners it takes to fill a half.
	shares = 16
)

// Recent are the recent denials. Of each half the oldest is dropped first.
type Recent struct {
	mu         sync.Mutex
	byID       map[string]*entry
	principals half
	strangers  half
}

// New returns a Recent without denials.
func New(cfg Config) *Recent {
	if cfg.Max <= 0 {
		cfg.Max = defaultMax
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	space := bounds{max(cfg.Max/2, 1), cfg.MaxBytes / 2}
	newHalf := func() half {
		return half{all: newQueue(space), owners: map[owner]*queue{}, share: bounds{max(space.count/shares, 1), space.bytes / shares}}
	}
	return &Recent{byID: map[string]*entry{}, principals: newHalf(), strangers: newHalf()}
}

// Observer returns an observer for the checks by the configuration of that time.
// It keeps the denials among the decisions that it gets.
func (r *Recent) Observer(configured time.Time) authz.Observer { return &observer{r, configured} }

type observer struct {
	recent     *Recent
	configured time.Time
}

// Observe implements authz.Observer.
func (o *observer) Observe(r *authz.Request, d *authz.Decision) {
	if d.Allowed() || d.ID == "" {
		return
	}
	o.recent.add(newDenial(r, d, o.configured))
}

// Get returns the denial with the id, nil if it is not kept. The caller must not
// change it.
func (r *Recent) Get(id string) *Denial {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byID[id]; e != nil {
		return e.denial
	}
	return nil
}

// add keeps the denial. An id that is taken stays that of the earlier denial.
func (r *Recent) add(n *Denial) {
	e := &entry{denial: n, size: n.size(), owner: n.owner()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[n.ID] != nil {
		return
	}
	h := &r.strangers
	if n.identified() {
		h = &r.principals
	}
	for dropped := h.makeSpace(e); dropped != nil; dropped = h.makeSpace(e) {
		delete(r.byID, dropped.denial.ID)
	}
	if h.push(e) {
		r.byID[n.ID] = e
	}
}

// entry is a denial with its places in two queues.
type entry struct {
	denial     *Denial
	size       int
	owner      owner
	inAll, own *list.Element
}

// half are the denials of principals, or those of strangers.
type half struct {
	all    queue
	owners map[owner]*queue
	share  bounds // of one owner
}

// makeSpace drops the oldest denial of the owner if its share is full, or else the
// oldest of all if the half is. It returns nil if there is space.
func (h *half) makeSpace(e *entry) *entry {
	if own := h.owners[e.owner]; own != nil && own.full(e.size) {
		return h.drop(own.oldest())
	}
	if h.all.full(e.size) {
		return h.drop(h.all.oldest())
	}
	return nil
}

// push adds the denial. It returns false if it is larger than a share.
func (h *half) push(e *entry) bool {
	if e.size > h.share.bytes {
		return false
	}
	own := h.owners[e.owner]
	if own == nil {
		q := newQueue(h.share)
		own = &q
		h.owners[e.owner] = own
	}
	e.inAll, e.own = h.all.push(e), own.push(e)
	return true
}

// drop removes the denial, and returns it; nil stays nil.
func (h *half) drop(e *entry) *entry {
	if e == nil {
		return nil
	}
	own := h.owners[e.owner]
	h.all.remove(e.inAll)
	own.remove(e.own)
	if own.entries.Len() == 0 {
		delete(h.owners, e.owner)
	}
	return e
}

type bounds struct{ count, bytes int }

// queue holds denials within bounds, the oldest first.
type queue struct {
	entries *list.List
	bytes   int
	space   bounds
}

func newQueue(space bounds) queue { return queue{entries: list.New(), space: space} }

// full reports whether a further denial of that size exceeds the bounds.
func (q *queue) full(size int) bool {
	return q.entries.Len() >= q.space.count || q.bytes+size > q.space.bytes
}

// oldest returns the oldest denial, nil if there is none.
func (q *queue) oldest() *entry {
	if front := q.entries.Front(); front != nil {
		return front.Value.(*entry)
	}
	return nil
}

func (q *queue) push(e *entry) *list.Element {
	q.bytes += e.size
	return q.entries.PushBack(e)
}

func (q *queue) remove(at *list.Element) {
	q.bytes -= q.entries.Remove(at).(*entry).size
}

// Latest returns up to n denials, the newest first. The caller must not change them.
func (r *Recent) Latest(n int) []*Denial {
	r.mu.Lock()
	defer r.mu.Unlock()
	var latest []*Denial
	a, b := r.principals.all.entries.Back(), r.strangers.all.entries.Back()
	for len(latest) < n && (a != nil || b != nil) {
		from := &a
		if a == nil || b != nil && b.Value.(*entry).denial.Time.After(a.Value.(*entry).denial.Time) {
			from = &b
		}
		latest = append(latest, (*from).Value.(*entry).denial)
		*from = (*from).Prev()
	}
	return latest
}
