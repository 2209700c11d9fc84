package postgres

import (
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/postgres/database"
	"keyward/store/storetest"
)

var server = postgrestest.Server{Hasher: newHasher()}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

func newHasher() *apikey.Hasher { return apikey.NewHasher(authz.NewSecret("a pepper of sixteen")) }

func openStore(t testing.TB, cfg database.Config) *Store {
	t.Helper()
	return New(Config{DB: open(t, cfg)})
}

// openImpatient opens a Store that does not ask for long whether a change was made.
func openImpatient(t testing.TB, cfg database.Config) *Store {
	t.Helper()
	return New(Config{DB: open(t, cfg), settle: 300 * time.Millisecond})
}

func open(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		cfg := server.Database(t)
		s := New(Config{DB: open(t, cfg), Now: now})
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
