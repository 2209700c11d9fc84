package postgres

import (
	"errors"
	"math"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// TestSpoiltNumber: whatever a login of a console that was taken over wrote in place of
// the last number, no number is given twice, and a change is refused where there is none.
func TestSpoiltNumber(t *testing.T) {
	for what, c := range map[string]struct {
		set    string
		number int64
		want   int64 // of the next change; zero: it is refused
	}{
		"none":             {`UPDATE meta SET last_seq = $1::bigint`, 0, 4},
		"below zero":       {`UPDATE meta SET last_seq = $1::bigint`, -9, 4},
		"earlier":          {`UPDATE meta SET last_seq = $1::bigint`, 2, 4},
		"later":            {`UPDATE meta SET last_seq = $1::bigint`, 20, 21},
		"last of all":      {`UPDATE meta SET last_seq = $1::bigint`, math.MaxInt64, 0},
		"one before":       {`UPDATE meta SET last_seq = $1::bigint`, math.MaxInt64 - 1, 0},
		"a later line":     {`INSERT INTO journal (seq, epoch, kind, line) VALUES ($1::bigint, gen_random_uuid(), 'key', '{}')`, 9, 10},
		"the last line":    {`INSERT INTO journal (seq, epoch, kind, line) VALUES ($1::bigint, gen_random_uuid(), 'key', '{}')`, math.MaxInt64, 0},
		"cut, and earlier": {`WITH cut AS (DELETE FROM journal), gone AS (DELETE FROM audit) UPDATE meta SET last_seq = 0, cut_seq = $1::bigint`, 3, 4},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := server.Emptied(t)
			s := openStore(t, cfg)
			for range 3 {
				if err := create(t.Context(), s, aKey(t, "before")); err != nil {
					t.Fatal(err)
				}
			}
			postgrestest.Exec(t, cfg, `ALTER TABLE meta DISABLE TRIGGER USER`)
			postgrestest.Exec(t, cfg, `ALTER TABLE journal DISABLE TRIGGER USER`)
			defer postgrestest.Exec(t, cfg, `ALTER TABLE meta ENABLE TRIGGER USER`)
			defer postgrestest.Exec(t, cfg, `ALTER TABLE journal ENABLE TRIGGER USER`)
			postgrestest.Exec(t, cfg, c.set, c.number)
			r := aKey(t, "after")
			err := create(t.Context(), s, r)
			if c.want == 0 {
				if !errors.Is(err, errNumbers) || !errors.Is(err, database.ErrSchema) {
					t.Errorf("%v", err)
				}
				if _, err := s.Keys().Get(t.Context(), r.ID); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("the key is there: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			all, _, err := s.Audit().List(t.Context(), store.AuditFilter{Record: r.ID}, store.Page{})
			if err != nil || len(all) != 1 || all[0].Seq != c.want || all[0].Outcome != audit.Done {
				t.Errorf("%+v, %v, want number %d", all, err, c.want)
			}
		})
	}
}
