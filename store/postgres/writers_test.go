package postgres

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store"
	"keyward/store/audit"
)

// randomness is crypto/rand.Reader.
type randomness struct{}

func (randomness) Read(b []byte) (int, error) { return crand.Read(b) }

// TestThreeWriters: three writers, with delays and refusals inside their transactions.
// A reader that goes on from the last number never misses a line that comes later, and in
// the end the lines amount to the records.
func TestThreeWriters(t *testing.T) {
	const writers, changes = 3, 40
	cfg := server.Database(t)
	ids := make([]store.KeyRecord, 5)
	first := openStore(t, cfg)
	for i := range ids {
		ids[i] = aKey(t, "shared")
		if err := create(t.Context(), first, ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var lines []string
	var reader, all sync.WaitGroup
	reader.Go(func() { lines = readJournal(t, first, done) })
	for range writers {
		s := openStore(t, cfg)
		all.Go(func() {
			for range changes {
				changeAtRandom(t, s, ids[rand.N(len(ids))].ID)
			}
		})
	}
	all.Wait()
	close(done)
	reader.Wait()
	latest := map[string]string{}
	k := keyKind()
	for _, line := range lines {
		r, err := k.decode([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		latest[r.ID] = line
	}
	for _, r := range ids {
		var line string
		if err := first.db.Pool.QueryRow(t.Context(), `SELECT line FROM key_record WHERE id = $1::text`, r.ID).Scan(&line); err != nil || line != latest[r.ID] {
			t.Errorf("%v: the record is\n%s\nand the last line\n%s", err, line, latest[r.ID])
		}
	}
}

var errRefused = errors.New("refused")

// changeAtRandom changes a key, or is refused, after some time within the transaction.
func changeAtRandom(t *testing.T, s *Store, id string) {
	err := s.KeyEditor().Edit(t.Context(), func(tx store.Tx[store.KeyRecord]) error {
		r, err := tx.Get(id)
		if err != nil {
			return err
		}
		time.Sleep(rand.N(2 * time.Millisecond))
		r.Description, r.At = time.Now().String(), s.now()
		tx.Put(&r, anEntry(audit.KeyUpdate, id))
		if rand.N(5) == 0 {
			return errRefused
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRefused) {
		t.Error(err)
	}
}

// readJournal reads on from the last number until there is no more. All numbers are
// those of lines here, so that each comes directly after the one before.
func readJournal(t *testing.T, s *Store, done <-chan struct{}) []string {
	var lines []string
	for last := int64(0); ; {
		ended := false
		select {
		case <-done:
			ended = true
		default:
		}
		rows, err := s.db.Pool.Query(context.Background(), `SELECT seq, line FROM journal WHERE seq > $1::bigint ORDER BY seq`, last)
		if err != nil {
			t.Error(err)
			return nil
		}
		var seq int64
		var line string
		read := len(lines)
		_, err = pgx.ForEachRow(rows, []any{&seq, &line}, func() error {
			if seq != last+1 {
				t.Errorf("%d comes after %d", seq, last)
			}
			last = seq
			lines = append(lines, line)
			return nil
		})
		if err != nil {
			t.Error(err)
			return nil
		}
		if ended && len(lines) == read {
			return lines
		}
	}
}

// TestNotified: a commit notifies with its number, and a change that is not made does not.
func TestNotified(t *testing.T) {
	s := openStore(t, server.Database(t))
	conn, err := s.db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `LISTEN keyward_journal`); err != nil {
		t.Fatal(err)
	}
	r := aKey(t, "one")
	err = s.KeyEditor().Edit(t.Context(), func(tx store.Tx[store.KeyRecord]) error {
		tx.Put(&r, anEntry(audit.KeyCreate, r.ID))
		return errRefused
	})
	if !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, r); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := conn.Conn().WaitForNotification(ctx)
	if err != nil || got.Payload != "1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestWritersThatRead: writers beyond the connections of the pool do not keep the one at
// work from reading by another connection.
func TestWritersThatRead(t *testing.T) {
	s := openStore(t, server.Database(t))
	r := aKey(t, "one")
	if err := create(t.Context(), s, r); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for range 4 * int(s.db.Pool.Config().MaxConns) {
		all.Go(func() {
			err := s.KeyEditor().Edit(t.Context(), func(store.Tx[store.KeyRecord]) error {
				_, err := s.Keys().Get(t.Context(), r.ID)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > writeTimeout/2 {
		t.Errorf("the writers waited for each other: %v", took)
	}
}
