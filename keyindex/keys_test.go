package keyindex

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz/urlpath"
	"keyward/internal/race"
	"keyward/store"
)

// keysOf puts records in force without a file.
func keysOf(t testing.TB, records ...store.KeyRecord) (*Keys, *keySet) {
	t.Helper()
	keys := NewKeys()
	set := keys.Begin().(*keySet)
	keys.Commit(set)
	for _, r := range records {
		apply(t, keys, set, r)
	}
	return keys, set
}

// loadedAt is when the records of the tests were made.
var loadedAt = time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)

// digestNumber returns digests that look as random as real ones.
func digestNumber(i int) apikey.Digest { return sha256.Sum256(fmt.Append(nil, i)) }

func apply(t testing.TB, keys *Keys, set *keySet, r store.KeyRecord) {
	t.Helper()
	if _, err := set.Apply(&r); err != nil {
		t.Fatal(err)
	}
	keys.Applied()
}

func keyNumber(i int, digest apikey.Digest) store.KeyRecord {
	return store.KeyRecord{
		ID: fmt.Sprintf("k_%012d", i), Name: fmt.Sprint("key ", i), Format: apikey.FormatKeyward, Hash: digest,
		Created: loadedAt, At: loadedAt,
	}
}

func TestFind(t *testing.T) {
	now := loadedAt.Add(time.Hour)
	at := func(d time.Duration) time.Time { return now.Add(d).Truncate(time.Microsecond) }
	expiry := at(30 * time.Minute)
	scopes := []string{"write", "read"}
	full := keyNumber(1, apikey.Digest{1})
	full.User, full.Project, full.Rate = "alice", "p1", "5/m"
	full.Paths, full.Scopes, full.Expires = []string{"/a", "/b"}, &scopes, expiry
	full.Previous = []store.PreviousSecret{
		{Hash: apikey.Digest{2}, Until: at(time.Minute)}, {Hash: apikey.Digest{3}, Until: at(0)}, {Hash: apikey.Digest{4}, Until: at(time.Hour)},
	}
	revoked := keyNumber(2, apikey.Digest{5})
	revoked.Revoked = loadedAt
	revoked.Previous = []store.PreviousSecret{{Hash: apikey.Digest{6}, Until: at(time.Hour)}}
	deleted := keyNumber(3, apikey.Digest{7})
	deleted.Deleted = loadedAt
	keys, _ := keysOf(t, full, revoked, deleted)

	for _, c := range []struct {
		what   string
		digest byte
		id     string
		state  State
		ends   time.Time
	}{
		{"the current secret", 1, full.ID, Active, expiry},
		{"a previous one within its grace", 2, full.ID, Active, at(time.Minute)},
		{"a previous one at the end of its grace", 3, full.ID, Revoked, at(0)},
		{"a previous one whose grace is longer than the key's life", 4, full.ID, Active, expiry},
		{"a revoked key", 5, revoked.ID, Revoked, time.Time{}},
		{"a previous secret of a revoked key", 6, revoked.ID, Revoked, at(time.Hour)},
		{"a deleted key", 7, deleted.ID, Revoked, time.Time{}},
	} {
		key, err := keys.Find(apikey.Digest{c.digest}, now)
		if err != nil || key.ID != c.id || key.State != c.state || !key.ValidUntil.Equal(c.ends) {
			t.Errorf("%s: %+v, %v", c.what, key, err)
		}
		if previous := strings.HasPrefix(c.what, "a previous"); key.Previous != previous {
			t.Errorf("%s: a rotation replaced it: %v", c.what, key.Previous)
		}
	}
	if _, err := keys.Find(apikey.Digest{8}, now); err != ErrUnknown {
		t.Errorf("an unknown digest: %v", err)
	}
	key, _ := keys.Find(apikey.Digest{1}, now)
	if key.Name != full.Name || key.User != "alice" || key.Project != "p1" || key.Rate != "5/m" ||
		!key.HasScopes || key.Scopes.String() != "read write" || key.Paths.IsAnyPath() ||
		!key.Created.Equal(loadedAt.Truncate(time.Microsecond)) || !key.Expires.Equal(expiry) {
		t.Errorf("%+v", key)
	}
	key, _ = keys.Find(apikey.Digest{5}, now)
	if key.HasScopes || key.Scopes.String() != "" || !key.Paths.IsAnyPath() {
		t.Errorf("without lists: %+v", key)
	}
	if got := keys.Counts(now, time.Hour); got != (Counts{Expiring: 1, Revoked: 1}) {
		t.Errorf("%+v", got)
	}
	if got := keys.Counts(expiry, time.Hour); got != (Counts{Expired: 1, Revoked: 1}) {
		t.Errorf("%+v", got)
	}
	if got := keys.Counts(now, time.Minute); got != (Counts{Rotating: 1, Revoked: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestZeroValuesDeny(t *testing.T) {
	keys := NewKeys()
	if _, err := keys.Find(apikey.Digest{}, loadedAt); err != ErrNotLoaded {
		t.Errorf("nothing loaded: %v", err)
	}
	if keys.Ready() == nil || keys.IsCurrent(Revision{}) || keys.HasRawKeys() {
		t.Error("nothing loaded, and yet something is known")
	}
	keys, _ = keysOf(t, keyNumber(1, apikey.Digest{1}))
	if keys.IsCurrent(Revision{}) {
		t.Error("the zero revision is current")
	}
	if (Key{}).State == Active {
		t.Error("the zero key is active")
	}
	if _, err := keys.Find(apikey.Digest{}, loadedAt); err != ErrUnknown {
		t.Errorf("the zero digest: %v", err)
	}
}

func TestRevisions(t *testing.T) {
	one, two := keyNumber(1, apikey.Digest{1}), keyNumber(2, apikey.Digest{2})
	keys, set := keysOf(t, one, two)
	first, _ := keys.Find(one.Hash, loadedAt)
	second, _ := keys.Find(two.Hash, loadedAt)
	one.Revoked = loadedAt
	apply(t, keys, set, one)
	if keys.IsCurrent(first.Revision) || !keys.IsCurrent(second.Revision) {
		t.Error("a change of one key is not a change of this key alone")
	}
	keys.Commit(keys.Begin())
	if keys.IsCurrent(second.Revision) {
		t.Error("another file, and the old one's key is current")
	}
}

func TestIrregular(t *testing.T) {
	raw := keyNumber(1, apikey.Digest{1})
	raw.Format = apikey.FormatRaw
	keys, set := keysOf(t, raw, keyNumber(2, apikey.Digest{2}))
	if !keys.HasRawKeys() {
		t.Error("a raw key is not seen")
	}
	raw.Deleted = loadedAt
	apply(t, keys, set, raw)
	if keys.HasRawKeys() {
		t.Error("a deleted key is still seen")
	}
}

// Lists that are too many to be shared stand in the row.
func TestInlineAccess(t *testing.T) {
	keys, set := keysOf(t)
	for i := range maxInterned + 10 {
		r := keyNumber(i, apikey.Digest{byte(i), byte(i >> 8), 1})
		r.Paths = []string{fmt.Sprint("/p", i)}
		apply(t, keys, set, r)
	}
	for _, i := range []int{0, maxInterned - 1, maxInterned, maxInterned + 9} {
		key, err := keys.Find(apikey.Digest{byte(i), byte(i >> 8), 1}, loadedAt)
		if err != nil || key.ID != fmt.Sprintf("k_%012d", i) {
			t.Fatal(key, err)
		}
		for j, want := range map[int]bool{i: true, i + 1: false} {
			path, err := urlpath.Parse(fmt.Sprint("/p", j), urlpath.Rules{})
			if err != nil {
				t.Fatal(err)
			}
			if key.Paths.Contains(path) != want {
				t.Errorf("key %d at /p%d", i, j)
			}
		}
	}
}

// While a key is rotated without grace, no check sees a moment at which both
// secrets or neither are good. Rows move all the while, and the index grows.
func TestRotateIsAtomic(t *testing.T) {
	const others = 300
	rotations := 1500
	if race.Detector {
		rotations = 300
	}
	digests := make([]apikey.Digest, others+rotations+3)
	for i := range digests {
		digests[i] = digestNumber(i)
	}
	digest := func(i int) apikey.Digest { return digests[others+i] }
	keys, set := keysOf(t, keyNumber(0, digest(0)))
	for i := 1; i <= others; i++ {
		apply(t, keys, set, keyNumber(i, digest(-i)))
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	active := func(i int) bool {
		d := digest(i)
		key, err := keys.Find(d, loadedAt)
		return err == nil && key.State == Active
	}
	var begun, ended atomic.Int64 // rotations: secret i is there when ended is i
	for range 2 {
		wg.Go(func() {
			for looks := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				i := int(ended.Load())
				if next := active(i + 1); next && active(i) {
					t.Errorf("secrets %d and %d are both good", i, i+1)
					return
				}
				old, next := active(i), active(i+1)
				if !old && !next && int(begun.Load()) <= i+1 {
					t.Errorf("neither secret %d nor %d is good", i, i+1)
					return
				}
				if looks++; looks%16 != 0 {
					continue
				}
				n := 1 + i%others
				d := digest(-n)
				if key, err := keys.Find(d, loadedAt); err != nil || key.ID != fmt.Sprintf("k_%012d", n) {
					t.Errorf("another key is found as %s (%v)", key.ID, err)
					return
				}
			}
		})
	}
	for i := 1; i <= rotations; i++ {
		r := keyNumber(0, digest(i))
		if i%2 == 0 { // else the old secret is forgotten at once
			r.Previous = []store.PreviousSecret{{Hash: digest(i - 1), Until: loadedAt}}
		}
		for n := range 20 { // the more the index has to change, the longer the moment in between
			r.Previous = append(r.Previous, store.PreviousSecret{Hash: apikey.Digest{byte(n), byte(i % 2), 7}, Until: loadedAt})
		}
		begun.Store(int64(i))
		apply(t, keys, set, r)
		ended.Store(int64(i))
		o := keyNumber(1+i%others, digest(-1-i%others))
		o.Name = fmt.Sprint("changed ", i)
		apply(t, keys, set, o)
	}
	close(done)
	wg.Wait()
	if n := slices.IndexFunc(*set.rows.slabs.Load(), func(slab []byte) bool { return slab == nil }); n < 0 {
		t.Error("no slab was emptied: the test does not move rows")
	}
	live := 0
	for _, slab := range *set.rows.slabs.Load() {
		live += len(slab)
	}
	if live > 4*slabSize {
		t.Errorf("%d bytes for %d keys", live, others+1)
	}
}

func TestIndex(t *testing.T) {
	x := newIndex()
	find := func(hash, slot uint32) bool {
		s := x.search(hash)
		for got, ok := s.next(); ok; got, ok = s.next() {
			if got == slot {
				return true
			}
		}
		return false
	}
	const n = 1000
	hash := func(i uint32) uint32 { return i % 140 * 64 } // many of the same, all close together
	for i := range uint32(n) {
		x.add(hash(i), i)
	}
	for i := uint32(0); i < n; i += 2 {
		x.remove(hash(i), i)
	}
	for i := range uint32(n) {
		if find(hash(i), i) != (i%2 == 1) {
			t.Fatalf("slot %d", i)
		}
	}
	size := len(*x.table.Load())
	for i := range uint32(20 * n) { // adding and removing must not make it grow forever
		x.add(i, i)
		x.remove(i, i)
	}
	if now := len(*x.table.Load()); now > size {
		t.Errorf("%d cells, then %d", size, now)
	}
}

// TestRateOf: the rate of the record in force, by the key's id.
func TestRateOf(t *testing.T) {
	rated, plain := keyNumber(1, apikey.Digest{1}), keyNumber(2, apikey.Digest{2})
	rated.Rate = "5/m"
	keys, set := keysOf(t, rated, plain)
	for id, want := range map[string]string{rated.ID: "5/m", plain.ID: "", "k_000000000009": "", "k_1": "", "": "", rated.ID + "0": ""} {
		if got, known := keys.RateOf(id); got != want || known != (id == rated.ID || id == plain.ID) {
			t.Errorf("%q: %q %t, want %q", id, got, known, want)
		}
	}
	rated.Rate, rated.Hash = "7/d", apikey.Digest{3} // rotated, with another rate
	apply(t, keys, set, rated)
	if got, _ := keys.RateOf(rated.ID); got != "7/d" {
		t.Errorf("after a change: %q", got)
	}
	if got, known := NewKeys().RateOf(rated.ID); got != "" || known {
		t.Errorf("before the file was read: %q", got)
	}
}
