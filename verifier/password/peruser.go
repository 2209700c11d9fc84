package password

import "time"

// userSlots are the tasks of one user, except trusted ones.
type userSlots struct{ running, waiting *task }

// reserve makes t the single waiting task of its user. A waiting task of higher
// priority is kept; among equals the newest wins, so that any of them may be
// the one that runs next.
func (p *Pool) reserve(t *task, now time.Time) bool {
	if t.trusted() {
		return true
	}
	if old := p.users[t.job.User].waiting; old != nil {
		if old.meetsDeadline(now) && old.job.Priority.higher(t.job.Priority) {
			return false
		}
		p.queue.remove(old)
		p.finish(old, ErrBusy)
	}
	p.setSlots(t.job.User, p.users[t.job.User].running, t)
	return true
}

// mayStart reports whether no other task of the user is running.
func (p *Pool) mayStart(t *task) bool {
	return t.trusted() || p.users[t.job.User].running == nil
}

// start moves the waiting task to the running slot.
func (p *Pool) start(t *task) {
	if !t.trusted() {
		p.setSlots(t.job.User, t, nil)
	}
}

// release frees the slot of a task that has ended, running or not.
func (p *Pool) release(t *task) {
	if slots := p.users[t.job.User]; slots.running == t {
		p.setSlots(t.job.User, nil, slots.waiting)
	} else if slots.waiting == t {
		p.setSlots(t.job.User, slots.running, nil)
	}
}

func (p *Pool) setSlots(user string, running, waiting *task) {
	if running == nil && waiting == nil {
		delete(p.users, user)
		return
	}
	p.users[user] = userSlots{running, waiting}
}
