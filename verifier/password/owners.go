package password

import "time"

// owned are the jobs of an owner that are not familiar.
type owned[V any] struct{ running, waiting *flight[V] }

// claim makes the flight the one that waits for its owner, unless one does that
// has the better standing. Of equals the newest stays, so that any of them may
// be the last before it is their turn.
func (p *Pool[V]) claim(f *flight[V], now time.Time) bool {
	if f.familiar() {
		return true
	}
	if old := p.owners[f.job.Owner].waiting; old != nil {
		if old.timely(now) && old.job.Standing.before(f.job.Standing) {
			return false
		}
		p.queue.remove(old)
		p.land(old, ErrBusy)
	}
	p.own(f.job.Owner, p.owners[f.job.Owner].running, f)
	return true
}

// mayBegin tells whether the owner has nothing running.
func (p *Pool[V]) mayBegin(f *flight[V]) bool {
	return f.familiar() || p.owners[f.job.Owner].running == nil
}

// begin makes the one that waits the one that runs.
func (p *Pool[V]) begin(f *flight[V]) {
	if !f.familiar() {
		p.own(f.job.Owner, f, nil)
	}
}

// release is when a flight has ended, whatever it was.
func (p *Pool[V]) release(f *flight[V]) {
	if own := p.owners[f.job.Owner]; own.running == f {
		p.own(f.job.Owner, nil, own.waiting)
	} else if own.waiting == f {
		p.own(f.job.Owner, own.running, nil)
	}
}

func (p *Pool[V]) own(owner string, running, waiting *flight[V]) {
	if running == nil && waiting == nil {
		delete(p.owners, owner)
		return
	}
	p.owners[owner] = owned[V]{running, waiting}
}
