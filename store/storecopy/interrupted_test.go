package storecopy

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/internal/powercut"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres"
)

func filled(t testing.TB) (*postgres.Store, contents) {
	t.Helper()
	db := openDatabase(t, server.Database(t))
	c := inDatabase(db)
	key, _ := newKey(t, "alice")
	put(t, c.keyEditor, audit.KeyCreate, key.ID, key)
	put(t, c.userEditor, audit.UserCreate, "alice", &store.UserRecord{Name: "alice", Created: now, At: now})
	put(t, c.revocationEditor, audit.RevocationCreate, "", &store.Revocation{TokenID: "one", At: now})
	return db, c
}

// TestPowerCut: wherever a copy to files is interrupted, once or twice, with changes of
// the database in between, repeating it ends right.
func TestPowerCut(t *testing.T) {
	db, central := filled(t)
	for left := 0; ; left++ {
		rnd := rand.New(rand.NewPCG(uint64(left), 1))
		disk := powercut.New()
		disk.FailAfter(left)
		_, err := ToFiles(t.Context(), db, filesIn("/d", disk))
		if err == nil {
			break
		}
		for again := range 2 {
			disk = disk.Restart((left+again)%2 == 0, rnd)
			if left%5 == 0 {
				key, _ := newKey(t, "alice")
				put(t, central.keyEditor, audit.KeyCreate, key.ID, key)
			}
			if again == 0 {
				disk.FailAfter(rnd.IntN(200))
			}
			_, err = ToFiles(t.Context(), db, filesIn("/d", disk))
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("after a cut at call %d: %v", left, err)
		}
		same(t, "the target", inFiles(filesIn("/d", disk.Restart(false, rnd))), central)
		for name := range disk.Files {
			if strings.HasSuffix(name, writtenSuffix) {
				t.Errorf("after a cut at call %d: %s is left", left, name)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// TestChangedAfterInterruption: what a command has written to the files of an interrupted
// copy is not overwritten.
func TestChangedAfterInterruption(t *testing.T) {
	db, _ := filled(t)
	found := false
	for left := 0; !found; left++ {
		disk := powercut.New()
		disk.FailAfter(left)
		_, err := ToFiles(t.Context(), db, filesIn("/d", disk))
		if err == nil {
			t.Fatal("no cut left users without keys")
		}
		disk = disk.Restart(false, rand.New(rand.NewPCG(1, 1)))
		found = disk.Files["/d/users.jsonl"] != nil && disk.Files["/d/keys.jsonl"] == nil
		if !found {
			continue
		}
		files := inFiles(filesIn("/d", disk))
		put(t, files.userEditor, audit.UserCreate, "carol", &store.UserRecord{Name: "carol", Created: now, At: now})
		if _, err := ToFiles(t.Context(), db, filesIn("/d", disk)); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%v, want %v", err, ErrNotEmpty)
		}
		if r, err := files.users.Get(t.Context(), "carol"); err != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// cancelling is a context that ends after it was asked that often.
type cancelling struct {
	context.Context
	left int
}

func (c *cancelling) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return c.Context.Err()
}

// TestCancelled: a copy to a database that is interrupted leaves nothing there, and is
// done when it is repeated.
func TestCancelled(t *testing.T) {
	from := filesIn(t.TempDir(), nil)
	files := inFiles(from)
	files.fill(t)
	cfg := server.Database(t)
	db := openDatabase(t, cfg)
	interrupted := 0
	for left := 0; ; left += 7 {
		_, err := ToDatabase(&cancelling{t.Context(), left}, from, db)
		if err == nil {
			break
		}
		interrupted++
		var rows int
		query := `SELECT count(*) FROM (SELECT FROM snapshot UNION ALL SELECT FROM audit UNION ALL SELECT FROM key_secret UNION ALL SELECT FROM journal) AS everything`
		if err := postgrestest.Connect(t, cfg).QueryRow(t.Context(), query).Scan(&rows); err != nil || rows > 0 {
			t.Fatalf("%d rows are left, %v", rows, err)
		}
	}
	if interrupted < 5 {
		t.Errorf("only %d copies were interrupted", interrupted)
	}
	same(t, "the database", inDatabase(db), files)
}

// TestConnectionLost is the same for a connection that the database ends.
func TestConnectionLost(t *testing.T) {
	from := filesIn(t.TempDir(), nil)
	files := inFiles(from)
	files.fill(t)
	cfg := server.Database(t)
	db := openDatabase(t, cfg)
	postgrestest.Exec(t, cfg, `CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
		CREATE TRIGGER kill AFTER INSERT ON audit EXECUTE FUNCTION kill()`)
	if _, err := ToDatabase(t.Context(), from, db); err == nil {
		t.Fatal("no error")
	}
	postgrestest.Exec(t, cfg, `DROP TRIGGER kill ON audit`)
	if _, err := ToDatabase(t.Context(), from, db); err != nil {
		t.Fatal(err)
	}
	same(t, "the database", inDatabase(db), files)
}
