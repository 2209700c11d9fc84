package source

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

func open(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// create makes a key.
func create(ctx context.Context, s *postgres.Store) (store.KeyRecord, error) {
	id, err := apikey.NewID(rand.Reader)
	if err != nil {
		return store.KeyRecord{}, err
	}
	now := time.Now().UTC()
	r := store.KeyRecord{ID: id.String(), User: "alice", Format: apikey.FormatKeyward, Hash: server.Hasher.Digest(id.String()), Created: now, At: now}
	return r, s.KeyEditor().Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
		tx.Put(&r, &audit.Entry{Actor: "alice", Action: audit.KeyCreate, Record: r.ID, Via: audit.ViaAPI, Outcome: audit.Done})
		return nil
	})
}
