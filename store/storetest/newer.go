package storetest

import (
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
)

// testNewerKey: what a newer version wrote ends a key if it must be understood, and
// is else ignored; until a later record that is understood.
func testNewerKey(f *fixture) {
	one, secret := f.create("one")
	sink := follow(f, f.KeyFeed, (*store.KeyRecord).Clone)
	says := func(wanted func(*store.KeyRecord) bool) func() bool {
		return func() bool {
			return sink.says(func(r *store.KeyRecord) bool { return r.ID == one.ID }, wanted)
		}
	}
	f.NewerKey(fmt.Sprintf(`{"id":%q,"must":["frozen"],"frozen":true,"hash":"%x","at":"2026-01-02T00:00:00Z","seq":7}`, one.ID, one.Hash[:]))
	f.within("a record that is not supported", says(func(r *store.KeyRecord) bool { return r.Unsupported && r.Seq == 7 }))
	got, err := f.Keys.Get(f.ctx(), one.ID)
	if err != nil || !got.Unsupported || got.Ended() {
		f.Errorf("%+v, %v", got, err)
	}
	f.wantIDs("listed", store.KeyFilter{}, store.Page{}, one.ID)
	f.wantSecret("of a record that is not supported", secret, one.ID, nil)
	if _, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, 0); !errors.Is(err, store.ErrUnsupported) {
		f.Errorf("rotated: %v", err)
	}
	revoked, err := f.Keys.Revoke(f.ctx(), one.ID, got.Version())
	if err != nil || !revoked.Ended() || !revoked.Unsupported || revoked.Unknown != got.Unknown {
		f.Errorf("%+v, %v", revoked, err)
	}
	f.within("its revocation", says(func(r *store.KeyRecord) bool { return r.Unsupported && r.Ended() }))
	f.NewerKey(fmt.Sprintf(`{"id":%q,"team":"ops","format":"keyward","hash":"%x","created":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`, one.ID, one.Hash[:]))
	f.within("a record that is supported", says(func(r *store.KeyRecord) bool { return !r.Unsupported && r.Unknown == `"team":"ops"` }))
	rotated, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, 0)
	if err != nil || rotated.Unknown != `"team":"ops"` {
		f.Errorf("%+v, %v", rotated, err)
	}
	f.wantKey(rotated)
}

func testNewerUser(f *fixture) {
	yes, no := true, false
	f.set("alice", records.UserPatch{})
	sink := follow(f, f.UserFeed, (*store.UserRecord).Clone)
	f.NewerUser(`{"name":"alice","must":["cidrs"],"cidrs":[],"created":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`)
	f.within("a record that is not supported", func() bool {
		return sink.says(func(r *store.UserRecord) bool { return r.Name == "alice" }, func(r *store.UserRecord) bool { return r.Unsupported })
	})
	password := authz.NewSecret("correct horse")
	for what, patch := range map[string]records.UserPatch{"enabled": {Disabled: &no}, "given a password": {Disabled: &yes, Password: &password}} {
		if _, err := f.Users.Set(f.ctx(), "alice", store.AnyVersion, patch); !errors.Is(err, store.ErrUnsupported) {
			f.Errorf("%s: %v", what, err)
		}
	}
	if r := f.set("alice", records.UserPatch{Disabled: &yes}); !r.Disabled || !r.Unsupported || r.Unknown == "" {
		f.Errorf("%+v", r)
	}
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); err != nil {
		f.Error(err)
	}
	f.wantNames("after a deletion", store.UserFilter{}, store.Page{})
}

func testNewerRevocation(f *fixture) {
	sink := follow(f, f.RevocationFeed, func(r *store.Revocation) store.Revocation { return *r })
	if _, err := f.Revocations.RevokeToken(f.ctx(), "first"); err != nil {
		f.Fatal(err)
	}
	f.NewerRevocation(`{"jti":"t","origin":"console","at":"2026-01-02T00:00:00Z"}`)
	f.NewerRevocation(`{"grant":"g","at":"2026-01-02T00:00:00Z"}`)
	f.within("one with another member", func() bool {
		return sink.says(func(r *store.Revocation) bool { return r.TokenID == "t" }, func(r *store.Revocation) bool { return !r.Unsupported })
	})
	f.within("one of another kind", func() bool {
		return sink.says(func(r *store.Revocation) bool {
			return r.Unsupported && r.TokenID == "" && r.Subject == "" && r.IssuedBefore.IsZero()
		}, func(*store.Revocation) bool { return true })
	})
	f.wantRevocations("listed", store.RevocationFilter{TokenID: "t"}, store.Page{}, "t")
}
