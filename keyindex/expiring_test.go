package keyindex

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// TestExpiring: keys that end by themselves within a time, by their expiry or by their
// age, whichever is first.
func TestExpiring(t *testing.T) {
	now, hour := loadedAt.Truncate(time.Microsecond), time.Hour
	number := 0
	keys, set := keysOf(t)
	add := func(edit func(*store.KeyRecord)) string {
		number++
		r := keyNumber(number, apikey.Digest{byte(number)})
		r.Created, r.User, r.Project = now, "alice", "p"
		edit(&r)
		apply(t, keys, set, r)
		return r.ID
	}
	never := add(func(*store.KeyRecord) {})
	soon := add(func(r *store.KeyRecord) { r.Expires = now.Add(hour) })
	paused := add(func(r *store.KeyRecord) { r.Expires, r.Paused = now.Add(hour), &store.Pause{Since: now} })
	later := add(func(r *store.KeyRecord) { r.Expires = now.Add(hour + 1000) })
	add(func(r *store.KeyRecord) { r.Expires = now })
	add(func(r *store.KeyRecord) { r.Expires, r.Revoked = now.Add(hour), now })
	add(func(r *store.KeyRecord) { r.Expires, r.Deleted = now.Add(hour), now })
	old := add(func(r *store.KeyRecord) { r.Created = now.Add(-hour / 2) })
	rotated := add(func(r *store.KeyRecord) { r.Created, r.Rotated = now.Add(-hour/2), now })

	for maxAge, want := range map[time.Duration][]string{
		0:        {soon, paused},
		hour:     {never, soon, paused, later, old, rotated},
		hour / 2: {never, soon, paused, later, rotated},
		2 * hour: {soon, paused},
	} {
		var got []string
		loaded := keys.Expiring(now, now.Add(hour), maxAge, func(k ExpiringKey) bool {
			if k.User != "alice" || k.Project != "p" || k.Name == "" || !k.Expires.After(now) || k.Expires.After(now.Add(hour)) {
				t.Errorf("%+v", k)
			}
			got = append(got, k.ID)
			return true
		})
		if slices.Sort(got); !loaded || !slices.Equal(got, want) {
			t.Errorf("max age %s: %v, want %v", maxAge, got, want)
		}
	}
	visited := 0
	keys.Expiring(now, now.Add(hour), 0, func(ExpiringKey) bool { visited++; return false })
	if visited != 1 {
		t.Errorf("%d keys after it was stopped", visited)
	}
	if NewKeys().Expiring(now, now.Add(hour), 0, func(k ExpiringKey) bool { t.Error(fmt.Sprint(k)); return true }) {
		t.Error("nothing loaded")
	}
}
