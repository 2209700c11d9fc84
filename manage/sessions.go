package manage

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// ActorOf returns the actor of a key that was verified, as the key and its user are
// now: the zero Actor if one of them has ended since.
func (s *Service) ActorOf(ctx context.Context, keyID string, call access.Call) (access.Actor, error) {
	key, err := s.Keys.Get(ctx, keyID)
	if err != nil {
		return access.Actor{}, asError(err)
	}
	if key.User == "" {
		return access.KeyActor(&key, nil, s.Now(), call), nil
	}
	user, err := s.Users.Get(ctx, key.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil // deleted since the key was verified
	case err != nil:
		return access.Actor{}, asError(err)
	}
	return access.KeyActor(&key, &user, s.Now(), call), nil
}

// ActorOfSession is ActorOf for the cookie of a session.
func (s *Service) ActorOfSession(ctx context.Context, cookie authz.Secret, call access.Call) (access.Actor, error) {
	if s.State == nil {
		return access.Actor{}, nil
	}
	session, err := s.State.Sessions.Find(ctx, cookie)
	return s.sessionActor(ctx, session, err, call)
}

// sessionActor is the actor of a session that was read, or that could not be.
func (s *Service) sessionActor(ctx context.Context, session state.Session, err error, call access.Call) (access.Actor, error) {
	var user store.UserRecord
	if err == nil {
		user, err = s.Users.Get(ctx, session.User)
	}
	switch {
	case errors.Is(err, state.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return access.Actor{}, nil
	case err != nil:
		return access.Actor{}, &Error{Code: StoreUnavailable, Detail: "the session cannot be read", Cause: err}
	}
	return access.SessionActor(&user, sessionOf(&session), call), nil
}

func sessionOf(s *state.Session) access.Session {
	return access.Session{ID: s.ID, Login: s.Login, Roles: s.Roles, ByPassword: s.Method == state.LoginPassword}
}

// Renew returns the actor as its credential and its user are now: the zero Actor if
// one of them has ended meanwhile.
func (s *Service) Renew(ctx context.Context, a access.Actor) (access.Actor, error) {
	var now access.Actor
	var err error
	switch call := (access.Call{Via: a.Via()}); {
	case a.Key() != "":
		now, err = s.ActorOf(ctx, a.Key(), call)
	case a.Session() != "" && s.State != nil:
		session, found := s.State.Sessions.Get(ctx, a.User(), a.Session())
		now, err = s.sessionActor(ctx, session, found, call)
	default:
		return a, nil // a command
	}
	if err != nil || !now.Known() {
		return access.Actor{}, err
	}
	return now.WithCallOf(a), nil
}

// OwnSessions returns a page of the sessions of the actor's user that have not ended.
// It needs keyward:self or a session.
func (s *Service) OwnSessions(ctx context.Context, a access.Actor, page store.Page) ([]state.Session, store.Cursor, error) {
	if err := mayUseSessions(a); err != nil {
		s.Refuse(ctx, a, audit.Read, "sessions", Forbidden)
		return nil, "", err
	}
	user, err := s.Users.Get(ctx, a.User())
	if err != nil {
		return nil, "", asError(err)
	}
	if s.State == nil {
		return nil, "", nil
	}
	all, err := s.State.Sessions.List(ctx, a.User())
	if err != nil {
		return nil, "", asStateError(err)
	}
	begun := func(r *state.Session) store.Position { return store.Position{Made: r.Login, ID: r.ID} }
	counts := func(r *state.Session) bool { return sessionOf(r).Counts(&user) }
	sessions, next, err := store.Paginate(all, begun, counts, page)
	return sessions, next, asListError(err)
}

// EndSession ends a session of the actor's user. It needs keyward:self or a session; a
// session may always end itself.
func (s *Service) EndSession(ctx context.Context, a access.Actor, id string) error {
	var err error
	if id != a.Session() || id == "" {
		err = mayUseSessions(a)
	}
	if err == nil {
		err = s.endSession(ctx, a, id)
	}
	return s.finish(ctx, a, audit.SessionEnd, id, 0, err)
}

func (s *Service) endSession(ctx context.Context, a access.Actor, id string) error {
	if s.State == nil {
		return asStateError(state.ErrNotFound)
	}
	if _, err := s.State.Sessions.Get(ctx, a.User(), id); err != nil {
		err = asStateError(err)
		AsError(err).refused = CodeOf(err) == NotFound // it may be of another user
		return err
	}
	if s.Audit != nil {
		// A session ends although its entry cannot be written: the log keeps it.
		if err := s.Audit.Append(ctx, a.Entry(audit.SessionEnd, id, nil)); err != nil {
			return err
		}
	}
	return asStateError(s.State.Sessions.End(ctx, a.User(), id))
}

func mayUseSessions(a access.Actor) error {
	if a.Has(access.Self) && a.User() != "" {
		return nil
	}
	return refuse(Forbidden, "one's own sessions need the scope %s or a session", access.ScopeSelf)
}
