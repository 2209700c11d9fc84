package manage

import (
	"context"
	"errors"
	"time"

	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"
)

// record is a pointer to a record of which a store has few.
type record[R any] interface {
	*R
	Clone() R
	Version() store.Version
}

// recordsOf are the records of one kind, and what a change of one must know of them.
type recordsOf[R any] struct {
	editor store.Editor[R]
	seq    func(*R) int64
	shown  []string // the members that the audit log shows
}

// change is what an actor wants to do to one record.
type change struct {
	action  audit.Action
	id      string
	ifMatch store.Version
	// refused is why the actor may not make the change, whatever the record says, so
	// that it does not learn whether there is one; nil: it may.
	refused error
}

// createRecord puts the record that fill makes, unless one with the id is there.
func createRecord[R any](ctx context.Context, s *Service, a access.Actor, of recordsOf[R], c change, fill func(now time.Time) (R, error)) (R, error) {
	return editRecord(ctx, s, a, of, c, func(tx store.Tx[R]) (*R, error) {
		if _, err := tx.Get(c.id); !errors.Is(err, store.ErrNotFound) {
			return nil, errors.Join(err, store.ErrDuplicate)
		}
		made, err := fill(s.Now().UTC())
		if err != nil {
			return nil, err
		}
		var before R
		tx.Put(&made, a.Entry(c.action, c.id, changesOf(&before, &made, of.shown)))
		return &made, nil
	})
}

// changeRecord makes one change of a record that is there.
func changeRecord[R any, P record[R]](ctx context.Context, s *Service, a access.Actor, of recordsOf[R], c change, edit func(r P, now time.Time) error) (R, error) {
	return editRecord(ctx, s, a, of, c, func(tx store.Tx[R]) (*R, error) {
		before, err := tx.Get(c.id)
		if err == nil {
			err = c.ifMatch.Match(P(&before))
		}
		if err != nil {
			return nil, err
		}
		after := P(&before).Clone()
		if err := edit(&after, s.Now().UTC()); err != nil {
			return nil, err
		}
		tx.Put(&after, a.Entry(c.action, c.id, changesOf(&before, &after, of.shown)))
		return &after, nil
	})
}

// editRecord is an edit of one record, with what comes before and after each.
func editRecord[R any](ctx context.Context, s *Service, a access.Actor, of recordsOf[R], c change, edit func(store.Tx[R]) (*R, error)) (R, error) {
	var put *R
	err := c.refused
	if err == nil {
		err = editOthers(ctx, s, a, of.editor, func(tx store.Tx[R]) (err error) {
			put, err = edit(tx)
			return err
		})
	}
	var none R
	if err != nil {
		put = &none
	}
	if err := s.finish(ctx, a, c.action, c.id, of.seq(put), err); err != nil {
		return none, err
	}
	return *put, nil
}

// getRecord returns a record to an actor with keyward:read.
func getRecord[R, F any](ctx context.Context, s *Service, a access.Actor, from store.Reader[R, F], what, id string) (r R, err error) {
	if err = s.mayRead(ctx, a, access.Read, false, what); err == nil && from == nil {
		err = notConfigured(what)
	}
	if err == nil {
		r, err = from.Get(ctx, id)
	}
	return r, asError(err)
}

// listRecords returns a page of records to an actor with keyward:read.
func listRecords[R, F any](ctx context.Context, s *Service, a access.Actor, from store.Reader[R, F], what string, filter F, page store.Page) (all []R, next store.Cursor, err error) {
	if err = s.mayRead(ctx, a, access.Read, false, what); err == nil && from == nil {
		err = notConfigured(what)
	}
	if err == nil {
		all, next, err = from.List(ctx, filter, page)
	}
	return all, next, asListError(err)
}

// mayAdminister refuses an actor who is not an administrator, and any where the
// configuration names no file of such records.
func mayAdminister(a access.Actor, what string, there bool) error {
	switch {
	case !a.Has(access.Admin):
		return refuse(Forbidden, "%s need the scope %s", what, access.ScopeAdmin)
	case !there:
		return notConfigured(what)
	}
	return nil
}

// notConfigured is the error of a call about records that the configuration has no
// file for.
func notConfigured(what string) error {
	return refuse(NotFound, "there are none: the configuration has no %s.file", what)
}
