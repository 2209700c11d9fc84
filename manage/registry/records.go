package registry

import (
	"context"
	"errors"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// Steps are what every change and every call goes through, whatever the record is.
type Steps struct {
	// MayRead refuses, and records, an actor who may not read what is named so.
	MayRead func(ctx context.Context, a access.Actor, what string) error
	// Finish is the end of every change, of the number seq: a refusal is recorded, and a
	// change is in force in this process before it is reported.
	Finish func(ctx context.Context, a access.Actor, action audit.Action, id string, seq int64, err error) error
	// FindUser returns the user of that name; the zero record if there is none.
	FindUser func(ctx context.Context, name string) (store.UserRecord, error)
	Now      func() time.Time
}

// Records are where the records of one kind are. Reader and Edit are nil where the
// configuration names no file for them.
type Records[R, F any] struct {
	Reader store.Reader[R, F]
	// Edit is the store's Edit for an actor, which is looked at again.
	Edit func(ctx context.Context, a access.Actor, edit func(store.Tx[R]) error) error
}

// records are the Records of one kind with what a change of one must know of them.
type records[R, F any] struct {
	Steps
	Records[R, F]
	kind  string // in the plural: the section of the configuration
	seq   func(*R) int64
	shown []string // the members that the audit log shows
}

// record is a pointer to a record.
type record[R any] interface {
	*R
	Clone() R
	Version() store.Version
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

// byAdmin is a change that needs keyward:admin.
func (rs *records[R, F]) byAdmin(a access.Actor, action audit.Action, id string, ifMatch store.Version) change {
	c := change{action: action, id: id, ifMatch: ifMatch}
	switch {
	case !a.Has(access.Admin):
		c.refused = fault.Refuse(fault.Forbidden, "%s need the scope %s", rs.kind, access.ScopeAdmin)
	case rs.Edit == nil:
		c.refused = rs.notConfigured()
	}
	return c
}

func (rs *records[R, F]) notConfigured() error {
	return fault.Refuse(fault.NotFound, "there are none: the configuration has no %s.file", rs.kind)
}

// create puts the record that fill makes, unless one with the id is there.
func (rs *records[R, F]) create(ctx context.Context, a access.Actor, c change, fill func(now time.Time) (R, error)) (R, error) {
	return rs.edit(ctx, a, c, func(tx store.Tx[R]) (*R, error) {
		if _, err := tx.Get(c.id); !errors.Is(err, store.ErrNotFound) {
			return nil, errors.Join(err, store.ErrDuplicate)
		}
		made, err := fill(rs.Now().UTC())
		if err != nil {
			return nil, err
		}
		var before R
		tx.Put(&made, a.Entry(c.action, c.id, audit.ChangesOf(&before, &made, rs.shown)))
		return &made, nil
	})
}

// changeRecord makes one change of a record that is there.
func changeRecord[R, F any, P record[R]](ctx context.Context, rs *records[R, F], a access.Actor, c change, edit func(r P, now time.Time) error) (R, error) {
	return rs.edit(ctx, a, c, func(tx store.Tx[R]) (*R, error) {
		before, err := tx.Get(c.id)
		if err == nil {
			err = c.ifMatch.Match(P(&before))
		}
		if err != nil {
			return nil, err
		}
		after := P(&before).Clone()
		if err := edit(&after, rs.Now().UTC()); err != nil {
			return nil, err
		}
		tx.Put(&after, a.Entry(c.action, c.id, audit.ChangesOf(&before, &after, rs.shown)))
		return &after, nil
	})
}

// edit is an edit of one record, with what comes before and after each.
func (rs *records[R, F]) edit(ctx context.Context, a access.Actor, c change, edit func(store.Tx[R]) (*R, error)) (R, error) {
	var put *R
	err := c.refused
	if err == nil {
		err = rs.Edit(ctx, a, func(tx store.Tx[R]) (err error) {
			put, err = edit(tx)
			return err
		})
	}
	var none R
	if err != nil {
		put = &none
	}
	if err := rs.Finish(ctx, a, c.action, c.id, rs.seq(put), err); err != nil {
		return none, err
	}
	return *put, nil
}

// get returns a record to an actor with keyward:read.
func (rs *records[R, F]) get(ctx context.Context, a access.Actor, id string) (r R, err error) {
	if err = rs.mayRead(ctx, a); err == nil {
		r, err = rs.Reader.Get(ctx, id)
	}
	return r, fault.Of(err)
}

// list returns a page of the records to an actor with keyward:read.
func (rs *records[R, F]) list(ctx context.Context, a access.Actor, filter F, page store.Page) (all []R, next store.Cursor, err error) {
	if err = rs.mayRead(ctx, a); err == nil {
		all, next, err = rs.Reader.List(ctx, filter, page)
	}
	return all, next, fault.OfList(err)
}

func (rs *records[R, F]) mayRead(ctx context.Context, a access.Actor) error {
	err := rs.MayRead(ctx, a, rs.kind)
	if err == nil && rs.Reader == nil {
		err = rs.notConfigured()
	}
	return err
}
