package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// aKey is the record of a new key.
func aKey(t testing.TB, name string) store.KeyRecord {
	t.Helper()
	random, err := apikey.NewID(randomness{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	return store.KeyRecord{ID: random.String(), Name: name, User: "alice", Format: apikey.FormatKeyward, Hash: newHasher().Digest(random.String()), Created: now, At: now}
}

func anEntry(action audit.Action, target string) *audit.Entry {
	return &audit.Entry{Actor: "alice", Action: action, Record: target, Via: audit.ViaAPI, Outcome: audit.Done}
}

// create makes a key by an edit, which does not say what failed.
func create(ctx context.Context, s *Store, r store.KeyRecord) error {
	return s.KeyEditor().Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
		if _, err := tx.Get(r.ID); !errors.Is(err, store.ErrNotFound) {
			return errors.New("the key is there, or cannot be read")
		}
		made := r
		tx.Put(&made, anEntry(audit.KeyCreate, r.ID))
		return nil
	})
}

// wantMade holds how often the database has the change that made the key.
func wantMade(t *testing.T, what string, s *Store, id string, want int) {
	t.Helper()
	counts := map[string]int{}
	for table, sql := range map[string]string{
		"keys":    `SELECT count(*) FROM key_record WHERE id = $1::text`,
		"journal": `SELECT count(*) FROM journal WHERE kind = 'key' AND strpos(line, $1::text) > 0`,
		"audit":   `SELECT count(*) FROM audit WHERE target = $1::text`,
		"secrets": `SELECT count(*) FROM key_secret WHERE key_id = $1::text`,
	} {
		var n int
		if err := s.db.Pool.QueryRow(t.Context(), sql, id).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != want {
			counts[table] = n
		}
	}
	if len(counts) > 0 {
		t.Errorf("%s: %v, want %d of each", what, counts, want)
	}
}

// TestCutConnections: whichever message or answer is lost, the change is made once.
func TestCutConnections(t *testing.T) {
	cfg := server.Database(t)
	direct := openStore(t, cfg)
	for _, answerLost := range []bool{false, true} {
		commits := 0
		for at := 1; ; at++ {
			f := &postgrestest.Faults{At: at, AnswerLost: answerLost}
			cut := cfg
			cut.Dial = f.Dial
			s := openStore(t, cut)
			r := aKey(t, "cut")
			if err := create(t.Context(), s, r); err != nil {
				t.Errorf("message %d, answer lost %v: %v", at, answerLost, err)
			}
			wantMade(t, "after a cut", direct, r.ID, 1)
			if f.Cut() == nil {
				break
			}
			if bytes.Contains(f.Cut(), []byte("commit")) {
				commits++
			}
		}
		if commits != 1 {
			t.Errorf("%d commits were cut", commits)
		}
	}
	var last int64
	var numbers int
	if err := direct.db.Pool.QueryRow(t.Context(), `SELECT max(seq), count(*) FROM journal`).Scan(&last, &numbers); err != nil || last != int64(numbers) {
		t.Errorf("%d lines, the last has number %d, %v", numbers, last, err)
	}
}

// commitAt is the number of the message that commits.
func commitAt(t *testing.T, cfg database.Config) int {
	t.Helper()
	for at := 1; ; at++ {
		f := &postgrestest.Faults{At: at}
		cut := cfg
		cut.Dial = f.Dial
		if err := create(t.Context(), openStore(t, cut), aKey(t, "search")); err != nil || f.Cut() == nil {
			t.Fatalf("no message commits: %v", err)
		}
		if bytes.Contains(f.Cut(), []byte("commit")) {
			return at
		}
	}
}

// TestUncertainCommit: a commit without an answer, and a database that cannot be asked
// about it, is an error that says so. The change may be there, and is not made twice.
func TestUncertainCommit(t *testing.T) {
	cfg := server.Database(t)
	direct := openStore(t, cfg)
	at := commitAt(t, cfg)
	for answerLost, want := range map[bool]int{false: 0, true: 1} {
		f := &postgrestest.Faults{At: at, AnswerLost: answerLost, Then: true}
		cut := cfg
		cut.Dial = f.Dial
		r := aKey(t, "uncertain")
		if err := create(t.Context(), openImpatient(t, cut), r); !errors.Is(err, store.ErrUncertain) {
			t.Errorf("answer lost %v: %v", answerLost, err)
		}
		wantMade(t, "an uncertain change", direct, r.ID, want)
	}
}

// TestCanceledCommit: a caller that gives up while the commit is not answered does not
// make the outcome uncertain.
func TestCanceledCommit(t *testing.T) {
	cfg := server.Database(t)
	direct := openStore(t, cfg)
	at := commitAt(t, cfg)
	for answerLost, want := range map[bool]int{false: 0, true: 1} {
		ctx, cancel := context.WithCancel(t.Context())
		f := &postgrestest.Faults{At: at, AnswerLost: answerLost}
		cut := cfg
		cut.Dial = func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := f.Dial(dialing, network, address)
			return &cancelingConn{conn, f, cancel}, err
		}
		r := aKey(t, "canceled")
		err := create(ctx, openStore(t, cut), r)
		if made := err == nil; made != (want == 1) || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("answer lost %v: %v", answerLost, err)
		}
		wantMade(t, "of a caller that has given up", direct, r.ID, want)
		cancel()
	}
}

// cancelingConn cancels when the cut has come.
type cancelingConn struct {
	net.Conn
	faults *postgrestest.Faults
	cancel func()
}

func (c *cancelingConn) Write(message []byte) (int, error) {
	n, err := c.Conn.Write(message)
	if c.faults.Cut() != nil {
		c.cancel()
	}
	return n, err
}

// TestStoppedWriter: a writer that stops within its transaction holds the others up no
// longer than the database allows, and changes nothing after that.
func TestStoppedWriter(t *testing.T) {
	cfg := server.Database(t)
	s := openStore(t, cfg)
	r, other := aKey(t, "stopped"), aKey(t, "other")
	err := s.KeyEditor().Edit(t.Context(), func(tx store.Tx[store.KeyRecord]) error {
		if tx.(*recordTx[store.KeyRecord]).writer.last > 0 {
			return errors.New("called again")
		}
		postgrestest.Exec(t, cfg, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`)
		if err := create(t.Context(), openStore(t, cfg), other); err != nil {
			t.Error(err)
		}
		tx.Put(&r, anEntry(audit.KeyCreate, r.ID))
		return nil
	})
	if err == nil || err.Error() != "called again" {
		t.Errorf("%v", err)
	}
	wantMade(t, "of a writer whose connection was ended", s, r.ID, 0)
	wantMade(t, "of the other", s, other.ID, 1)
}

// TestLookUpWaits: as long as another transaction has the lock, which may be that of the
// change, it is not known whether the change was made.
func TestLookUpWaits(t *testing.T) {
	cfg := server.Database(t)
	s := openImpatient(t, cfg)
	err := s.write(t.Context(), func(w *writer) error {
		made, err := s.wasMade(t.Context(), 1, w.id)
		if err == nil {
			t.Errorf("made %v, while the transaction is open", made)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, aKey(t, "another change")); err != nil {
		t.Fatal(err)
	}
	if made, err := s.wasMade(t.Context(), 1, newChangeID()); err != nil || made {
		t.Errorf("the number of another change: made %v, %v", made, err)
	}
}

// TestRepeatedOperation: what one operation changes is changed by one attempt, even if
// another was begun because this one was taken for dead.
func TestRepeatedOperation(t *testing.T) {
	s := openStore(t, server.Database(t))
	attempt := func(operation string, outcome audit.Outcome) error {
		r := aKey(t, "one")
		return s.KeyEditor().Edit(t.Context(), func(tx store.Tx[store.KeyRecord]) error {
			for range 2 { // all entries of an attempt are of the operation
				e := anEntry(audit.KeyCreate, r.ID)
				e.Operation, e.Outcome = operation, outcome
				tx.Put(&r, e)
			}
			return nil
		})
	}
	for _, c := range []struct {
		operation string
		want      error
	}{{"k_1", nil}, {"k_1", store.ErrDuplicate}, {"k_2", nil}, {"", nil}, {"", nil}} {
		if err := attempt(c.operation, audit.Done); !errors.Is(err, c.want) {
			t.Errorf("operation %q: %v, want %v", c.operation, err, c.want)
		}
	}
	refused := anEntry(audit.KeyCreate, "k_3")
	refused.Operation, refused.Outcome = "k_3", audit.Refused
	if err := s.Audit().Append(t.Context(), refused); err != nil {
		t.Fatal(err)
	}
	if err := attempt("k_3", audit.Done); err != nil {
		t.Errorf("after a refused attempt: %v", err)
	}
}
