package postgres

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/postgres/pgurl"
	"keyward/store/storetest"
)

var server = postgrestest.Server{Prepare: func(ctx context.Context, url string) error {
	u, err := pgurl.Parse(url)
	if err != nil {
		return err
	}
	return Migrate(ctx, Config{URL: u, Hasher: newHasher()})
}}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

func newHasher() *apikey.Hasher { return apikey.NewHasher(authz.NewSecret("a pepper of sixteen")) }

// configOf is of a new database with the schema.
func configOf(t testing.TB) Config {
	t.Helper()
	u, err := pgurl.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	return Config{URL: u, Hasher: newHasher()}
}

func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		cfg := configOf(t)
		cfg.Now = now
		s := openStore(t, cfg)
		return storetest.Store{
			Keys: s.Keys(), Users: s.Users(), Revocations: s.Revocations(), Projects: s.Projects(), Clients: s.Clients(),
			KeyEditor: s.KeyEditor(), UserEditor: s.UserEditor(), RevocationEditor: s.RevocationEditor(),
			ProjectEditor: s.ProjectEditor(), ClientEditor: s.ClientEditor(),
			Audit: s.Audit(), Hasher: cfg.Hasher,

			NewerKey: newer(t, s, keyKind()), NewerUser: newer(t, s, userKind()), NewerRevocation: newer(t, s, revocationKind()),
			NewerProject: newer(t, s, projectKind()), NewerClient: newer(t, s, clientKind()),
		}
	})
}

// newer writes lines as a newer version does.
func newer[R any](t *testing.T, s *Store, k *kind[R]) func(line string) {
	return func(line string) {
		t.Helper()
		r, err := k.decode([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		err = s.write(t.Context(), func(w *writer) error {
			w.last++
			batch := &pgx.Batch{}
			sql, args := k.upsert([]*written[R]{{r, w.last, line}})
			batch.Queue(sql, args...)
			return w.send(batch)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

var _ store.KeyReader = (*keyReader)(nil)
