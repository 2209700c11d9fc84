// Package reminder reminds operators of the keys that expire soon, in the log and in a metric.
package reminder

import (
	"log/slog"
	"time"

	"keyward/keyindex"
)

const day = 24 * time.Hour

// Days are how many days before a key expires its operators are reminded, the
// longest time first.
var Days = [...]int{30, 7, 1}

const (
	remindEvery = time.Hour
	// maxReminderLines bounds the log lines of one pass: of a million keys, all may
	// expire on one day.
	maxReminderLines = 100
)

// Config is what Reminders are made of. All are required.
type Config struct {
	Log      *slog.Logger
	Reminded func(days int) // counts one
	Stop     <-chan struct{}
}

// Reminders are the log lines and the counts of keys that expire soon. A pass reminds of
// the keys that came within one of the times since the pass before; so no key is
// reminded of twice, and nothing is remembered per key. The first pass over a store
// reminds of all that are within the longest time, each once.
type Reminders struct {
	Config

	keys *keyindex.Keys // of the last pass
	last time.Time      // when that was
}

// New returns Reminders.
func New(cfg Config) *Reminders { return &Reminders{Config: cfg} }

// Run makes a pass each hour, and one as soon as the keys of a store are loaded, until
// Stop is closed. current returns the keys in force, and how old one may be at most.
func (r *Reminders) Run(current func() (*keyindex.Keys, time.Duration)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-r.Stop:
			return
		case <-tick.C:
			keys, maxAge := current()
			r.pass(keys, maxAge, time.Now())
		}
	}
}

// pass reminds of keys, if it is time to.
func (r *Reminders) pass(keys *keyindex.Keys, maxAge time.Duration, now time.Time) {
	last := r.last
	if keys != r.keys {
		last = time.Time{}
	}
	if !last.IsZero() && now.Sub(last) < remindEvery {
		return
	}
	lines := 0
	loaded := keys.Expiring(now, now.AddDate(0, 0, Days[0]), maxAge, func(key keyindex.ExpiringKey) bool {
		if days := dueReminder(key.Expires, last, now); days > 0 {
			r.Reminded(days)
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
		r.Log.Warn("more keys expire soon", "keys", lines-maxReminderLines)
	}
	r.keys, r.last = keys, now
}

// dueReminder returns the number of days within which the key came of its expiry since
// the last pass, the lowest of several; 0 is none.
func dueReminder(expires, last, now time.Time) (days int) {
	for _, n := range Days {
		if at := expires.Add(-time.Duration(n) * day); at.After(last) && !at.After(now) {
			days = n
		}
	}
	return days
}

func (r *Reminders) remind(key *keyindex.ExpiringKey, days int) {
	attrs := []any{"key_id", key.ID, "days", days, "expires", key.Expires.UTC().Format(time.RFC3339)}
	for _, a := range [...]struct{ name, value string }{{"key_name", key.Name}, {"user", key.User}, {"project", key.Project}} {
		if a.value != "" {
			attrs = append(attrs, a.name, a.value)
		}
	}
	r.Log.Warn("a key expires soon", attrs...)
}

func (r *Reminders) stopped() bool {
	select {
	case <-r.Stop:
		return true
	default:
		return false
	}
}
