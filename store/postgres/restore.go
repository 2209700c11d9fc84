package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"keyward/store/audit"
	"keyward/store/postgres/database"
)

// ErrNotOwner is a restore that was to be accepted by a role that may not: writers are
// not granted it, so that a console which is taken over cannot bring back what has ended.
var ErrNotOwner = errors.New("only the owner of the database's tables can accept a restore: connect as that role")

// AcceptRestore gives the database a new epoch, by which all replicas follow it in all
// that it says, also where that brings back what they have seen ended. The entry names
// the actor. The error is ErrNotOwner for a role that may not.
func (s *Store) AcceptRestore(ctx context.Context, e *audit.Entry) error {
	e.Action, e.Outcome = audit.StoreAcceptRestore, audit.Done
	err := s.write(ctx, func(w *writer) error {
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE meta SET epoch = gen_random_uuid()`)
		if err := w.send(batch); err != nil {
			return err
		}
		return w.appendEntries([]*audit.Entry{e}, false)
	})
	if database.IsDenied(err) {
		return ErrNotOwner
	}
	return err
}
