package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store"
)

// Finder finds the session of a cookie. state.ErrNotFound means that there is none, or
// that it has expired; any other error, that this is not known.
type Finder interface {
	Find(ctx context.Context, token authz.Secret) (state.Session, error)
}

// Users reads the users' records. store.ErrNotFound means that there is no such user.
type Users interface {
	Get(ctx context.Context, name string) (store.UserRecord, error)
}

// Verifier verifies the cookies of sessions. Each use is judged by the user's record as
// it is then.
type Verifier struct {
	Sessions Finder
	Users    Users
}

// Verify implements authz.Verifier.
func (v Verifier) Verify(ctx context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	if c.Scheme != authz.SchemeSession {
		return nil, authz.ErrNotMine
	}
	session, err := v.Sessions.Find(ctx, c.Secret)
	if errors.Is(err, state.ErrNotFound) {
		return nil, &authz.CredentialError{Reason: authz.InvalidToken}
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	p := &authz.Principal{AuthMethod: authz.AuthMethodSession, User: session.User, Paths: urlpath.Any(), UserPaths: urlpath.Any()}
	user, err := v.Users.Get(ctx, session.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, &authz.CredentialError{Reason: authz.DisabledUser, Principal: p}
	case err != nil:
		return nil, fmt.Errorf("reading the user of a session: %w", err)
	case !access.EnabledUser(&user):
		return nil, &authz.CredentialError{Reason: authz.DisabledUser, Principal: p}
	case !(access.Session{Login: session.Login}).Counts(&user):
		return nil, &authz.CredentialError{Reason: authz.RevokedToken, Principal: p}
	}
	return p, nil
}
