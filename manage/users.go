package manage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// UserInput is what a new user is to be.
type UserInput struct {
	Name     string
	Scopes   []string
	Paths    []string // none: anywhere
	Disabled bool
	Password *authz.Secret // nil: the user has none, and cannot log in

	MustChange bool // the password, at the next login
	Service    bool // a program, which has no password
}

// UserRef names a user that is to be changed.
type UserRef struct {
	Name    string
	IfMatch store.Version // [store.AnyVersion] for any
}

// UserPatch is what is to change of a user; nil is what is to stay. A password is
// changed by SetPassword.
type UserPatch struct {
	Scopes   *[]string
	Paths    *[]string // empty: anywhere
	Disabled *bool

	MustChange *bool
	Service    *bool
}

// CreateUser makes a user. It needs keyward:users, and for more than the actor may
// do itself keyward:admin.
func (s *Service) CreateUser(ctx context.Context, a access.Actor, in UserInput) (store.UserRecord, error) {
	var r store.UserRecord
	hash, err := s.checkUser(ctx, a, in)
	if err == nil {
		err = s.editUsers(ctx, a, func(tx store.Tx[store.UserRecord]) error {
			now := s.Now().UTC()
			r = store.UserRecord{
				Name: in.Name, Scopes: in.Scopes, Paths: in.Paths, Disabled: in.Disabled, Password: hash, MustChange: in.MustChange, Service: in.Service,
				CreatedBy: a.Creator(), Created: now, At: now,
			}
			if err := mayGrant(a, &r); err != nil {
				return err
			}
			if _, err := tx.Get(in.Name); !errors.Is(err, store.ErrNotFound) {
				return errors.Join(err, store.ErrDuplicate)
			}
			tx.Put(&r, a.Entry(audit.UserCreate, r.Name, changes.User(&store.UserRecord{}, &r)))
			return nil
		})
	}
	return s.finishUser(ctx, a, audit.UserCreate, in.Name, r, err)
}

// checkUser returns the hash of a new user's password, or all that is wrong with the
// input.
func (s *Service) checkUser(ctx context.Context, a access.Actor, in UserInput) (hash string, err error) {
	if err := mayChangeUsers(a); err != nil {
		return "", err
	}
	var bad fault.Problems
	bad.Check("/name", store.CheckUserName(in.Name))
	checkAccess(&bad, in.Paths, in.Scopes)
	if in.Password != nil {
		checkPassword(&bad, *in.Password)
	}
	if in.Service && (in.Password != nil || in.MustChange) {
		bad.Add("/service", serviceUser)
	}
	if err := bad.Err(); err != nil || in.Password == nil {
		return "", err
	}
	if err := s.mayMakeSecret(a, in.Name); err != nil {
		return "", err
	}
	return s.HashPassword(ctx, *in.Password)
}

const serviceUser = "is a program, which has no password"

// checkService refuses a service user that logs in.
func checkService(r *store.UserRecord) error {
	var bad fault.Problems
	if r.Service && (r.Password != "" || r.OIDCSubject != "" || r.MustChange) {
		bad.Add("/service", serviceUser)
	}
	return bad.Err()
}

// checkAccess adds the paths and scopes that a record cannot have, each by its place in
// its list: the errors do not repeat what the caller sent.
func checkAccess(bad *fault.Problems, paths, scopes []string) {
	for i, path := range paths {
		if _, _, err := store.CompileAccess([]string{path}, nil); err != nil {
			bad.Add(fmt.Sprintf("/paths/%d", i), "path %d of the list: %v", i+1, errors.Unwrap(err))
		}
	}
	for i, scope := range scopes {
		pointer := fmt.Sprintf("/scopes/%d", i)
		if _, _, err := store.CompileAccess(nil, []string{scope}); err != nil {
			bad.Add(pointer, "scope %d of the list is not a scope: it is visible ASCII without quote and backslash (RFC 6749 section 3.3)", i+1)
		}
		if len(access.Managing([]string{scope})) > 0 && !access.KnownScope(scope) {
			bad.Add(pointer, "the managing scope %d of the list is not known", i+1)
		}
	}
}

// UpdateUser changes a user. To disable one needs less than any other change: no
// more than keyward:users.
func (s *Service) UpdateUser(ctx context.Context, a access.Actor, ref UserRef, patch UserPatch) (store.UserRecord, error) {
	action := actionOf(patch, nil)
	var bad fault.Problems
	checkAccess(&bad, orZero(patch.Paths), orZero(patch.Scopes))
	if err := bad.Err(); err != nil {
		return store.UserRecord{}, s.finish(ctx, a, action, ref.Name, 0, err)
	}
	return s.changeUser(ctx, a, ref, action, func(r *store.UserRecord, now time.Time) error { return patch.apply(r, action, now) })
}

// orZero returns what p points to, the zero value for nil.
func orZero[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}

// DeleteUser ends a user, and with it, in the same step, its keys and tokens. It
// needs keyward:admin.
func (s *Service) DeleteUser(ctx context.Context, a access.Actor, ref UserRef) error {
	if !a.Has(access.Admin) {
		return s.finish(ctx, a, audit.UserDelete, ref.Name, 0, fault.Refuse(fault.Forbidden, "deleting a user needs the scope %s", access.ScopeAdmin))
	}
	latest, err := s.latestKey(ctx, ref.Name)
	if err != nil {
		return s.finish(ctx, a, audit.UserDelete, ref.Name, 0, err)
	}
	_, err = s.changeUser(ctx, a, ref, audit.UserDelete, func(r *store.UserRecord, now time.Time) error {
		r.Delete(now, latest)
		return nil
	})
	return err
}

// EndUser ends all that a user has, in one step: its keys, sessions and tokens. The
// user stays. It needs keyward:keys, and for a user who may manage keyward:admin.
func (s *Service) EndUser(ctx context.Context, a access.Actor, ref UserRef) (store.UserRecord, error) {
	latest, err := s.latestKey(ctx, ref.Name)
	if err != nil {
		return store.UserRecord{}, s.finish(ctx, a, audit.UserEnd, ref.Name, 0, err)
	}
	return s.editUser(ctx, a, ref, audit.UserEnd, s.mayChangeKeys(a, ""), func(r *store.UserRecord, now time.Time) error {
		r.EndAll(now, latest)
		return nil
	})
}

// latestKey is when the user's latest key was made: that may be the time of a clock
// that is ahead of this one.
func (s *Service) latestKey(ctx context.Context, user string) (time.Time, error) {
	if s.LatestKey != nil {
		return s.LatestKey(ctx, user)
	}
	made, err := s.Keys.LatestKeys(ctx, []string{user})
	return made[user], err
}

// changeUser is editUser for what needs keyward:users.
func (s *Service) changeUser(ctx context.Context, a access.Actor, ref UserRef, action audit.Action, edit func(*store.UserRecord, time.Time) error) (store.UserRecord, error) {
	return s.editUser(ctx, a, ref, action, mayChangeUsers(a), edit)
}

// editUser makes one change of one user, unless the actor is refused before it learns
// which users are there. Every change but a creation goes through it.
func (s *Service) editUser(ctx context.Context, a access.Actor, ref UserRef, action audit.Action, refused error, edit func(*store.UserRecord, time.Time) error) (store.UserRecord, error) {
	var after store.UserRecord
	err := refused
	if err == nil {
		err = s.editUsers(ctx, a, func(tx store.Tx[store.UserRecord]) error {
			before, err := tx.Get(ref.Name)
			if err != nil {
				return err
			}
			if err := ref.IfMatch.Match(&before); err != nil {
				return err
			}
			after = before.Clone()
			now := s.Now().UTC()
			if err := edit(&after, now); err != nil {
				return err
			}
			after.At = now
			return putUser(a, tx, action, &before, &after)
		})
	}
	return s.finishUser(ctx, a, action, ref.Name, after, err)
}

// finishUser is finish for a change of a user, whose record is returned without the
// password's hash.
func (s *Service) finishUser(ctx context.Context, a access.Actor, action audit.Action, name string, after store.UserRecord, err error) (store.UserRecord, error) {
	if err := s.finish(ctx, a, action, name, after.Seq, err); err != nil {
		return store.UserRecord{}, err
	}
	after.Password = ""
	return after, nil
}

// putUser puts what a change makes of a user, if the actor may make it.
func putUser(a access.Actor, tx store.Tx[store.UserRecord], action audit.Action, before, after *store.UserRecord) error {
	err := mayChangeUser(a, action, before, after)
	if err == nil {
		err = checkService(after)
	}
	if err == nil {
		err = keepAdministrator(tx, before, after)
	}
	switch {
	case action == audit.UserCreate:
	case action.Ends(), after.Disabled && !before.Disabled:
		after.Ending = a.Act("")
	case before.Disabled && !after.Disabled:
		after.Ending = nil
	}
	if err == nil {
		tx.Put(after, a.Entry(action, after.Name, changes.User(before, after)))
	}
	return err
}
