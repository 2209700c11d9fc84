package manage

import (
	"context"
	"errors"
	"slices"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// KeyRef names a key that is to be changed.
type KeyRef struct {
	ID string
	// IfMatch is the version that the caller has seen; [store.AnyVersion] for any.
	IfMatch store.Version
	// Reason is why the key is paused or revoked, in the actor's words; "" is none.
	Reason string
	// Own is a key of the actor's own, which needs no role over the keys of others:
	// any other key is NotFound.
	Own bool
}

// CreateKey makes a key. The secret is in the answer alone. Own keys need the scope
// keyward:self or a session, those of others keyward:keys.
func (s *Service) CreateKey(ctx context.Context, a access.Actor, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	return s.createKey(ctx, a, p, func() error { return nil })
}

// CreateFirstKey is CreateKey for a user who never had a key; for any other it is a
// [fault.Conflict]. Nothing else changes keys meanwhile: of two calls one makes a key.
func (s *Service) CreateFirstKey(ctx context.Context, a access.Actor, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	return s.createKey(ctx, a, p, func() error {
		had, err := s.HadKeys(ctx, a)
		if err == nil && had {
			err = fault.Refuse(fault.Conflict, "the user has, or had, a key")
		}
		return err
	})
}

// HadKeys reports whether the actor's user has, or ever had, a key.
func (s *Service) HadKeys(ctx context.Context, a access.Actor) (bool, error) {
	latest, err := s.latestKey(ctx, a.User())
	return latest.After(a.OwnsAfter()), fault.Of(err)
}

// createKey makes a key, unless refused returns why not while keys are not changed.
func (s *Service) createKey(ctx context.Context, a access.Actor, p store.KeyParams, refused func() error) (store.KeyRecord, authz.Secret, error) {
	var r store.KeyRecord
	var secret authz.Secret
	err := s.mayChangeKeys(a, p.User)
	if err == nil {
		err = s.checkKey(&p)
	}
	if err == nil {
		err = s.editKeys(ctx, a, func(tx store.Tx[store.KeyRecord]) error {
			if _, err := tx.Get(p.ID); p.ID != "" && !errors.Is(err, store.ErrNotFound) {
				return errors.Join(err, store.ErrDuplicate)
			}
			if err := refused(); err != nil {
				return err
			}
			p.CreatedBy = a.Creator()
			if r, secret, err = s.maker.New(&p, s.Now().UTC()); err != nil {
				return err
			}
			if err := s.mayHandOut(ctx, a, &r); err != nil {
				return err
			}
			if err := s.mayMakeSecret(a, r.User); err != nil {
				return err
			}
			if err := s.RequireProject(ctx, r.Project); err != nil {
				return err
			}
			tx.Put(&r, a.Entry(audit.KeyCreate, r.ID, changes.Key(&store.KeyRecord{}, &r)))
			return nil
		})
	}
	if err := s.finish(ctx, a, audit.KeyCreate, r.ID, r.Seq, err); err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// RotateKey gives the key a new secret, which is in the answer alone. The one before
// stays valid for the grace; without one every earlier secret ends. It needs what
// creating the key would need: the actor is shown a secret of it.
func (s *Service) RotateKey(ctx context.Context, a access.Actor, ref KeyRef, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
	var secret authz.Secret
	r, err := s.changeKey(ctx, a, ref, audit.KeyRotate, func(r *store.KeyRecord, now time.Time) (changed bool, err error) {
		secret, err = s.maker.Rotate(r, now, grace)
		return true, err
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// RevokeKey ends the key. Revoking one that has ended changes nothing.
func (s *Service) RevokeKey(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyRevoke, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Revoke(now) {
			return false, nil
		}
		r.Ending = a.Act(ref.Reason)
		return true, nil
	})
}

// DeleteKey ends the key and hides it.
func (s *Service) DeleteKey(ctx context.Context, a access.Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyDelete, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Delete(now) {
			return false, nil
		}
		if r.Ending == nil {
			r.Ending = a.Act(ref.Reason)
		}
		return true, nil
	})
}

// changeKey makes one change of one key. Every change but a creation goes through it.
func (s *Service) changeKey(ctx context.Context, a access.Actor, ref KeyRef, action audit.Action, edit func(r *store.KeyRecord, now time.Time) (bool, error)) (store.KeyRecord, error) {
	var after store.KeyRecord
	err := s.mayRefer(a, ref, action)
	if err == nil {
		err = checkReason(ref.Reason)
	}
	if err == nil {
		err = s.editKeys(ctx, a, func(tx store.Tx[store.KeyRecord]) error {
			before, err := tx.Get(ref.ID)
			if err != nil {
				return err
			}
			if ref.Own && !owns(a, &before) {
				return &fault.Error{Code: fault.NotFound, Detail: "there is no such record", Hidden: true}
			}
			if err := ref.IfMatch.Match(&before); err != nil {
				return err
			}
			after = before.Clone()
			changed, err := edit(&after, s.Now().UTC())
			if err != nil || !changed {
				return err
			}
			if !action.Ends() {
				if err := s.mayChange(ctx, a, &before, &after); err != nil {
					return err
				}
			}
			if action == audit.KeyRotate {
				if err := s.mayMakeSecret(a, after.User); err != nil {
					return err
				}
			}
			if after.Project != before.Project {
				if err := s.RequireProject(ctx, after.Project); err != nil {
					return err
				}
			}
			entry := a.Entry(action, after.ID, changes.Key(&before, &after))
			entry.Reason = ref.Reason
			tx.Put(&after, entry)
			return nil
		})
	}
	if err := s.finish(ctx, a, action, ref.ID, after.Seq, err); err != nil {
		return store.KeyRecord{}, err
	}
	return after, nil
}

// managesForUser refuses a key with a managing scope and no user.
func (s *Service) managesForUser(r *store.KeyRecord) error {
	if len(access.Managing(r.OwnScopes())) > 0 && r.User == "" {
		var bad fault.Problems
		bad.Add("/scopes", "a scope that begins with %s needs a user", access.ScopePrefix)
		return bad.Err()
	}
	return nil
}

// checkKey returns all that is wrong with the parameters of a new key.
func (s *Service) checkKey(p *store.KeyParams) error {
	var bad fault.Problems
	if p.Name == "" {
		bad.Add("/name", "is required: it says what the key is for")
	}
	s.checkSettings(&bad, p)
	if p.Format != apikey.FormatHex && len(s.Prefixes) > 0 && !slices.Contains(s.Prefixes, p.Prefix) {
		bad.Add("/prefix", "is not one by which keys are recognised here")
	}
	return bad.Err()
}
