package replica

import (
	"bytes"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// TestInherit: what ended by the line seen stays ended by the line that takes its place.
func TestInherit(t *testing.T) {
	at, later := base.Add(time.Hour), base.Add(2*time.Hour)
	key := func(change func(*store.KeyRecord)) []byte {
		r := &store.KeyRecord{ID: keyID(1), User: "alice", Format: apikey.FormatKeyward, Hash: apikey.Digest{1}, Created: base, At: base}
		change(r)
		return encode(r, (*store.KeyRecord).Line)
	}
	user := func(change func(*store.UserRecord)) []byte {
		r := &store.UserRecord{Name: "alice", Created: base, At: base}
		change(r)
		return encode(r, (*store.UserRecord).Line)
	}
	project := func(change func(*store.Project)) []byte {
		r := &store.Project{Name: "p", Created: base, At: base}
		change(r)
		return encode(r, (*store.Project).Line)
	}
	client := func(change func(*store.Client)) []byte {
		r := &store.Client{ID: "c_000000000001", Hash: apikey.Digest{1}, Created: base, At: base}
		change(r)
		return encode(r, (*store.Client).Line)
	}
	for _, c := range []struct {
		name             string
		kind             Kind
		seen, next, want []byte // want nil: next stays as it is
	}{
		{"key active", Keys, key(func(*store.KeyRecord) {}), key(func(*store.KeyRecord) {}), nil},
		{"key revoked", Keys, key(func(r *store.KeyRecord) { r.Revoked = at }), key(func(*store.KeyRecord) {}), key(func(r *store.KeyRecord) { r.Revoked = at })},
		{"key deleted", Keys, key(func(r *store.KeyRecord) { r.Deleted = at }), key(func(*store.KeyRecord) {}), key(func(r *store.KeyRecord) { r.Deleted = at })},
		{"key revoked by both", Keys, key(func(r *store.KeyRecord) { r.Revoked = at }), key(func(r *store.KeyRecord) { r.Revoked = later }), nil},
		{
			"secret rotated away", Keys,
			key(func(r *store.KeyRecord) { r.Rotated, r.Hash = at, apikey.Digest{2} }), key(func(r *store.KeyRecord) { r.Name = "n" }),
			key(func(r *store.KeyRecord) { r.Name, r.Rotated, r.Hash = "n", at, apikey.Digest{2} }),
		},
		{"secret rotated later", Keys, key(func(r *store.KeyRecord) { r.Rotated = at }), key(func(r *store.KeyRecord) { r.Rotated, r.Hash = later, apikey.Digest{3} }), nil},
		{"user disabled", Users, user(func(r *store.UserRecord) { r.Disabled = true }), user(func(*store.UserRecord) {}), user(func(r *store.UserRecord) { r.Disabled = true })},
		{
			"user deleted", Users, user(func(r *store.UserRecord) { r.Deleted, r.At = at, at }), user(func(r *store.UserRecord) { r.Scopes = []string{"s"} }),
			user(func(r *store.UserRecord) { r.Deleted, r.At, r.Gen = at, at, 1 }),
		},
		{
			"another user of the name", Users,
			user(func(r *store.UserRecord) { r.Deleted, r.At = at, at }), user(func(r *store.UserRecord) { r.Created, r.At, r.ValidSince = later, later, at }), nil,
		},
		{
			"another user who does not know", Users,
			user(func(r *store.UserRecord) { r.Deleted, r.At = at, at }), user(func(r *store.UserRecord) { r.Created, r.At = later, later }),
			user(func(r *store.UserRecord) { r.Created, r.At, r.ValidSince = later, later, at }),
		},
		{
			"user deleted, and earlier in the database", Users,
			user(func(r *store.UserRecord) { r.Deleted, r.At = at, at }), user(func(r *store.UserRecord) { r.Deleted = base }),
			user(func(r *store.UserRecord) { r.Deleted, r.At = at, at }),
		},
		{"tokens ended", Users, user(func(r *store.UserRecord) { r.Gen = 4 }), user(func(r *store.UserRecord) { r.Gen = 3 }), user(func(r *store.UserRecord) { r.Gen = 4 })},
		{"sessions ended", Users, user(func(r *store.UserRecord) { r.SessionsSince = at }), user(func(*store.UserRecord) {}), user(func(r *store.UserRecord) { r.SessionsSince = at })},
		{"project deleted", Projects, project(func(r *store.Project) { r.Deleted = at }), project(func(*store.Project) {}), project(func(r *store.Project) { r.Deleted, r.At = at, at })},
		{"another project", Projects, project(func(r *store.Project) { r.Deleted = at }), project(func(r *store.Project) { r.Created, r.At = later, later }), nil},
		{"client disabled", Clients, client(func(r *store.Client) { r.Disabled = true }), client(func(*store.Client) {}), client(func(r *store.Client) { r.Disabled = true })},
		{
			"client deleted", Clients, client(func(r *store.Client) { r.Deleted = at }), client(func(*store.Client) {}),
			[]byte(`{"id":"c_000000000001","created":"2026-01-01T00:00:00Z","deleted":"2026-01-01T01:00:00Z","gen":1,"at":"2026-01-01T01:00:00Z"}`),
		},
		{"client's tokens ended", Clients, client(func(r *store.Client) { r.Gen = 2 }), client(func(*store.Client) {}), client(func(r *store.Client) { r.Gen = 2 })},
	} {
		end, _ := endingOf(c.kind, time.Now)
		trim := func(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\n")) }
		a, err := end.about(trim(c.seen))
		must(t, err)
		got, err := end.inherit(trim(c.seen), trim(c.next), true)
		if err != nil || !bytes.Equal(got, trim(c.want)) {
			t.Errorf("%s: got\n%s, %v\nwant\n%s", c.name, got, err, c.want)
		}
		if c.want != nil && !a.ends {
			t.Errorf("%s: a snapshot would not be compared with the line", c.name)
		}
	}
}

// TestOrphan: a record that the database lacks has ended.
func TestOrphan(t *testing.T) {
	for kind, line := range map[Kind]string{
		Keys:        `{"id":"k_000000000001","format":"keyward","hash":"0100000000000000000000000000000000000000000000000000000000000000","created":"2026-01-01T00:00:00Z","rotated":"2026-01-01T01:00:00Z","at":"2026-01-01T01:00:00Z"}`,
		Users:       `{"name":"alice","created":"2026-01-01T00:00:00Z","gen":2,"at":"2026-01-01T00:00:00Z"}`,
		Projects:    `{"name":"p","created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`,
		Clients:     `{"id":"c_000000000001","public":true,"created":"2026-01-01T00:00:00Z","gen":2,"at":"2026-01-01T00:00:00Z"}`,
		Revocations: `{"jti":"t","at":"2026-01-01T00:00:00Z"}`,
	} {
		end, _ := endingOf(kind, time.Now)
		got, err := end.orphan([]byte(line))
		must(t, err)
		held := marked(got)
		if a, err := end.about(held); err != nil || !a.ended || !isHeld(held) || !bytes.Equal(unmarked(held), got) {
			t.Errorf("%s: %s, %v", kind, held, err)
		}
	}
}
