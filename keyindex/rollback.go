package keyindex

import (
	"fmt"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/pacer"
)

// Undone returns an error if keys that ended are active in next, or secrets that
// were rotated away, or if next has none of the keys that are active now. Keys
// that are left out are ended by that, which is how other programs revoke them. One
// whose record is not supported counts as ended.
func (k *Keys) Undone(g store.Generation[store.KeyRecord], now time.Time) error {
	old, next := k.set.committed.Load(), g.(*keySet)
	if old == nil {
		return nil
	}
	at := unixMicrosOf(now)
	active, kept, revived := 0, false, 0
	pace := pacer.New()
	old.rows.each(func(r row) {
		pace.Step()
		if r.flag(rowRevoked | rowDeleted) {
			if next.active(r.id()) || next.accepts(r.digest(), at) {
				revived++
			}
			return
		}
		active++
		if !kept {
			_, kept = next.slotOf(r.id())
		}
		for i := range r.previous() {
			if r.previousUntil(i) <= at && next.accepts(r.previousDigest(i), at) {
				revived++
			}
		}
	})
	switch {
	case revived > 0:
		return fmt.Errorf("revoked keys or secrets are active again: %d", revived)
	case active > 0 && !kept:
		return fmt.Errorf("none of the %d keys in force is left", active)
	}
	return nil
}

// active reports whether the set has the key, and it did not end.
func (s *keySet) active(id *apikey.ID) bool {
	slot, known := s.slotOf(id)
	if !known {
		return false
	}
	held, _ := s.rows.get(slot)
	return !held.flag(rowRevoked | rowDeleted)
}

// accepts reports whether the secret with this digest is one of a key that did not end.
func (s *keySet) accepts(d *apikey.Digest, at unixMicros) bool {
	held, _, until, found := s.find(d)
	return found && until > at && !held.flag(rowRevoked|rowDeleted)
}

// Undone returns an error if keys and tokens that ended with a deleted user
// count for a user of that name in next, or if next has none of the users.
func (u *Users) Undone(g store.Generation[store.UserRecord], _ time.Time) error {
	old, next := u.set.committed.Load(), g.(*userSet)
	if old == nil {
		return nil
	}
	old.mu.RLock()
	defer old.mu.RUnlock()
	revived := 0
	for name, since := range old.since {
		if _, there := next.byName[name]; there && since.After(next.since[name]) {
			revived++
		}
	}
	if revived > 0 {
		return fmt.Errorf("users without their valid_since: %d", revived)
	}
	return old.noneKept(next)
}

// noneKept returns an error if next has none of the users.
func (s *userSet) noneKept(next *userSet) error {
	for name := range s.byName {
		if _, kept := next.byName[name]; kept {
			return nil
		}
	}
	if len(s.byName) == 0 {
		return nil
	}
	return fmt.Errorf("none of the %d users in force is left", len(s.byName))
}

// Undone returns an error if next lacks a revocation that has not ended.
func (v *Revocations) Undone(g store.Generation[store.Revocation], now time.Time) error {
	old, next := v.set.Load(), g.(*revocationSet)
	if old == nil {
		return nil
	}
	old.mu.RLock()
	defer old.mu.RUnlock()
	missing, at := 0, unixMicrosOf(now)
	count := func(held, kept cutoff) {
		if held.missingIn(kept, at) {
			missing++
		}
	}
	for jti, held := range old.tokens {
		count(held, next.tokens[jti])
	}
	for sid, held := range old.sessions {
		count(held, next.sessions[sid])
	}
	for subject, held := range old.subjects {
		if held.before.After(next.all.before) {
			count(held, next.subjects[subject])
		}
	}
	count(old.all, next.all)
	if old.unsupported.Load() && !next.unsupported.Load() {
		missing++
	}
	if missing == 0 {
		return nil
	}
	return fmt.Errorf("revocations in force are missing: %d", missing)
}
