package verifier_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/race"
	"keyward/keyindex"
	"keyward/store"
)

// change appends the key's record with what edit makes of it.
func (f *apiKeyFixture) change(id string, edit func(*store.KeyRecord)) {
	f.t.Helper()
	r, err := f.journal.Get(context.Background(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	edit(&r)
	line, err := r.Line()
	if err != nil {
		f.t.Fatal(err)
	}
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(line); err != nil {
		f.t.Fatal(err)
	}
}

// from verifies the key as presented from an address.
func (f *apiKeyFixture) from(address, key string) authz.Reason {
	_, reason := f.verify(authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key), Client: authz.RawAddress(address)})
	return reason
}

// TestPausedKey: a pause is in force for keys that were verified before, and the
// secret works again when it is over.
func TestPausedKey(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, key := f.create(store.KeyParams{})
	f.eventually(key, authz.OK)
	f.change(id, func(r *store.KeyRecord) { r.Paused = &store.Pause{Since: f.now} })
	if p := f.eventually(key, authz.PausedKey); p == nil || p.KeyID != id {
		t.Error("the log does not have the id of the paused key")
	}
	if _, got := f.bearer(key); got != authz.PausedKey {
		t.Errorf("again: %s", got)
	}
	f.change(id, func(r *store.KeyRecord) { r.Paused = nil })
	f.eventually(key, authz.OK)
	f.change(id, func(r *store.KeyRecord) { r.Paused, r.Expires = &store.Pause{Since: f.now}, f.now })
	f.eventually(key, authz.ExpiredKey)
	f.change(id, func(r *store.KeyRecord) { r.Revoked = f.now })
	f.eventually(key, authz.RevokedKey)
}

// TestNotBefore: the time is compared for each request, in the cache too.
func TestNotBefore(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	f.now = f.now.Truncate(time.Second)
	begins := f.now.Add(time.Hour)
	id, key := f.create(store.KeyParams{})
	f.change(id, func(r *store.KeyRecord) { r.NotBefore = begins })
	if p := f.eventually(key, authz.NotYetValid); p == nil || p.KeyID != id {
		t.Error("the log does not have the id of the key")
	}
	for _, step := range []struct {
		at   time.Time
		want authz.Reason
	}{
		{begins.Add(-time.Microsecond), authz.NotYetValid}, {begins, authz.OK}, {begins.Add(time.Second), authz.OK},
		{begins.Add(-time.Second), authz.NotYetValid}, // the clock was set back, and the key is cached
	} {
		f.now = step.at
		if _, got := f.bearer(key); got != step.want {
			t.Errorf("%s after it begins: %s, want %s", step.at.Sub(begins), got, step.want)
		}
	}
}

// TestNetworksOfKey: the client's canonical address has to be in one of the networks,
// for each request, in the cache too.
func TestNetworksOfKey(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, key := f.create(store.KeyParams{})
	f.change(id, func(r *store.KeyRecord) {
		r.CIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	})
	if p := f.eventually(key, authz.AddressNotAllowed); p == nil || p.KeyID != id {
		t.Error("the log does not have the id of the key")
	}
	for range 3 { // uncached, then cached
		for address, want := range map[string]authz.Reason{
			"192.0.2.7": authz.OK, "::ffff:192.0.2.7": authz.OK, "192.0.2.7:4711": authz.OK, "[2001:db8::1%eth0]:443": authz.OK,
			"192.0.3.7": authz.AddressNotAllowed, "2001:db9::1": authz.AddressNotAllowed,
			"": authz.AddressNotAllowed, "unknown": authz.AddressNotAllowed, "192.0.2.7, 198.51.100.1": authz.AddressNotAllowed,
		} {
			if got := f.from(address, key); got != want {
				t.Errorf("%q: %s, want %s", address, got, want)
			}
		}
	}
	if _, got := f.verify(authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret(key), Client: "192.0.3.7"}); got != authz.AddressNotAllowed {
		t.Errorf("in a place of its own: %s", got)
	}
	f.change(id, func(r *store.KeyRecord) { r.CIDRs = nil })
	f.eventually(key, authz.OK)
}

// TestRestrictionsAtFirst: a key that was never verified before is refused as a cached
// one is, and of several reasons the one that says most is given.
func TestRestrictionsAtFirst(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		key  keyindex.Key
		want authz.Reason
	}{
		"the zero state":                 {keyindex.Key{Networks: keyindex.AnyNetwork()}, authz.RevokedKey},
		"a state that is not known":      {keyindex.Key{State: 99, Networks: keyindex.AnyNetwork()}, authz.RevokedKey},
		"the zero networks":              {keyindex.Key{State: keyindex.Active}, authz.AddressNotAllowed},
		"paused":                         {keyindex.Key{State: keyindex.Paused, Networks: keyindex.AnyNetwork()}, authz.PausedKey},
		"paused, from another network":   {keyindex.Key{State: keyindex.Paused}, authz.PausedKey},
		"not yet valid":                  {keyindex.Key{State: keyindex.Active, NotBefore: now.Add(time.Hour), Networks: keyindex.AnyNetwork()}, authz.NotYetValid},
		"expired, and not yet valid":     {keyindex.Key{State: keyindex.Active, NotBefore: now.Add(time.Hour), ValidUntil: now}, authz.ExpiredKey},
		"not yet valid, another network": {keyindex.Key{State: keyindex.Active, NotBefore: now.Add(time.Hour)}, authz.NotYetValid},
	} {
		err := verifyRepeatedly(t, &scriptedStore{keys: []keyindex.Key{test.key}}, nil, 1)
		if refused, ok := errors.AsType[*authz.CredentialError](err); !ok || refused.Reason != test.want || refused.Principal == nil {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

// TestRestrictedKeyIsCached: a key with networks is as fast as any other.
func TestRestrictedKeyIsCached(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, key := f.create(store.KeyParams{})
	f.eventually(key, authz.OK)
	f.change(id, func(r *store.KeyRecord) { r.CIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	f.eventually(key, authz.AddressNotAllowed)
	c := authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key), Client: "192.0.2.7"}
	f.verify(c)
	first, _ := f.verify(c)
	if again, _ := f.verify(c); again == nil || again != first {
		t.Error("the later look-up did not come from the cache")
	}
	if n := testing.AllocsPerRun(100, func() { // the detector of races allocates
		if _, err := f.APIKey.Verify(context.Background(), &c, f.now); err != nil {
			t.Fatal(err)
		}
	}); n > 0 && !race.Detector {
		t.Errorf("%v allocations", n)
	}
}

// TestAgeOfRotatedKey: the age of a key counts from its last rotation.
func TestAgeOfRotatedKey(t *testing.T) {
	const maxAge = 90 * 24 * time.Hour
	f := newAPIKeyFixture(t, options{maxAge: maxAge})
	f.now = f.now.Truncate(time.Second)
	id, key := f.create(store.KeyParams{})
	rotated := f.now.Add(30 * 24 * time.Hour)
	f.change(id, func(r *store.KeyRecord) { r.Rotated = rotated })
	f.now = f.now.Add(maxAge + time.Hour)
	p := f.eventually(key, authz.OK)
	if !p.AcceptedUntil.Equal(rotated.Add(maxAge)) || !p.ExpiresAt.IsZero() {
		t.Errorf("accepted until %s, expires %s", p.AcceptedUntil, p.ExpiresAt)
	}
	f.now = rotated.Add(maxAge)
	if _, got := f.bearer(key); got != authz.ExpiredKey {
		t.Errorf("older than max_age: %s", got)
	}
}
