package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// An entry of the audit log is written before its change. The change keeps the entry's
// number, so that an entry can be closed whose change was not made: the process died in
// between. Changes are made one after the other, so the last number is enough.

// keepEntry keeps the number of the entry of the change that tx makes; zero is a change
// without one.
func keepEntry(ctx context.Context, tx *sql.Tx, seq int64) error {
	if seq == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO entry (one, seq) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq`, seq)
	return err
}

// Made reports whether the last change with an entry is that of the entry with the number.
func (db *DB) Made(seq int64) (bool, error) {
	var last int64
	err := db.reading.QueryRow(`SELECT seq FROM entry`).Scan(&last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading the last entry's number: %w", err)
	}
	return last == seq, nil
}

// File is the state file of a process that has it open only to ask for the last change.
type File struct{ Path string }

// Made is [DB.Made]. A file that is missing, damaged or of a newer version says nothing of
// the change: true, so that its entry stays as it is and later ones can be written.
func (f File) Made(seq int64) (made bool, err error) {
	if _, err := os.Lstat(f.Path); errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	db, err := Open(context.Background(), Config{Path: f.Path})
	if err == nil {
		made, err = db.Made(seq)
		err = errors.Join(err, db.Close())
	}
	if err != nil && !isBusy(err) {
		return true, nil
	}
	return made, err
}
