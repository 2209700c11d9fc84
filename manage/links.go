package manage

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
)

// How long a one-time link is valid. The one for the first administrator is for the
// person who has just run the command.
const (
	passwordLinkTTL = 24 * time.Hour
	setupLinkTTL    = 15 * time.Minute
)

// CreatePasswordLink returns the code of a link by which the user sets a password,
// which is in the answer alone, and ends the one before. With it the actor could act as
// the user: it needs keyward:users, for a user within the actor's bounds and without a
// keyward: scope, or keyward:admin.
func (s *Service) CreatePasswordLink(ctx context.Context, a access.Actor, ref UserRef) (authz.Secret, state.Code, error) {
	err := mayChangeUsers(a)
	var user store.UserRecord
	if err == nil {
		user, err = s.Users.Get(ctx, ref.Name)
	}
	if err == nil {
		err = ref.IfMatch.Match(&user)
	}
	if err == nil {
		err = s.mayLink(a, &user)
	}
	var token authz.Secret
	var code state.Code
	if err == nil {
		token, code, err = s.issueLink(ctx, a, state.PurposePassword, user.Name, string(user.Version()), passwordLinkTTL)
	}
	return token, code, s.finish(ctx, a, audit.LinkCreate, ref.Name, 0, err)
}

// mayLink refuses an actor who may not make a link for the user.
func (s *Service) mayLink(a access.Actor, user *store.UserRecord) error {
	switch {
	case user.Unsupported:
		return store.ErrUnsupported
	case user.Service:
		return refuse(Conflict, "the user is a program, which has no password")
	}
	// What changes a user needs, with the user as it is for the result.
	if err := mayChangeUser(a, audit.UserPassword, user, user); err != nil {
		return err
	}
	return s.mayMakeSecret(a, "")
}

// CreateSetupLink returns the code of a link by which the first administrator is made.
// It needs keyward:admin, which an operator has, and is refused where an administrator exists.
func (s *Service) CreateSetupLink(ctx context.Context, a access.Actor) (authz.Secret, state.Code, error) {
	var err error
	if !a.Has(access.Admin) {
		err = refuse(Forbidden, "the first administrator is made by an operator")
	} else {
		err = s.lacksAdministrator(ctx)
	}
	var token authz.Secret
	var code state.Code
	if err == nil {
		token, code, err = s.issueLink(ctx, a, state.PurposeSetup, "", "", setupLinkTTL)
	}
	return token, code, s.finish(ctx, a, audit.LinkCreate, string(state.PurposeSetup), 0, err)
}

// lacksAdministrator returns Conflict if there is an enabled administrator.
func (s *Service) lacksAdministrator(ctx context.Context) error {
	there, err := s.hasAdministrator(ctx)
	if err == nil && there {
		err = refuse(Conflict, "an administrator exists")
	}
	return err
}

// issueLink issues a code once its entry is in the log. A code without an entry would
// be worse than an entry without its code.
func (s *Service) issueLink(ctx context.Context, a access.Actor, purpose state.Purpose, user, version string, ttl time.Duration) (authz.Secret, state.Code, error) {
	if s.State == nil {
		return authz.Secret{}, state.Code{}, refuse(Conflict, "there is no state file, which links need")
	}
	record := user
	if record == "" {
		record = string(purpose)
	}
	if s.Audit != nil {
		if err := s.Audit.Append(ctx, a.Entry(audit.LinkCreate, record, nil)); err != nil {
			return authz.Secret{}, state.Code{}, err
		}
	}
	token, code, err := s.State.Codes.Issue(ctx, purpose, user, version, ttl)
	return token, code, asStateError(err)
}

// Link returns the code of a link that is good now. One that was used, that is
// outdated, or that never was, is NotFound.
func (s *Service) Link(ctx context.Context, purpose state.Purpose, token authz.Secret) (state.Code, error) {
	if s.State == nil {
		return state.Code{}, asStateError(state.ErrNotFound)
	}
	code, err := s.State.Codes.Peek(ctx, purpose, token)
	if err != nil {
		return state.Code{}, asStateError(err)
	}
	if purpose == state.PurposeSetup {
		var there bool
		if there, err = s.hasAdministrator(ctx); err == nil && there {
			err = store.ErrNotFound
		}
	} else {
		var user store.UserRecord
		if user, err = s.Users.Get(ctx, code.Subject); err == nil {
			err = isGood(code, &user)
		}
	}
	if err != nil {
		return state.Code{}, asError(err)
	}
	return code, nil
}

// isGood returns NotFound unless the code is one for the user as the record is. The
// record's line decides, so that a code is used once whatever becomes of the state
// file, and a link that was made for a user with less does not set the password of one
// who has been given more.
func isGood(code state.Code, user *store.UserRecord) error {
	if code.Version == "" || code.Version != string(user.Version()) {
		return store.ErrNotFound
	}
	return nil
}

// SetPasswordByLink sets the password of the user whom the link is for, and uses the
// link up in the same step. The user's sessions and the tokens of its logins end.
func (s *Service) SetPasswordByLink(ctx context.Context, call access.Call, token, password authz.Secret) error {
	code, err := s.Link(ctx, state.PurposePassword, token)
	if err != nil {
		return err
	}
	a := access.LinkActor(code.Subject, call)
	hash, err := s.hashOf(ctx, password)
	if err != nil {
		return s.finish(ctx, a, audit.UserPassword, code.Subject, 0, err)
	}
	_, err = s.editProven(ctx, a, audit.UserPassword, func(r *store.UserRecord, now time.Time) error {
		if err := isGood(code, r); err != nil {
			return err
		}
		replacePassword(r, hash, now)
		return nil
	})
	if err == nil {
		_ = s.State.Codes.Cancel(ctx, state.PurposePassword, code.Subject) // the record has ended it
	}
	return err
}

// SetUp makes the first administrator, which ends every link to become it in the same
// step, and returns the cookie of the administrator's session.
func (s *Service) SetUp(ctx context.Context, call access.Call, token authz.Secret, name string, password authz.Secret) (store.UserRecord, authz.Secret, error) {
	if _, err := s.Link(ctx, state.PurposeSetup, token); err != nil {
		return store.UserRecord{}, authz.Secret{}, err
	}
	var bad problems
	bad.check("/name", store.CheckUserName(name))
	checkPassword(&bad, password)
	err := bad.err()
	var hash string
	if err == nil {
		hash, err = s.HashPassword(ctx, password)
	}
	if err != nil {
		return store.UserRecord{}, authz.Secret{}, asError(err)
	}
	a := access.LinkActor(name, call)
	r, err := s.createAdministrator(ctx, a, hash)
	if err != nil {
		return store.UserRecord{}, authz.Secret{}, err
	}
	_ = s.State.Codes.Cancel(ctx, state.PurposeSetup, "") // the administrator has ended it
	login := state.Login{User: name, Method: state.LoginPassword, Address: a.Address(), After: r.SessionsFrom()}
	_, cookie, err := s.State.Sessions.Create(ctx, login)
	return r, cookie, asStateError(err)
}

// createAdministrator makes the user that the actor is, if there is no administrator.
func (s *Service) createAdministrator(ctx context.Context, a access.Actor, hash string) (store.UserRecord, error) {
	var r store.UserRecord
	err := s.UserEditor.Edit(ctx, func(tx store.Tx[store.UserRecord]) error {
		if err := noAdministrator(tx); err != nil {
			return err
		}
		if _, err := tx.Get(a.Name()); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, store.ErrDuplicate)
		}
		now := s.Now().UTC()
		r = store.UserRecord{Name: a.Name(), Scopes: []string{access.ScopeAdmin}, Password: hash, Created: now, At: now}
		tx.Put(&r, a.Entry(audit.UserCreate, r.Name, userChanges(&store.UserRecord{}, &r)))
		return nil
	})
	return s.finishUser(ctx, a, audit.UserCreate, a.Name(), r, err)
}

// noAdministrator returns NotFound if there is an enabled administrator.
func noAdministrator(tx store.Tx[store.UserRecord]) error {
	return tx.Each(func(r *store.UserRecord) error {
		if administers(r) {
			return store.ErrNotFound
		}
		return nil
	})
}

// hasAdministrator reports whether there is an enabled administrator.
func (s *Service) hasAdministrator(ctx context.Context) (bool, error) {
	page := store.Page{Limit: 1000}
	for {
		users, next, err := s.Users.List(ctx, store.UserFilter{}, page)
		if err != nil {
			return false, err
		}
		for i := range users {
			if administers(&users[i]) {
				return true, nil
			}
		}
		if next == "" {
			return false, nil
		}
		page.After = next
	}
}
