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

// How long a one-time link is valid. The one for the first administrator is for the
// person who has just run the command.
const (
	passwordLinkTTL = 24 * time.Hour
	setupLinkTTL    = 15 * time.Minute
)

// CreatePasswordLink returns the code of a link by which the user sets a password,
// which is in the answer alone, and ends the one before. With it the actor could act as
// the user: it needs what manage.Service.MayLink says.
func (s *Service) CreatePasswordLink(ctx context.Context, a access.Actor, ref manage.UserRef) (authz.Secret, state.Code, error) {
	user, err := s.Records.MayLink(ctx, a, ref)
	if err != nil {
		return authz.Secret{}, state.Code{}, err
	}
	return s.issue(ctx, a, state.PurposePassword, user.Name, string(user.Version()), passwordLinkTTL)
}

// CreateSetupLink returns the code of a link by which the first administrator is made.
// Only an operator makes it, and only while there is no administrator.
func (s *Service) CreateSetupLink(ctx context.Context, a access.Actor) (authz.Secret, state.Code, error) {
	var err error
	if a.Via() != audit.ViaCLI {
		err = fault.Refuse(fault.Forbidden, "the first administrator is made by an operator")
	} else {
		err = s.Records.LacksAdministrator(ctx)
	}
	if err != nil {
		return authz.Secret{}, state.Code{}, s.finish(ctx, a, audit.LinkCreate, string(state.PurposeSetup), err)
	}
	return s.issue(ctx, a, state.PurposeSetup, "", "", setupLinkTTL)
}

// issue issues a code with its entry in the log.
func (s *Service) issue(ctx context.Context, a access.Actor, purpose state.Purpose, user, version string, ttl time.Duration) (authz.Secret, state.Code, error) {
	record := user
	if record == "" {
		record = string(purpose)
	}
	var token authz.Secret
	var code state.Code
	err := s.change(ctx, a.Entry(audit.LinkCreate, record, nil), func(seq int64) (err error) {
		token, code, err = s.State.Codes.Issue(ctx, seq, purpose, user, version, ttl)
		return err
	})
	return token, code, err
}

// Link returns the code of a link that is good now. One that was used, that is
// outdated, or that never was, is NotFound.
func (s *Service) Link(ctx context.Context, purpose state.Purpose, token authz.Secret) (state.Code, error) {
	code, err := s.State.Codes.Peek(ctx, purpose, token)
	if err != nil {
		return state.Code{}, asStateError(err)
	}
	if purpose == state.PurposeSetup {
		if err = s.Records.LacksAdministrator(ctx); err != nil && fault.CodeOf(err) == fault.Conflict {
			err = store.ErrNotFound
		}
	} else {
		var user store.UserRecord
		if user, err = s.Records.Users.Get(ctx, code.Subject); err == nil {
			err = isGood(code, &user)
		}
	}
	if err != nil {
		return state.Code{}, fault.Of(err)
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

// SetPassword sets the password of the user whom the link is for, and uses the link up
// in the same step. The user's sessions and the tokens of its logins end.
func (s *Service) SetPassword(ctx context.Context, call access.Call, token, password authz.Secret) error {
	code, err := s.Link(ctx, state.PurposePassword, token)
	if err != nil {
		return err
	}
	_, err = s.Records.ReplacePassword(ctx, access.LinkActor(code.Subject, call), password, func(r *store.UserRecord) error { return isGood(code, r) })
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
	a := access.LinkActor(name, call)
	r, err := s.Records.CreateFirstAdministrator(ctx, a, password)
	if err != nil {
		return store.UserRecord{}, authz.Secret{}, err
	}
	_ = s.State.Codes.Cancel(ctx, state.PurposeSetup, "") // the administrator has ended it
	login := state.Login{User: name, Method: state.LoginPassword, Address: a.Address(), Proved: r.At, After: r.SessionsFrom()}
	_, cookie, err := s.Logins.Create(ctx, login)
	return r, cookie, asStateError(err)
}
