package engine

import (
	"log/slog"
	"time"

	"keyward/keyindex"
)

const day = 24 * time.Hour

// reminderDays are how many days before a key expires its operators are reminded, the
// longest time first.
var reminderDays = [...]int{30, 7, 1}

const (
	remindEvery = time.Hour
	// maxReminderLines bounds the log lines of one pass: of a million keys, all may
	// expire on one day.
	maxReminderLines = 100
)

// reminders are the log lines and the counts of keys that expire soon. A pass reminds of
// the keys that came within one of the times since the pass before; so no key is
// reminded of twice, and nothing is remembered per key. The first pass over a store
// reminds of all that are within the longest time, each once.
type reminders struct {
	log      *slog.Logger
	reminded func(days int) // counts one
	stop     <-chan struct{}

	keys *keyindex.Keys // of the last pass
	last time.Time      // when that was
}

// run makes a pass each hour, and one as soon as the keys of a store are loaded, until
// stop is closed.
func (r *reminders) run(current func() *Snapshot) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			s := current()
			r.pass(s.stores.keys.records, s.cfg.Keys.MaxAge, time.Now())
		}
	}
}

// pass reminds of keys, if it is time to.
func (r *reminders) pass(keys *keyindex.Keys, maxAge time.Duration, now time.Time) {
	last := r.last
	if keys != r.keys {
		last = time.Time{}
	}
	if !last.IsZero() && now.Sub(last) < remindEvery {
		return
	}
	lines := 0
	loaded := keys.Expiring(now, now.AddDate(0, 0, reminderDays[0]), maxAge, func(key keyindex.ExpiringKey) bool {
		if days := dueReminder(key.Expires, last, now); days > 0 {
			r.reminded(days)
			if lines++; lines <= maxReminderLines {
				r.remind(&key, days)
			}
		}
		return !r.stopped()
	})
	if !loaded {
		return
	}
	if lines > maxReminderLines {
		r.log.Warn("more keys expire soon", "keys", lines-maxReminderLines)
	}
	r.keys, r.last = keys, now
}

// dueReminder returns the number of days within which the key came of its expiry since
// the last pass, the lowest of several; 0 is none.
func dueReminder(expires, last, now time.Time) (days int) {
	for _, n := range reminderDays {
		if at := expires.Add(-time.Duration(n) * day); at.After(last) && !at.After(now) {
			days = n
		}
	}
	return days
}

func (r *reminders) remind(key *keyindex.ExpiringKey, days int) {
	attrs := []any{"key_id", key.ID, "days", days, "expires", key.Expires.UTC().Format(time.RFC3339)}
	for _, a := range [...]struct{ name, value string }{{"key_name", key.Name}, {"user", key.User}, {"project", key.Project}} {
		if a.value != "" {
			attrs = append(attrs, a.name, a.value)
		}
	}
	r.log.Warn("a key expires soon", attrs...)
}

func (r *reminders) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}
