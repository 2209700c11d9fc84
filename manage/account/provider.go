package account

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// ProviderLogin is a person's login with an OpenID provider.
type ProviderLogin struct {
	access.Identity
	// Proved means that the provider had the person log in again, and that the time of
	// the proof was checked.
	Proved bool
	// Session is the id of the session whose user proves again who they are; "" is a new
	// login.
	Session string
	// Presented is the session's cookie that the client presented, if it did. Its session
	// ends.
	Presented authz.Secret
}

// LoginByProvider begins a session of the user who has the identity, with the roles that
// it gives, and returns its cookie. manage.Service.UserOf says whose it is, and whom it
// links and makes; any other identity is Forbidden. An error that is Reauthenticate means
// that the provider has to have the person log in again.
func (s *Service) LoginByProvider(ctx context.Context, call access.Call, l ProviderLogin) (authz.Secret, error) {
	var cookie authz.Secret
	user, err := s.Records.UserOf(ctx, call, l.Identity, s.CreateUsers)
	var proved time.Time
	if err == nil {
		proved, err = s.provedAt(&l, &user)
	}
	switch {
	case err != nil:
	case l.Session != "":
		cookie, err = s.renewByProvider(ctx, &l, &user, proved)
	default:
		login := state.Login{
			User: user.Name, Method: state.LoginOIDC, Roles: l.Roles, Replaces: l.Presented, Proved: proved, After: user.SessionsFrom(),
		}
		if call.Address.IsValid() {
			login.Address = call.Address.String()
		}
		_, cookie, err = s.Logins.Create(ctx, login)
		err = asStateError(err)
	}
	if fault.CodeOf(err) == fault.Forbidden && err != nil {
		s.Records.RefuseUnknown(audit.UnknownCredential, call.Via, addressOf(call), authz.DisabledUser.String())
	}
	return cookie, err
}

// provedAt is when the person proved who they are, as far as the session is concerned. A
// login that asked for no proof makes no session that may be shown secrets of others: a
// browser that was left alone has a session with the provider, too.
//
// It is Reauthenticate if the user's sessions were ended after the proof, and the proof
// was not asked for now.
func (s *Service) provedAt(l *ProviderLogin, user *store.UserRecord) (time.Time, error) {
	now := s.Records.Now()
	notFresh := now.Add(-manage.ReauthenticateAfter - time.Second)
	at := l.Identity.Proved
	switch {
	case l.Proved && !at.IsZero():
		if at.After(now) {
			at = now
		}
		return at, nil
	case at.After(notFresh) && at.Before(now):
	default:
		at = notFresh
	}
	if !at.After(user.SessionsFrom()) {
		return time.Time{}, fault.Refuse(fault.Reauthenticate, "the user's sessions were ended after this person logged in to the provider: log in to it again")
	}
	return at, nil
}

// renewByProvider renews a session whose user has proved again who they are. Its roles
// are those that the provider gives now.
func (s *Service) renewByProvider(ctx context.Context, l *ProviderLogin, user *store.UserRecord, proved time.Time) (authz.Secret, error) {
	session, err := s.Logins.Get(ctx, user.Name, l.Session)
	switch {
	case err != nil:
		return authz.Secret{}, asStateError(err)
	case !l.Proved, session.Method != state.LoginOIDC, !sessionOf(&session).Counts(user):
		return authz.Secret{}, fault.Refuse(fault.Forbidden, "the session has ended, or did not begin with the provider: log in again")
	}
	session.Roles = l.Roles
	_, cookie, err := s.Logins.Renew(ctx, session, store.Latest(proved, user.SessionsFrom()))
	return cookie, asStateError(err)
}

// addressOf is the client's address as it is counted.
func addressOf(call access.Call) authz.Address {
	if !call.Address.IsValid() {
		return authz.Address{}
	}
	return authz.RawAddress(call.Address.String()).Address()
}
