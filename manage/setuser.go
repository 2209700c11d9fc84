package manage

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/audit"
)

// SetUser makes the user, or changes what the patch gives of it, and its password if
// there is one, in one step. It needs what each of these changes would need.
func (s *Service) SetUser(ctx context.Context, a access.Actor, ref UserRef, patch UserPatch, password *authz.Secret) (store.UserRecord, error) {
	var action audit.Action
	hash, err := s.checkUserPatch(ctx, a, patch, password)
	var after store.UserRecord
	if err == nil {
		err = s.editUsers(ctx, a, func(tx store.Tx[store.UserRecord]) error {
			now := s.Now().UTC()
			action = actionOf(patch, password) // the Edit may run again, and find the user then
			before, err := tx.Get(ref.Name)
			if errors.Is(err, store.ErrNotFound) {
				action = audit.UserCreate
				before, err = store.UserRecord{Name: ref.Name, Created: now, CreatedBy: a.Creator()}, store.CheckUserName(ref.Name)
			}
			if err == nil {
				err = ref.IfMatch.Match(&before)
			}
			if err != nil {
				return err
			}
			after = before.Clone()
			if err := patch.apply(&after, action, now); err != nil {
				return err
			}
			if password != nil {
				after.Password = hash
				if action != audit.UserCreate {
					after.EndLogins(now)
				}
			}
			after.At = now
			return putUser(a, tx, action, &before, &after)
		})
	}
	if action == "" { // refused before the Edit
		action = actionOf(patch, password)
	}
	return s.finishUser(ctx, a, action, ref.Name, after, err)
}

// actionOf is what the audit log calls the change of a user who is there.
func actionOf(patch UserPatch, password *authz.Secret) audit.Action {
	settings := patch.Scopes != nil || patch.Paths != nil || patch.MustChange != nil || patch.Service != nil
	switch {
	case patch.Disabled != nil && *patch.Disabled && !settings && password == nil:
		return audit.UserDisable
	case password != nil && patch.Disabled == nil && !settings:
		return audit.UserPassword
	}
	return audit.UserUpdate
}

// checkUserPatch returns the hash of the password, or all that is wrong with what is to
// change.
func (s *Service) checkUserPatch(ctx context.Context, a access.Actor, patch UserPatch, password *authz.Secret) (hash string, err error) {
	if err := mayChangeUsers(a); err != nil {
		return "", err
	}
	if password != nil && !a.Has(access.Admin) {
		return "", fault.Refuse(fault.Forbidden, "setting the password of a user needs the scope %s", access.ScopeAdmin)
	}
	var bad fault.Problems
	checkAccess(&bad, orZero(patch.Paths), orZero(patch.Scopes))
	if password != nil && !passwordhash.ValidPassword(*password) {
		bad.Check("/password", passwordhash.ErrPassword)
	}
	if err := bad.Err(); err != nil || password == nil {
		return "", err
	}
	if err := s.mayMakeSecret(a, ""); err != nil {
		return "", err
	}
	return s.HashPassword(ctx, *password)
}

// apply changes what the patch gives. A record that a newer version wrote can only be
// disabled.
func (p UserPatch) apply(r *store.UserRecord, action audit.Action, now time.Time) error {
	if r.Unsupported && action != audit.UserDisable {
		return store.ErrUnsupported
	}
	if p.Scopes != nil {
		r.Scopes = *p.Scopes
	}
	if p.Paths != nil {
		r.Paths = *p.Paths
	}
	if p.MustChange != nil {
		r.MustChange = *p.MustChange
	}
	if p.Service != nil {
		r.Service = *p.Service
	}
	if p.Disabled != nil {
		r.Disabled = *p.Disabled
		if r.Disabled && action != audit.UserCreate {
			r.EndLogins(now)
		}
	}
	return nil
}
