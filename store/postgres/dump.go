package postgres

import (
	"context"
	"fmt"

	"keyward/apikey"
)

// Dump is one consistent view of all that a database has.
type Dump struct{ w *writer }

// Dump calls do with what the database has, in which that hasher hashes secrets. No
// writer has its turn meanwhile.
func (s *Store) Dump(ctx context.Context, hasher *apikey.Hasher, do func(*Dump) error) error {
	return s.alone(ctx, hasher, func(w *writer) error { return do(&Dump{w}) })
}

// LastSeq is the number of what was changed last.
func (d *Dump) LastSeq() int64 { return d.w.meta.LastSeq }

// dumped are the statements that read the lines of a kind. Lines are in the order of
// their numbers. That of revocations without one is the order in which they were added.
var dumped = map[string]string{
	"key":        `SELECT line FROM key_record ORDER BY seq, id`,
	"user":       `SELECT line FROM user_record ORDER BY seq, id`,
	"project":    `SELECT line FROM project ORDER BY seq, id`,
	"client":     `SELECT line FROM client ORDER BY seq, id`,
	"revocation": `SELECT line FROM revocation ORDER BY number`,
}

// Records calls visit for the line of each record of the kind, deleted ones too.
func (d *Dump) Records(kind string, visit func(line []byte) error) error {
	sql, known := dumped[kind]
	if !known {
		return fmt.Errorf("no records of the kind %q", kind)
	}
	return d.each(sql, visit)
}

// Entries calls visit for the line of each entry of the audit log, in the order of their
// numbers. That of a change which is under way is as if the change were made.
func (d *Dump) Entries(visit func(line []byte) error) error {
	return d.each(`SELECT line FROM audit ORDER BY seq`, visit)
}

func (d *Dump) each(sql string, visit func(line []byte) error) error {
	rows, err := d.w.tx.Query(d.w.ctx, sql)
	if err != nil {
		return d.w.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows.RawValues()[0]); err != nil {
			return err
		}
	}
	return d.w.fail(rows.Err())
}
