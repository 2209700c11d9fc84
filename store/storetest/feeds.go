package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"keyward/authz"
	"keyward/internal/records"
	"keyward/store"
)

// soon is how long a feed may take at most, on a busy machine.
const soon = 10 * time.Second

// within waits until what is wanted holds.
func (f *fixture) within(what string, holds func() bool) {
	f.Helper()
	for start := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(start) > soon {
			f.Fatalf("not within %v: %s", soon, what)
		}
	}
}

// follow follows the feed until the test ends. Of a store without feeds it returns nil.
func follow[R any](f *fixture, feed store.Feed[R], copyOf func(*R) R) *recorder[R] {
	f.Helper()
	if feed == nil {
		return nil
	}
	into := &recorder[R]{copyOf: copyOf}
	follower, err := feed.Follow(into)
	if err != nil {
		f.Fatal(err)
	}
	into.follower = follower
	f.Cleanup(func() { _ = follower.Close() })
	return into
}

// recorder is a sink that keeps what it was given: of the last generation, in order.
type recorder[R any] struct {
	follower store.Follower
	copyOf   func(*R) R

	mu      sync.Mutex
	inForce *recorded[R]
}

// recorded is a generation of a recorder.
type recorded[R any] struct {
	of      *recorder[R]
	records []R
}

func (r *recorder[R]) Begin() store.Generation[R] { return &recorded[R]{of: r} }

func (r *recorder[R]) Commit(next store.Generation[R]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inForce = next.(*recorded[R])
}

func (r *recorder[R]) Undone(store.Generation[R], time.Time) error { return nil }

func (r *recorder[R]) Applied() {}

func (r *recorder[R]) Fault(error) {}

func (g *recorded[R]) Apply(record *R) (time.Time, error) {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	g.records = append(g.records, g.of.copyOf(record))
	return time.Time{}, nil
}

// last returns the last of the records in force that is wanted.
func (r *recorder[R]) last(wanted func(*R) bool) (last R, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inForce == nil {
		return last, false
	}
	for _, record := range slices.Backward(r.inForce.records) {
		if wanted(&record) {
			return record, true
		}
	}
	return last, false
}

// says reports whether the last of the records in force that is selected is wanted. A
// store without feeds, whose recorder is nil, puts none in force.
func (r *recorder[R]) says(selected, wanted func(*R) bool) bool {
	if r == nil {
		return true
	}
	got, found := r.last(selected)
	return found && wanted(&got)
}

// ready reports whether a generation is in force.
func (r *recorder[R]) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inForce != nil
}

func testKeyFeed(f *fixture) {
	one, _ := f.create("one")
	sink := follow(f, f.KeyFeed, (*store.KeyRecord).Clone)
	says := func(want store.KeyRecord) bool {
		got, found := sink.last(func(r *store.KeyRecord) bool { return r.ID == want.ID })
		return found && got.Version() == want.Version() && got.Hash == want.Hash && len(got.Previous) == len(want.Previous)
	}
	if !says(one) {
		f.Error("what was there before is not in force when Follow returns")
	}
	two, _ := f.create("two")
	f.within("a key that was made", func() bool { return says(two) })
	f.pass(time.Second)
	rotated, _, err := f.Keys.Rotate(f.ctx(), one.ID, store.AnyVersion, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.within("a rotation", func() bool { return says(rotated) })
	revoked, err := f.Keys.Revoke(f.ctx(), two.ID, store.AnyVersion)
	if err != nil {
		f.Fatal(err)
	}
	f.within("a revocation", func() bool { return says(revoked) })
	deleted, err := f.Keys.Delete(f.ctx(), one.ID, store.AnyVersion)
	if err != nil {
		f.Fatal(err)
	}
	f.within("a deletion", func() bool { return says(deleted) })
	sink.follower.Reload()
	three, _ := f.create("three")
	f.within("a key that was made during a reload", func() bool { return says(three) && says(revoked) })
}

func testUserFeed(f *fixture) {
	yes, password := true, authz.NewSecret("correct horse")
	f.set("alice", records.UserPatch{Password: &password})
	sink := follow(f, f.UserFeed, (*store.UserRecord).Clone)
	says := func(wanted func(*store.UserRecord) bool) bool {
		got, found := sink.last(func(r *store.UserRecord) bool { return r.Name == "alice" })
		return found && wanted(&got)
	}
	if !says(func(r *store.UserRecord) bool { return r.Password != "" && r.Password != password.Reveal() }) {
		f.Error("what was there before is not in force, with the password's hash, when Follow returns")
	}
	f.set("alice", records.UserPatch{Disabled: &yes})
	f.within("a disabled user", func() bool { return says(func(r *store.UserRecord) bool { return r.Disabled && r.Password != "" }) })
	f.pass(time.Second)
	if err := f.Users.Delete(f.ctx(), "alice", store.AnyVersion, time.Time{}); err != nil {
		f.Fatal(err)
	}
	f.within("a deleted user", func() bool { return says(func(r *store.UserRecord) bool { return r.Deleted.Equal(f.now()) }) })
}

func testRevocationFeed(f *fixture) {
	revoke := func(jti string) {
		f.Helper()
		if _, err := f.Revocations.RevokeToken(f.ctx(), jti); err != nil {
			f.Fatal(err)
		}
	}
	sink := follow(f, f.RevocationFeed, func(r *store.Revocation) store.Revocation { return *r })
	if !sink.ready() {
		f.Error("a store without revocations is not ready")
	}
	for i := range 3 {
		jti := fmt.Sprint("t", i)
		revoke(jti)
		f.within("a revocation", func() bool {
			_, found := sink.last(func(r *store.Revocation) bool { return r.TokenID == jti })
			return found
		})
	}
}

func testFeedClose(f *fixture) {
	one, _ := f.create("one")
	sink := follow(f, f.KeyFeed, (*store.KeyRecord).Clone)
	for range 2 {
		if err := sink.follower.Close(); err != nil {
			f.Fatal(err)
		}
	}
	sink.follower.Reload()
	if _, err := f.Keys.Revoke(f.ctx(), one.ID, store.AnyVersion); err != nil {
		f.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if got, found := sink.last(func(r *store.KeyRecord) bool { return r.ID == one.ID }); !found || got.Ended() {
		f.Errorf("after Close: %+v", got)
	}
}
