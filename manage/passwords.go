package manage

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/audit"
)

// minPassword is the shortest password that is set here, in bytes (NIST SP 800-63B).
// Imported ones may be shorter.
const minPassword = 8

func checkPassword(bad *problems, password authz.Secret) {
	if len(password.Reveal()) < minPassword || !passwordhash.ValidPassword(password) {
		bad.add("/password", "is not %d to 72 bytes", minPassword)
	}
}

// hashOf returns the hash of a password, or what is wrong with it.
func (s *Service) hashOf(ctx context.Context, password authz.Secret) (string, error) {
	var bad problems
	checkPassword(&bad, password)
	if err := bad.err(); err != nil {
		return "", err
	}
	return s.HashPassword(ctx, password)
}

// SetPassword sets a user's password. It needs keyward:admin: with the password the
// actor could act as the user.
func (s *Service) SetPassword(ctx context.Context, a access.Actor, ref UserRef, password authz.Secret) error {
	var hash string
	var err error
	if !a.Has(access.Admin) {
		err = refuse(Forbidden, "setting the password of a user needs the scope %s", access.ScopeAdmin)
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
		r.Password = hash
		r.EndLogins(now)
		return nil
	})
	return err
}

// ChangeOwnPassword replaces the password of the user of a session, which must give the
// current one. The user's other sessions and the tokens of its logins end, and its keys
// stay. The session goes on under the cookie that is returned.
func (s *Service) ChangeOwnPassword(ctx context.Context, a access.Actor, current, password authz.Secret) (cookie authz.Secret, err error) {
	if a.Session() == "" || s.State == nil || s.CheckPassword == nil {
		return cookie, s.finish(ctx, a, audit.UserPassword, a.Name(), 0, refuse(Forbidden, "changing one's own password needs a session"))
	}
	session, err := s.State.Sessions.Get(ctx, a.User(), a.Session())
	if err != nil {
		return cookie, asStateError(err)
	}
	verified, err := s.CheckPassword(ctx, a.User(), current, authz.RawAddress(a.Address()))
	var hash string
	if err = asLoginError(err); err == nil {
		hash, err = s.hashOf(ctx, password)
	}
	if err != nil {
		return cookie, s.finish(ctx, a, audit.UserPassword, a.Name(), 0, err)
	}
	r, err := s.editProven(ctx, a, audit.UserPassword, func(r *store.UserRecord, now time.Time) error {
		if r.Password != verified.Reveal() {
			return refuse(Changed, "the password was changed meanwhile")
		}
		replacePassword(r, hash, now)
		return nil
	})
	if err != nil {
		return cookie, err
	}
	if _, cookie, err = s.State.Sessions.Renew(ctx, session, r.SessionsFrom()); err != nil {
		return authz.Secret{}, &Error{Code: StoreUnavailable, Detail: "the password was changed; the session cannot go on", Cause: err}
	}
	return cookie, nil
}

// replacePassword sets a password that its user has chosen.
func replacePassword(r *store.UserRecord, hash string, now time.Time) {
	r.Password, r.MustChange = hash, false
	r.EndLogins(now)
}

// editProven makes one change of the user that the actor has proved to be, by the
// current password or by a link. It needs no role, and changes nothing that the user
// may do.
func (s *Service) editProven(ctx context.Context, a access.Actor, action audit.Action, edit func(*store.UserRecord, time.Time) error) (store.UserRecord, error) {
	return s.editRecord(ctx, a, UserRef{Name: a.Name()}, action, nil, edit, func(tx store.Tx[store.UserRecord], before, after *store.UserRecord) error {
		if before.Unsupported {
			return store.ErrUnsupported
		}
		if err := checkService(after); err != nil {
			return err
		}
		tx.Put(after, a.Entry(action, after.Name, userChanges(before, after)))
		return nil
	})
}

// asLoginError is what a caller learns of a password that was not accepted.
func asLoginError(err error) error {
	denied, ok := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return &Error{Code: StoreUnavailable, Detail: "the password cannot be verified now", Cause: err}
	case denied.Reason == authz.RateLimited:
		return refuse(RateLimited, "too many failed attempts from this address")
	case denied.Reason == authz.Overloaded:
		return refuse(Overloaded, "too many passwords are being verified")
	}
	var bad problems
	bad.add("/current", "is not the current password")
	return bad.err()
}

// asStateError makes an Error of what the state file returned.
func asStateError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, state.ErrNotFound):
		return &Error{Code: NotFound, Detail: "there is no such session or link, or it has ended", Cause: err}
	default:
		return &Error{Code: StoreUnavailable, Detail: "the state file cannot be read or written", Cause: err}
	}
}
