package filestore

import (
	"context"
	"errors"
	"fmt"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
)

// editor edits the records of one file. The records that an edit puts are one
// append, so that readers see all of them or none.
type editor[R any] struct {
	lines *journal.Lines
	log   *AuditFile // nil: the changes leave no entry

	// Neither has records that were deleted.
	get  func(id string, in reading) (R, error)
	each func(in reading, visit func(*R) error) error
	// prepare completes the records that are to be written, or returns why they must
	// not be; nil: there is nothing to do.
	prepare func(*fileTx[R]) error
	// line encodes a record as that of the change seq.
	line func(r *R, seq int64) ([]byte, error)
}

// Edit implements store.Editor.
func (e *editor[R]) Edit(ctx context.Context, edit func(store.Tx[R]) error) error {
	if e.log == nil {
		return e.edit(ctx, nil, edit)
	}
	begun := false
	err := e.log.session(ctx, func(s *auditSession) error {
		begun = true
		return e.edit(ctx, s, edit)
	})
	if begun || err == nil || ctx.Err() != nil {
		return err
	}
	// What ends something is done without the log, which gets the entries later.
	return e.edit(ctx, &auditSession{log: e.log, broken: err}, edit)
}

func (e *editor[R]) edit(ctx context.Context, s *auditSession, edit func(store.Tx[R]) error) error {
	return e.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		tx := &fileTx[R]{editor: e, lines: t}
		if err := edit(tx); err != nil || len(tx.puts) == 0 {
			return err
		}
		if e.prepare != nil {
			if err := e.prepare(tx); err != nil {
				return err
			}
		}
		if s == nil {
			return e.append(t, tx)
		}
		if err := s.append(tx.entries); err != nil {
			return err
		}
		err := e.append(t, tx)
		if err != nil {
			_, closed := s.recover(tx.entries)
			err = errors.Join(err, closed)
		}
		return err
	})
}

func (e *editor[R]) append(t *journal.LineTransaction, tx *fileTx[R]) error {
	return appendLines(t, len(tx.puts), func(i int) ([]byte, error) { return e.line(tx.puts[i], tx.entries[i].Seq) })
}

// fileTx is the transaction of one edit of a file.
type fileTx[R any] struct {
	editor  *editor[R]
	lines   *journal.LineTransaction
	puts    []*R
	entries []*audit.Entry
}

// Get implements store.Tx.
func (t *fileTx[R]) Get(id string) (R, error) { return t.editor.get(id, locked(t.lines)) }

// Each implements store.Tx.
func (t *fileTx[R]) Each(visit func(*R) error) error {
	return t.editor.each(locked(t.lines), visit)
}

// Put implements store.Tx.
func (t *fileTx[R]) Put(r *R, e *audit.Entry) {
	t.puts, t.entries = append(t.puts, r), append(t.entries, e)
}

// Editor returns the editor of the file's keys, whose changes are in the log, if
// there is one.
func (f *KeyFile) Editor(log *AuditFile) store.Editor[store.KeyRecord] {
	log.WatchLines("key", &f.lines)
	return &editor[store.KeyRecord]{
		lines: &f.lines, log: log,
		get: f.get, each: f.each,
		prepare: refuseKnownImports,
		line: func(r *store.KeyRecord, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}
}

// Editor returns the editor of the file's users, whose changes are in the log, if there
// is one.
func (f *UserFile) Editor(log *AuditFile) store.Editor[store.UserRecord] {
	log.WatchLines("user", &f.lines)
	return &editor[store.UserRecord]{
		lines: &f.lines, log: log,
		get: f.user,
		each: func(in reading, visit func(*store.UserRecord) error) error {
			all, err := f.all(in)
			for i := 0; err == nil && i < len(all.records); i++ {
				if all.records[i].Deleted.IsZero() {
					err = visit(&all.records[i])
				}
			}
			return err
		},
		// What ended with a deleted user is not the next one's of that name.
		prepare: func(t *fileTx[store.UserRecord]) error {
			return f.index(locked(t.lines), func(x *userIndex) error {
				for _, r := range t.puts {
					if i, known := x.list.at[r.Name]; known {
						r.Succeed(&x.list.records[i])
					}
				}
				return nil
			})
		},
		line: func(r *store.UserRecord, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}
}

// Editor returns the editor of the file's revocations, whose changes are in the log,
// if there is one. A revocation has no id by which to get it.
func (f *RevocationFile) Editor(log *AuditFile) store.Editor[store.Revocation] {
	log.WatchLines("revocation", &f.lines)
	return &editor[store.Revocation]{
		lines: &f.lines, log: log,
		get: func(string, reading) (store.Revocation, error) {
			return store.Revocation{}, fmt.Errorf("revocation: %w", store.ErrNotFound)
		},
		each: func(in reading, visit func(*store.Revocation) error) error {
			all, err := allRevocations(in.each)
			for i := 0; err == nil && i < len(all); i++ {
				err = visit(&all[i])
			}
			return err
		},
		line: func(r *store.Revocation, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}
}
