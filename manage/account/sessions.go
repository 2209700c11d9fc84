package account

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// Actor returns the actor of a session's cookie, as the session and its user are now:
// the zero Actor if one of them has ended.
func (s *Service) Actor(ctx context.Context, cookie authz.Secret, call access.Call) (access.Actor, error) {
	session, err := s.Logins.Find(ctx, cookie)
	return s.actorOf(ctx, session, err, call)
}

// Renew returns the actor of a session as the session and its user are now: the zero
// Actor if one of them has ended meanwhile. Other actors are as manage.Service has them.
func (s *Service) Renew(ctx context.Context, a access.Actor) (access.Actor, error) {
	if a.Session() == "" {
		return s.Records.Renew(ctx, a)
	}
	session, err := s.Logins.Get(ctx, a.User(), a.Session())
	now, err := s.actorOf(ctx, session, err, access.Call{Via: a.Via()})
	if err != nil || !now.Known() {
		return access.Actor{}, err
	}
	return now.WithCallOf(a), nil
}

// actorOf is the actor of a session that was read, or that could not be.
func (s *Service) actorOf(ctx context.Context, session state.Session, err error, call access.Call) (access.Actor, error) {
	var user store.UserRecord
	if err == nil {
		user, err = s.Records.Users.Get(ctx, session.User)
	}
	switch {
	case errors.Is(err, state.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil
	case err != nil:
		return access.Actor{}, &fault.Error{Code: fault.StoreUnavailable, Detail: "the session cannot be read", Cause: err}
	}
	return access.SessionActor(&user, sessionOf(&session), call), nil
}

func sessionOf(s *state.Session) access.Session {
	return access.Session{ID: s.ID, Login: s.Login, Roles: s.Roles, ByPassword: s.Method == state.LoginPassword}
}

// Sessions returns a page of the sessions of the actor's user that have not ended. It
// needs keyward:self or a session.
func (s *Service) Sessions(ctx context.Context, a access.Actor, page store.Page) ([]state.Session, store.Cursor, error) {
	if err := mayUseSessions(a); err != nil {
		return nil, "", s.finish(ctx, a, audit.Read, "sessions", err)
	}
	user, err := s.Records.Users.Get(ctx, a.User())
	if err != nil {
		return nil, "", fault.Of(err)
	}
	all, err := s.Logins.List(ctx, a.User())
	if err != nil {
		return nil, "", asStateError(err)
	}
	begun := func(r *state.Session) store.Position { return store.Position{Made: r.Login, ID: r.ID} }
	counts := func(r *state.Session) bool { return sessionOf(r).Counts(&user) }
	sessions, next, err := store.Paginate(all, begun, counts, page)
	return sessions, next, fault.OfList(err)
}

// EndSession ends a session of the actor's user. It needs keyward:self or a session; a
// session may always end itself.
func (s *Service) EndSession(ctx context.Context, a access.Actor, id string) error {
	var err error
	if id != a.Session() || id == "" {
		err = mayUseSessions(a)
	}
	if err == nil {
		_, err = s.Logins.Get(ctx, a.User(), id)
		if err = asStateError(err); err != nil && fault.CodeOf(err) == fault.NotFound {
			// It may be another user's.
			s.Records.Refuse(ctx, a, audit.SessionEnd, id, fault.NotFound)
		}
	}
	if err == nil {
		// A session ends although its entry cannot be written: the log keeps it.
		err = s.change(ctx, a.Entry(audit.SessionEnd, id, nil), func(seq int64) error { return s.Logins.End(ctx, seq, a.User(), id) })
	}
	return s.finish(ctx, a, audit.SessionEnd, id, err)
}

func mayUseSessions(a access.Actor) error {
	if a.Has(access.Self) && a.User() != "" {
		return nil
	}
	return fault.Refuse(fault.Forbidden, "one's own sessions need the scope %s or a session", access.ScopeSelf)
}
