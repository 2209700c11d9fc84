package account

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// Login begins a session of the user whose password this is, and returns its cookie. The
// session of the cookie that the client presented ends. A password that is not accepted
// is Invalid, whatever the reason is, and is counted for the client's address.
func (s *Service) Login(ctx context.Context, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error) {
	r, proved, err := s.Prove(ctx, call, user, password)
	if err != nil {
		return authz.Secret{}, err
	}
	login := state.Login{User: r.Name, Method: state.LoginPassword, Replaces: presented, Proved: proved, After: r.SessionsFrom()}
	if call.Address.IsValid() {
		login.Address = call.Address.String()
	}
	_, cookie, err := s.Logins.Create(ctx, login)
	return cookie, asStateError(err)
}

// Reauthenticate renews a session that began by a password, when its user has given the
// password again. It returns the cookie of the new one and its actor.
func (s *Service) Reauthenticate(ctx context.Context, a access.Actor, password authz.Secret) (authz.Secret, access.Actor, error) {
	session, err := s.Logins.Get(ctx, a.User(), a.Session())
	switch {
	case err != nil:
		return authz.Secret{}, access.Actor{}, asStateError(err)
	case session.Method != state.LoginPassword:
		return authz.Secret{}, access.Actor{}, fault.Refuse(fault.Forbidden, "the session did not begin by a password: log in again")
	}
	r, proved, err := s.Prove(ctx, a.Call(), a.User(), password)
	if err != nil {
		return authz.Secret{}, access.Actor{}, err
	}
	if from := r.SessionsFrom(); from.After(proved) {
		proved = from
	}
	if !sessionOf(&session).Counts(&r) {
		return authz.Secret{}, access.Actor{}, fault.Refuse(fault.Forbidden, "the session has ended")
	}
	renewed, cookie, err := s.Logins.Renew(ctx, session, proved)
	if err != nil {
		return authz.Secret{}, access.Actor{}, asStateError(err)
	}
	return cookie, access.SessionActor(&r, sessionOf(&renewed), a.Call()), nil
}

// ByProvider reports whether the actor's session began with the OpenID provider, by which
// its user then proves again who they are.
func (s *Service) ByProvider(ctx context.Context, a access.Actor) (bool, error) {
	session, err := s.Logins.Get(ctx, a.User(), a.Session())
	return session.Method == state.LoginOIDC, asStateError(err)
}

// Prove returns the record of the user whose password this is, and when that was so:
// what ends the user's sessions later ends one that begins then.
func (s *Service) Prove(ctx context.Context, call access.Call, user string, password authz.Secret) (r store.UserRecord, proved time.Time, err error) {
	if s.CheckPassword == nil {
		return r, proved, fault.Refuse(fault.Forbidden, "no user logs in by a password here")
	}
	var address authz.RawAddress
	if call.Address.IsValid() {
		address = authz.RawAddress(call.Address.String())
	}
	verified, err := s.CheckPassword(ctx, user, password, address)
	if err == nil {
		r, proved, err = s.Records.UserWithPassword(ctx, user, verified)
	} else {
		err = asLoginError(err, wrongLogin)
	}
	if fault.CodeOf(err) == fault.Invalid {
		s.Records.RefuseUnknown(audit.UnknownCredential, call.Via, address.Address(), authz.WrongPassword.String())
	}
	return r, proved, err
}

// wrongLogin does not say which of the two is wrong.
var wrongLogin = fault.FieldError{Pointer: "/password", Detail: "is not the password of that user"}
