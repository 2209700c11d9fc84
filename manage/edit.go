package manage

import (
	"context"
	"errors"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// editKeys is the Edit of keys for an actor. It looks at the actor again while no one else
// changes keys: what was allowed when the call came in is not done by a key that was
// revoked since. Every change of a record goes through this function or one of the next
// three.
func (s *Service) editKeys(ctx context.Context, a access.Actor, edit func(store.Tx[store.KeyRecord]) error) error {
	return changing(ctx, s, s.KeyEditor, func(tx store.Tx[store.KeyRecord]) error {
		if err := s.stillActs(ctx, a, tx.Get, s.userIn(ctx)); err != nil {
			return err
		}
		return edit(tx)
	})
}

// editUsers is the Edit of users for an actor.
func (s *Service) editUsers(ctx context.Context, a access.Actor, edit func(store.Tx[store.UserRecord]) error) error {
	return changing(ctx, s, s.UserEditor, func(tx store.Tx[store.UserRecord]) error {
		if err := s.stillActs(ctx, a, s.keyIn(ctx), tx.Get); err != nil {
			return err
		}
		return edit(tx)
	})
}

// editRevocations is the Edit of revocations for an actor.
func (s *Service) editRevocations(ctx context.Context, a access.Actor, edit func(store.Tx[store.Revocation]) error) error {
	return editOthers(ctx, s, a, s.RevocationEditor, edit)
}

// editOthers is the Edit of records that are neither keys nor users, for an actor.
func editOthers[R any](ctx context.Context, s *Service, a access.Actor, editor store.Editor[R], edit func(store.Tx[R]) error) error {
	return changing(ctx, s, editor, func(tx store.Tx[R]) error {
		if err := s.stillActs(ctx, a, s.keyIn(ctx), s.userIn(ctx)); err != nil {
			return err
		}
		return edit(tx)
	})
}

// keyIn reads a key outside of the transaction.
func (s *Service) keyIn(ctx context.Context) func(id string) (store.KeyRecord, error) {
	return func(id string) (store.KeyRecord, error) { return s.Keys.Get(ctx, id) }
}

// userIn reads a user outside of the transaction.
func (s *Service) userIn(ctx context.Context) func(name string) (store.UserRecord, error) {
	return func(name string) (store.UserRecord, error) { return s.Users.Get(ctx, name) }
}

// stillActs refuses an actor that is not what it was: its key, session or user has ended,
// or may do more or less now.
func (s *Service) stillActs(ctx context.Context, a access.Actor, key func(id string) (store.KeyRecord, error), user func(name string) (store.UserRecord, error)) error {
	if a.Via() == audit.ViaCLI {
		return nil
	}
	exists := true
	now, err := s.actorNow(a, key, user)
	if err == nil && a.Session() != "" && s.SessionExists != nil {
		exists, err = s.SessionExists(ctx, a.User(), a.Session())
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil || !exists || !now.MaySame(a) {
		return fault.Refuse(fault.Forbidden, "the caller's credential has ended or changed meanwhile")
	}
	return nil
}

// actorNow returns the actor as its key and its user are now.
func (s *Service) actorNow(a access.Actor, key func(id string) (store.KeyRecord, error), user func(name string) (store.UserRecord, error)) (access.Actor, error) {
	var of *store.UserRecord
	if a.User() != "" {
		r, err := user(a.User())
		if err != nil {
			return access.Actor{}, err
		}
		of = &r
	}
	if a.Key() == "" {
		return a.OfSession(of), nil
	}
	r, err := key(a.Key())
	if err != nil {
		return access.Actor{}, err
	}
	return access.KeyActor(&r, of, s.Now(), access.Call{Via: a.Via()}), nil
}

// changing is the Edit of a store, whose changes are counted; a dry run makes none.
func changing[R any](ctx context.Context, s *Service, editor store.Editor[R], edit func(store.Tx[R]) error) error {
	var made []audit.Action
	err := editor.Edit(ctx, func(tx store.Tx[R]) error {
		made = made[:0] // the Edit may run again
		if err := edit(countedTx[R]{tx, &made}); err != nil {
			return err
		}
		return fault.IfDryRun(ctx)
	})
	if err == nil && s.Changed != nil {
		for _, action := range made {
			s.Changed(action)
		}
	}
	return err
}

// countedTx remembers which changes a transaction makes.
type countedTx[R any] struct {
	store.Tx[R]
	made *[]audit.Action
}

// Put implements store.Tx.
func (t countedTx[R]) Put(r *R, e *audit.Entry) {
	t.Tx.Put(r, e)
	*t.made = append(*t.made, e.Action)
}
