package keyindex

import (
	"time"

	"keyward/store/pacer"
)

// ExpiringKey is a key that will expire.
type ExpiringKey struct {
	ID, Name, User, Project string
	Expires                 time.Time // by itself, or by its age
}

// Expiring calls visit with each key that has not ended and expires after `after` and
// not after `until`. With a maxAge a key expires when its secret is that old, too. It
// walks all keys, at a pace that does not delay checks, and stops where visit returns
// false. It reports whether keys are loaded.
func (k *Keys) Expiring(after, until time.Time, maxAge time.Duration, visit func(ExpiringKey) bool) (loaded bool) {
	set := k.set.Load()
	if set == nil {
		return false
	}
	from, to, age := unixMicrosOf(after), unixMicrosOf(until), unixMicros(maxAge.Microseconds())
	pace, stopped := pacer.New(), false
	set.rows.each(func(r row) {
		if stopped {
			return
		}
		pace.Step()
		expires := r.expiresAtAge(age)
		if r.flag(rowRevoked|rowDeleted) || expires == 0 || expires <= from || expires > to {
			return
		}
		d := r.decoder()
		key := ExpiringKey{ID: d.id, Name: d.text(), User: d.text(), Project: d.text(), Expires: expires.time()}
		stopped = !visit(key)
	})
	return true
}

// expiresAtAge returns when the key expires, if its secret may get as old as age. An age of
// zero does not limit it, and a time of zero means never.
func (r row) expiresAtAge(age unixMicros) unixMicros {
	expires := r.expires()
	if age == 0 {
		return expires
	}
	if old := max(r.created(), r.rotated()) + age; expires == 0 || old < expires {
		return old
	}
	return expires
}
