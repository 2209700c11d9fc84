package manage

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/changes"
	"keyward/manage/fault"
	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/audit"
)

// minPassword is the shortest password that is set here, in bytes (NIST SP 800-63B).
// Imported ones may be shorter.
const minPassword = 8

func checkPassword(bad *fault.Problems, password authz.Secret) {
	if len(password.Reveal()) < minPassword || !passwordhash.ValidPassword(password) {
		bad.Add("/password", "is not %d to 72 bytes", minPassword)
	}
}

// hashOf returns the hash of a password, or what is wrong with it.
func (s *Service) hashOf(ctx context.Context, password authz.Secret) (string, error) {
	var bad fault.Problems
	checkPassword(&bad, password)
	if err := bad.Err(); err != nil {
		return "", err
	}
	return s.HashPassword(ctx, password)
}

// SetPassword sets a user's password. It needs keyward:admin: with the password the
// actor could act as the user, who has to replace a temporary one.
func (s *Service) SetPassword(ctx context.Context, a access.Actor, ref UserRef, password authz.Secret, temporary bool) error {
	var hash string
	var err error
	if !a.Has(access.Admin) {
		err = fault.Refuse(fault.Forbidden, "setting the password of a user needs the scope %s", access.ScopeAdmin)
	} else {
		err = s.mayMakeSecret(a, "")
	}
	if err == nil {
		hash, err = s.hashOf(ctx, password)
	}
	if err != nil {
		return s.finish(ctx, a, audit.UserPassword, ref.Name, 0, err)
	}
	_, err = s.changeUser(ctx, a, ref, audit.UserPassword, func(r *store.UserRecord, now time.Time) error {
		if r.Unsupported {
			return store.ErrUnsupported
		}
		r.Password, r.MustChange = hash, r.MustChange || temporary
		r.EndLogins(now)
		return nil
	})
	return err
}

// ReplacePassword sets the password of the user that the actor has proved to be, by the
// current password or by a one-time link; proof returns why the proof is not one for the
// user's record as it is then. The user's sessions and the tokens of its logins end.
func (s *Service) ReplacePassword(ctx context.Context, a access.Actor, password authz.Secret, proof func(*store.UserRecord) error) (store.UserRecord, error) {
	var after store.UserRecord
	err := mayReplacePassword(a)
	var hash string
	if err == nil {
		hash, err = s.hashOf(ctx, password)
	}
	if err == nil {
		err = changing(ctx, s, s.UserEditor, func(tx store.Tx[store.UserRecord]) error {
			before, err := tx.Get(a.Name())
			if err == nil {
				err = proof(&before)
			}
			if err == nil && before.Unsupported {
				err = store.ErrUnsupported
			}
			if err != nil {
				return err
			}
			after = before.Clone()
			now := s.Now().UTC()
			after.Password, after.MustChange = hash, false
			after.EndLogins(now)
			after.At = now
			if err := checkService(&after); err != nil {
				return err
			}
			tx.Put(&after, a.Entry(audit.UserPassword, after.Name, changes.User(&before, &after)))
			return nil
		})
	}
	return s.finishUser(ctx, a, audit.UserPassword, a.Name(), after, err)
}

// UserWithPassword returns the user's record, and when it was read, if the user may log
// in and the record has the hash that a password was found to match: the copy that it
// was compared with may be behind the record.
func (s *Service) UserWithPassword(ctx context.Context, name string, hash authz.Secret) (r store.UserRecord, at time.Time, err error) {
	err = s.UserEditor.Edit(ctx, func(tx store.Tx[store.UserRecord]) (err error) {
		r, err = tx.Get(name)
		at = s.Now().UTC()
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (r.Password == "" || r.Password != hash.Reveal() || !access.EnabledUser(&r)) {
		err = fault.InvalidMembers(fault.FieldError{Pointer: "/password", Detail: "is not the password of that user"})
	}
	if err != nil {
		return store.UserRecord{}, time.Time{}, fault.Of(err)
	}
	r.Password = ""
	return r, at, nil
}

// mayReplacePassword refuses an actor who has proved nothing beside its credential: a
// key never sets its user's password.
func mayReplacePassword(a access.Actor) error {
	if a.Session() != "" || a.ByLink() {
		return nil
	}
	return fault.Refuse(fault.Forbidden, "changing one's own password needs a session")
}

// MayLink returns the user for whom the actor may make a link that sets the password. It
// needs keyward:users, for a user within the actor's bounds and without a keyward:
// scope, or keyward:admin.
func (s *Service) MayLink(ctx context.Context, a access.Actor, ref UserRef) (store.UserRecord, error) {
	user, err := s.linked(ctx, a, ref)
	return user, s.finish(ctx, a, audit.LinkCreate, ref.Name, 0, err)
}

func (s *Service) linked(ctx context.Context, a access.Actor, ref UserRef) (store.UserRecord, error) {
	if err := mayChangeUsers(a); err != nil {
		return store.UserRecord{}, err
	}
	user, err := s.Users.Get(ctx, ref.Name)
	if err == nil {
		err = ref.IfMatch.Match(&user)
	}
	switch {
	case err != nil:
	case user.Unsupported:
		err = store.ErrUnsupported
	case user.Service:
		err = fault.Refuse(fault.Conflict, "the user is a program, which has no password")
	default:
		// What a change of the user to what it is would need.
		if err = mayChangeUser(a, audit.UserPassword, &user, &user); err == nil {
			err = s.mayMakeSecret(a, "")
		}
	}
	return user, err
}
