package manage

import (
	"context"
	"errors"
	"slices"
	"time"

	"keyward/apikey"
	"keyward/authz"
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
func (s *Service) CreateKey(ctx context.Context, a Actor, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	var r store.KeyRecord
	var secret authz.Secret
	err := s.mayChangeKeys(a, p.User)
	if err == nil {
		err = s.checkKey(&p)
	}
	if err == nil {
		err = s.KeyEditor.Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
			if _, err := tx.Get(p.ID); p.ID != "" && !errors.Is(err, store.ErrNotFound) {
				return errors.Join(err, store.ErrDuplicate)
			}
			p.CreatedBy = a.creator()
			if r, secret, err = s.maker.New(&p, s.Now().UTC()); err != nil {
				return err
			}
			if err := s.mayHandOut(ctx, a, &r); err != nil {
				return err
			}
			tx.Put(&r, a.entry(audit.KeyCreate, r.ID, keyChanges(&store.KeyRecord{}, &r)))
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
func (s *Service) RotateKey(ctx context.Context, a Actor, ref KeyRef, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
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
func (s *Service) RevokeKey(ctx context.Context, a Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyRevoke, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Revoke(now) {
			return false, nil
		}
		r.Ending = a.act(ref.Reason)
		return true, nil
	})
}

// act is what a record keeps of what the actor did to it, so that it is known although
// the audit log could not be written.
func (a Actor) act(reason string) *store.Act {
	return &store.Act{By: a.name, Via: a.via, Reason: reason}
}

// DeleteKey ends the key and hides it.
func (s *Service) DeleteKey(ctx context.Context, a Actor, ref KeyRef) (store.KeyRecord, error) {
	return s.changeKey(ctx, a, ref, audit.KeyDelete, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Delete(now) {
			return false, nil
		}
		if r.Ending == nil {
			r.Ending = a.act(ref.Reason)
		}
		return true, nil
	})
}

// changeKey makes one change of one key. Every change but a creation goes through it.
func (s *Service) changeKey(ctx context.Context, a Actor, ref KeyRef, action audit.Action, edit func(r *store.KeyRecord, now time.Time) (bool, error)) (store.KeyRecord, error) {
	var after store.KeyRecord
	err := s.mayRefer(a, ref)
	if err == nil {
		err = checkReason(ref.Reason)
	}
	if err == nil {
		err = s.KeyEditor.Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
			before, err := tx.Get(ref.ID)
			if err != nil {
				return err
			}
			if ref.Own && !a.owns(&before) {
				return &Error{Code: NotFound, Detail: "there is no such record", refused: true}
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
				if err := s.mayHandOut(ctx, a, &after); err != nil {
					return err
				}
			}
			entry := a.entry(action, after.ID, keyChanges(&before, &after))
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

// owns reports whether the key is the actor's: its user's, or the one that it
// presented.
func (a Actor) owns(r *store.KeyRecord) bool {
	return a.name != "" && (a.key == r.ID || r.User == a.reach.user && r.User != "" && a.roles.has(roleSelf))
}

// mayRefer refuses an actor who may not change keys of others, before it learns
// whether the key is there.
func (s *Service) mayRefer(a Actor, ref KeyRef) error {
	if ref.Own {
		if a.name != "" && (a.roles.has(roleSelf) || a.key != "" && a.key == ref.ID) {
			return nil
		}
		return refuse(Forbidden, "changing one's own keys needs the scope %s or a session", ScopeSelf)
	}
	return s.mayChangeKeys(a, "")
}

// mayChangeKeys refuses an actor who may not hand out and change keys of the user;
// "" is any.
func (s *Service) mayChangeKeys(a Actor, user string) error {
	own := user != "" && user == a.reach.user && a.roles.has(roleSelf)
	if own || a.roles.has(roleKeys) {
		return nil
	}
	return refuse(Forbidden, "keys of others need the scope %s", ScopeKeys)
}

// mayHandOut refuses an actor who would be shown a secret of a key that may do more
// than the actor itself, or who would make a key able to.
func (s *Service) mayHandOut(ctx context.Context, a Actor, r *store.KeyRecord) error {
	if a.reach.everything {
		return s.managesForUser(r)
	}
	if r.User != "" && r.User != a.reach.user {
		user, err := s.Users.Get(ctx, r.User)
		if err != nil {
			return refuse(BeyondCaller, "the key's user is not on record, and could be given anything later")
		}
		if len(managing(user.Scopes)) > 0 {
			return refuse(BeyondCaller, "the key's user has a scope that begins with %s: its keys can only be revoked", scopePrefix)
		}
	}
	if member := a.reach.beyond(r, s.KeyRate, false); member != "" {
		return refuse(BeyondCaller, "by its %s the key could do more than the caller", member)
	}
	return s.managesForUser(r)
}

// managesForUser refuses a key with a managing scope and no user.
func (s *Service) managesForUser(r *store.KeyRecord) error {
	if len(managing(r.OwnScopes())) > 0 && r.User == "" {
		var bad problems
		bad.add("/scopes", "a scope that begins with %s needs a user", scopePrefix)
		return bad.err()
	}
	return nil
}

// checkKey returns all that is wrong with the parameters of a new key.
func (s *Service) checkKey(p *store.KeyParams) error {
	var bad problems
	if p.Name == "" {
		bad.add("/name", "is required: it says what the key is for")
	}
	s.checkSettings(&bad, p)
	if p.Format != apikey.FormatHex && len(s.Prefixes) > 0 && !slices.Contains(s.Prefixes, p.Prefix) {
		bad.add("/prefix", "is not one by which keys are recognised here")
	}
	return bad.err()
}

// checkManaging adds the managing scopes of a key that are not known.
func checkManaging(bad *problems, scopes *[]string) {
	if scopes == nil {
		return
	}
	for i, scope := range managing(*scopes) {
		if !known(scope) {
			bad.add("/scopes", "the managing scope %d of the list is not known", i+1)
		}
	}
}
