package access

import (
	"testing"
	"time"

	"keyward/store"
)

// TestMaySame: an actor is not the same once its key or user may do more or less, and
// the zero Actor is never the same.
func TestMaySame(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	key := func(change func(*store.KeyRecord)) *store.KeyRecord {
		r := &store.KeyRecord{ID: "k_1", User: "alice", Created: now, Scopes: &[]string{ScopeUsers, "posts:read"}}
		change(r)
		return r
	}
	user := func(scopes ...string) *store.UserRecord { return &store.UserRecord{Name: "alice", Scopes: scopes} }
	as := func(*store.KeyRecord) {}
	actor := KeyActor(key(as), user(ScopeUsers, "posts:read"), now, Call{})
	for what, c := range map[string]struct {
		now  Actor
		same bool
	}{
		"unchanged":            {KeyActor(key(as), user(ScopeUsers, "posts:read"), now, Call{}), true},
		"another description":  {KeyActor(key(func(r *store.KeyRecord) { r.Description = "x" }), user(ScopeUsers, "posts:read"), now, Call{}), true},
		"its user has no role": {KeyActor(key(as), user("posts:read"), now, Call{}), false},
		"fewer paths":          {KeyActor(key(func(r *store.KeyRecord) { r.Paths = []string{"/a"} }), user(ScopeUsers, "posts:read"), now, Call{}), false},
		"another key":          {KeyActor(key(func(r *store.KeyRecord) { r.ID = "k_2" }), user(ScopeUsers, "posts:read"), now, Call{}), false},
		"paused":               {KeyActor(key(func(r *store.KeyRecord) { r.Paused = &store.Pause{} }), user(ScopeUsers, "posts:read"), now, Call{}), false},
	} {
		if c.now.MaySame(actor) != c.same {
			t.Errorf("%s: %v", what, !c.same)
		}
	}
	if (Actor{}).MaySame(Actor{}) {
		t.Error("the zero Actor")
	}
}
