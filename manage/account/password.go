package account

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// ChangePassword replaces the password of the user of a session, which must give the
// current one. The user's other sessions and the tokens of its logins end, and its keys
// stay. The session goes on under the cookie that is returned.
func (s *Service) ChangePassword(ctx context.Context, a access.Actor, current, password authz.Secret) (authz.Secret, error) {
	if a.Session() == "" || s.CheckPassword == nil {
		return authz.Secret{}, s.finish(ctx, a, audit.UserPassword, a.Name(), fault.Refuse(fault.Forbidden, "changing one's own password needs a session"))
	}
	session, err := s.Logins.Get(ctx, a.User(), a.Session())
	if err != nil {
		return authz.Secret{}, asStateError(err)
	}
	verified, err := s.CheckPassword(ctx, a.User(), current, authz.RawAddress(a.Address()))
	if err != nil {
		return authz.Secret{}, s.finish(ctx, a, audit.UserPassword, a.Name(), asLoginError(err, wrongCurrent))
	}
	r, err := s.Records.ReplacePassword(ctx, a, password, func(r *store.UserRecord) error {
		// It may have been ended while the password was verified.
		if _, err := s.Logins.Get(ctx, a.User(), a.Session()); err != nil {
			return asStateError(err)
		}
		if r.Password != verified.Reveal() || !access.EnabledUser(r) || !sessionOf(&session).Counts(r) {
			return fault.Refuse(fault.Changed, "the user was changed meanwhile")
		}
		return nil
	})
	if err != nil {
		return authz.Secret{}, err
	}
	_, cookie, err := s.Logins.Renew(ctx, session, r.SessionsFrom())
	if err != nil {
		return authz.Secret{}, &fault.Error{Code: fault.StoreUnavailable, Detail: "the password was changed; the session cannot go on", Cause: err}
	}
	return cookie, nil
}

var wrongCurrent = fault.FieldError{Pointer: "/current", Detail: "is not the current password"}

// asLoginError is what a caller learns of a password that was not accepted; wrong is
// what it learns of one that is not the user's.
func asLoginError(err error, wrong fault.FieldError) error {
	denied, ok := errors.AsType[*authz.CredentialError](err)
	switch {
	case !ok:
		return &fault.Error{Code: fault.StoreUnavailable, Detail: "the password cannot be verified now", Cause: err}
	case denied.Reason == authz.RateLimited:
		return fault.Refuse(fault.RateLimited, "too many failed attempts from this address")
	case denied.Reason == authz.Overloaded:
		return fault.Refuse(fault.Overloaded, "too many passwords are being verified")
	}
	return &fault.Error{Code: fault.Invalid, Detail: "the password is another one", Fields: []fault.FieldError{wrong}}
}
