package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// An entry of the audit log is written before its change. The change keeps the entry's
// number, so that an entry can be closed whose change was not made: the process died in
// between.

const (
	// settleTimeout bounds how long the database is asked whether a change was made
	// whose commit it did not answer.
	settleTimeout = 10 * time.Second
	// settlePause is how long after a question without an answer the next one comes.
	settlePause = 100 * time.Millisecond
)

var errNotMade = errors.New("the change was not made: the connection was lost at its commit")

// keepEntry keeps the number of the entry of the change that tx makes; zero is a change
// without one.
func keepEntry(tx *transaction, seq int64) error {
	if seq == 0 {
		return nil
	}
	_, err := tx.exec(tx.dialect.keepEntry, seq)
	return err
}

// Made reports whether the change was made that has the entry with the number. In a file
// it is only asked for the last change with an entry.
func (db *DB) Made(seq int64) (bool, error) {
	q, done := db.storage.reader(context.Background())
	defer done()
	err := q.row(`SELECT seq FROM state_entry WHERE seq = ?1`, seq).Scan(new(int64))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading an entry's number: %w", err)
	}
	return true, nil
}

// lookUp returns nil if the change was made that has the entry, whose commit was not
// answered, so that the log does not deny it. It asks until the database answers. A
// change waits until the transaction of the other has ended, so it sees what became of
// that; and if the database waits for a standby, it is answered after the standby has
// both.
func (db *DB) lookUp(ctx context.Context, entry int64, unanswered error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.settle)
	defer cancel()
	for {
		var n int
		err := db.write(ctx, powerCut, func(tx *transaction) (err error) {
			n, err = tx.exec(`UPDATE state_entry SET seq = seq WHERE seq = ?1`, entry)
			return err
		})
		switch {
		case err == nil && n > 0:
			return nil
		case err == nil:
			return errNotMade
		}
		select {
		case <-ctx.Done():
			return unanswered
		case <-time.After(settlePause):
		}
	}
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
