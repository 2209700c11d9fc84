package keyindex

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

func networksOf(texts ...string) (networks []netip.Prefix) {
	for _, text := range texts {
		networks = append(networks, netip.MustParsePrefix(text))
	}
	return networks
}

// TestNetworks: an address is compared with each network of the key.
func TestNetworks(t *testing.T) {
	n := Networks{bytes: string(appendNetworks(nil, networksOf("192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"))[2:])}
	for text, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.3.1": false, "198.51.100.7": true, "198.51.100.8": false,
		"2001:db8:ffff::1": true, "2001:db9::": false, "": false, "unknown": false,
	} {
		if got := n.Contains(authz.ParseAddress(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
		if (Networks{}).Contains(authz.ParseAddress(text)) {
			t.Errorf("%q is in the zero Networks", text)
		}
		if !AnyNetwork().Contains(authz.ParseAddress(text)) {
			t.Errorf("%q is not in any network", text)
		}
	}
	inside, outside := authz.ParseAddress("198.51.100.7"), authz.ParseAddress("2001:db9::")
	if n := testing.AllocsPerRun(100, func() {
		if !n.Contains(inside) || n.Contains(outside) {
			t.Error("not the networks")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestOptionalMembers: each combination of what few keys have, with and without
// lists that the row has itself.
func TestOptionalMembers(t *testing.T) {
	later := loadedAt.Add(time.Hour).Truncate(time.Microsecond)
	for combination := range 64 {
		has := func(bit int) bool { return combination&(1<<bit) != 0 }
		r := keyNumber(1, apikey.Digest{1})
		r.User, r.Rate, r.Paths = "alice", "5/m", []string{"/a"}
		want, since := Key{State: Active}, r.Created.Truncate(time.Microsecond)
		if has(0) {
			r.Rotated, since = later, later
		}
		if has(1) {
			r.NotBefore, want.NotBefore = later, later
		}
		if has(2) {
			r.Paused, want.State = &store.Pause{Since: later}, Paused
		}
		if has(3) {
			r.CIDRs = networksOf("192.0.2.0/24", "2001:db8::/32")
		}
		if has(4) {
			r.Previous = []store.PreviousSecret{{Hash: apikey.Digest{2}, Until: later}}
		}
		keys, set := keysOf(t)
		if has(5) {
			set.access.numbers = map[string]uint16{}
			full := make([]*accessRules, maxInterned+1)
			set.access.compiled.Store(&full)
		}
		apply(t, keys, set, r)
		got, err := keys.Find(apikey.Digest{1}, loadedAt)
		if err != nil || got.State != want.State || !got.SecretSince().Equal(since) || !got.NotBefore.Equal(want.NotBefore) ||
			got.User != "alice" || got.Rate != "5/m" || got.Paths.IsAnyPath() || !got.Created.Equal(r.Created.Truncate(time.Microsecond)) {
			t.Errorf("combination %b: %+v (%v)", combination, got, err)
		}
		for address, in := range map[string]bool{"192.0.2.9": true, "2001:db8::9": true, "192.0.3.9": !has(3), "": !has(3)} {
			if got.Networks.Contains(authz.ParseAddress(address)) != in || got.Networks.IsAny() == has(3) {
				t.Errorf("combination %b: %q", combination, address)
			}
		}
		if rate, known := keys.RateOf(r.ID); rate != "5/m" || !known {
			t.Errorf("combination %b: rate %q", combination, rate)
		}
	}
}

// TestRotatedBeforeItWasMade: a time before the key's own does not make it older.
func TestRotatedBeforeItWasMade(t *testing.T) {
	r := keyNumber(1, apikey.Digest{1})
	r.Rotated = r.Created.Add(-time.Hour)
	keys, _ := keysOf(t, r)
	if got, err := keys.Find(r.Hash, loadedAt); err != nil || !got.SecretSince().Equal(got.Created) {
		t.Errorf("%+v (%v)", got, err)
	}
}

// TestRowsWithoutOptionalMembers: a key pays only for what it has.
func TestRowsWithoutOptionalMembers(t *testing.T) {
	id, _ := apikey.ParseID([]byte("k_000000000001"))
	r := keyNumber(1, apikey.Digest{1})
	r.Description, r.Owner, r.CreatedBy, r.Ending = "what it is for", "billing", "alice", &store.Act{By: "alice"}
	texts := len(r.Name) + 4
	if n := len(appendRow(nil, 0, &id, &r, 1)); n != 72+texts || rowHead != 72 {
		t.Errorf("%d bytes, of them %d fixed", n, rowHead)
	}
	r.Paused = &store.Pause{Since: loadedAt}
	if n := len(appendRow(nil, 0, &id, &r, 1)); n != 72+texts {
		t.Errorf("paused: %d bytes", n)
	}
	r.Rotated, r.CIDRs = loadedAt, networksOf("192.0.2.0/24")
	if n := len(appendRow(nil, 0, &id, &r, 1)); n != 72+texts+8+2+2+4 {
		t.Errorf("with a time and a network: %d bytes", n)
	}
}

// TestCounts: a key is in one state, the one that says most about it.
func TestCounts(t *testing.T) {
	now, soon := loadedAt, 14*24*time.Hour
	for want, set := range map[Counts]func(*store.KeyRecord){
		{Active: 1}:      func(*store.KeyRecord) {},
		{Rotating: 1}:    func(r *store.KeyRecord) { r.Previous = []store.PreviousSecret{{Until: now.Add(time.Minute)}} },
		{Expiring: 1}:    func(r *store.KeyRecord) { r.Expires = now.Add(time.Hour) },
		{NotYetValid: 1}: func(r *store.KeyRecord) { r.NotBefore, r.Expires = now.Add(time.Minute), now.Add(time.Hour) },
		{Paused: 1}:      func(r *store.KeyRecord) { r.Paused, r.NotBefore = &store.Pause{Since: now}, now.Add(time.Minute) },
		{Expired: 1}:     func(r *store.KeyRecord) { r.Paused, r.Expires = &store.Pause{Since: now}, now },
		{Revoked: 1}:     func(r *store.KeyRecord) { r.Paused, r.Revoked = &store.Pause{Since: now}, now },
		{}:               func(r *store.KeyRecord) { r.Deleted = now },
	} {
		r := keyNumber(1, apikey.Digest{1})
		set(&r)
		keys, _ := keysOf(t, r)
		if got := keys.Counts(now, soon); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	ended := keyNumber(1, apikey.Digest{1})
	ended.Previous, ended.NotBefore = []store.PreviousSecret{{Until: now}}, now
	keys, _ := keysOf(t, ended)
	if got := keys.Counts(now, soon); got != (Counts{Active: 1}) {
		t.Errorf("a grace that is over, and a key that begins now: %+v", got)
	}
}

// BenchmarkFindRestricted is Find for a key that has all that few keys have.
func BenchmarkFindRestricted(b *testing.B) {
	r := keyNumber(1, apikey.Digest{1})
	r.CIDRs, r.Rotated, r.NotBefore = networksOf("192.0.2.0/24", "2001:db8::/32"), loadedAt, loadedAt
	for name, r := range map[string]store.KeyRecord{"none": keyNumber(1, apikey.Digest{1}), "all": r} {
		keys, _ := keysOf(b, r)
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := keys.Find(r.Hash, loadedAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
