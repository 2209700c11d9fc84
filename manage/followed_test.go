package manage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"keyward/authz"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres/source"
	"keyward/store/replica"
)

// followed is a Service over a database, and copies of its records.
type followed struct {
	*fixture
	*replica.Puller
	keys    *filestore.KeyFile
	users   *filestore.UserFile
	clients *filestore.ClientFile
}

func newFollowed(t *testing.T) *followed {
	f := &followed{fixture: newFixture(t)}
	stores := f.database()
	f.Service = New(Config{
		Stores: stores, Hasher: server.Hasher, Now: f.now,
		HashPassword: func(context.Context, authz.Secret) (string, error) { return testHash, nil },
	})
	dir := t.TempDir()
	path := func(kind replica.Kind) string { return filepath.Join(dir, string(kind)+".jsonl") }
	var files []replica.File
	for _, kind := range []replica.Kind{replica.Revocations, replica.Users, replica.Projects, replica.Clients, replica.Keys} {
		files = append(files, replica.File{Kind: kind, Path: path(kind)})
	}
	var err error
	f.Puller, err = replica.New(replica.Config{Name: "one", Source: source.New(f.db), Files: files, Hasher: server.Hasher})
	if err != nil {
		t.Fatal(err)
	}
	f.keys = filestore.NewKeyFile(filestore.KeyFileConfig{Path: path(replica.Keys), Hasher: server.Hasher})
	f.users = filestore.NewUserFile(filestore.UserFileConfig{Path: path(replica.Users)})
	f.clients = filestore.NewClientFile(filestore.ClientFileConfig{Path: path(replica.Clients), Hasher: server.Hasher})
	f.Start()
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// reaches holds that the copies have all changes as they were made.
func (f *followed) reaches(what string) {
	f.Helper()
	var last int64
	if err := f.db.Pool.QueryRow(f.ctx(), `SELECT coalesce(max(seq), 0) FROM journal`).Scan(&last); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.ctx(), 20*time.Second)
	defer cancel()
	if err := f.Await(ctx, last); err != nil {
		f.Fatalf("%s: %v, %+v", what, err, f.Puller.Status())
	}
	if s := f.Puller.Status(); s.Held != 0 || s.Lost.Total != 0 {
		f.Errorf("%s: taken for one that brings back what has ended: %+v", what, s)
	}
}

// TestChangesAreFollowed: a replica takes no change that managing makes for one that would
// bring back what has ended, also if the clock of the one console is behind that of the
// other.
func TestChangesAreFollowed(t *testing.T) {
	for _, clock := range [][2]time.Duration{{time.Hour, time.Hour}, {-time.Hour, -time.Hour}, {3 * time.Hour, -2 * time.Hour}} {
		t.Run(fmt.Sprint(clock), func(t *testing.T) { followChanges(t, clock) })
	}
}

func followChanges(t *testing.T, clock [2]time.Duration) {
	f := newFollowed(t)
	f.user("alice", nil)
	client, _ := f.client("Shop")
	key := f.key(store.KeyParams{User: "alice", Expires: f.now().Add(2400 * time.Hour)})
	ref, user, shop := KeyRef{ID: key.ID}, UserRef{Name: "alice"}, registry.ClientRef{ID: client.ID}
	yes, no, later := true, false, f.now().Add(4800*time.Hour)
	key1 := func(_ store.KeyRecord, err error) error { return err }
	key2 := func(_ store.KeyRecord, _ authz.Secret, err error) error { return err }
	user1 := func(_ store.UserRecord, err error) error { return err }
	client1 := func(_ store.Client, err error) error { return err }
	client2 := func(_ store.Client, _ authz.Secret, err error) error { return err }
	ctx, a := f.ctx(), f.admin
	for i, c := range []struct {
		name string
		do   func() error
	}{
		{"pause", func() error { return key1(f.PauseKey(ctx, a, ref)) }},
		{"resume", func() error { return key1(f.ResumeKey(ctx, a, ref)) }},
		{"rotate with a grace", func() error { return key2(f.RotateKey(ctx, a, ref, 96*time.Hour)) }},
		{"rotate again", func() error { return key2(f.RotateKey(ctx, a, ref, 96*time.Hour)) }},
		{"end the grace", func() error { return key1(f.EndGrace(ctx, a, ref)) }},
		{"rotate without a grace", func() error { return key2(f.RotateKey(ctx, a, ref, 0)) }},
		{"rotate once more", func() error { return key2(f.RotateKey(ctx, a, ref, 0)) }},
		{"extend", func() error { return key1(f.UpdateKey(ctx, a, ref, KeyPatch{Expires: &later})) }},
		{"disable", func() error { return user1(f.UpdateUser(ctx, a, user, UserPatch{Disabled: &yes})) }},
		{"enable", func() error { return user1(f.UpdateUser(ctx, a, user, UserPatch{Disabled: &no})) }},
		{"password", func() error { return f.SetPassword(ctx, a, user, authz.NewSecret("a long password"), false) }},
		{"end", func() error { return user1(f.EndUser(ctx, a, user)) }},
		{"delete", func() error { return f.DeleteUser(ctx, a, user) }},
		{"make again", func() error { return user1(f.CreateUser(ctx, a, UserInput{Name: "alice"})) }},
		{"delete again", func() error { return f.DeleteUser(ctx, a, user) }},
		{"set", func() error { return user1(f.SetUser(ctx, a, user, UserPatch{Disabled: &no}, nil)) }},
		{"disable client", func() error { return client1(f.UpdateClient(ctx, a, shop, registry.ClientPatch{Disabled: &yes})) }},
		{"enable client", func() error { return client1(f.UpdateClient(ctx, a, shop, registry.ClientPatch{Disabled: &no})) }},
		{"rotate client with a grace", func() error { return client2(f.RotateClient(ctx, a, shop, 96*time.Hour)) }},
		{"rotate client", func() error { return client2(f.RotateClient(ctx, a, shop, 0)) }},
		{"delete client", func() error { return f.DeleteClient(ctx, a, shop) }},
		{"revoke", func() error { return key1(f.RevokeKey(ctx, a, ref)) }},
		{"delete key", func() error { return key1(f.DeleteKey(ctx, a, ref)) }},
	} {
		f.pass(clock[i%2])
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f.reaches(c.name)
	}
	if r, err := f.users.Get(ctx, "alice"); err != nil || r.Disabled || r.ValidSince.IsZero() {
		t.Errorf("the user who was made again: %+v, %v", r, err)
	}
	if _, err := f.clients.Get(ctx, client.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the client: %v", err)
	}
	if r, err := f.keys.Get(ctx, key.ID); err == nil && !r.Ended() {
		t.Errorf("the key: %+v", r)
	}
}
