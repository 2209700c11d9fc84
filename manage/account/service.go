package account

import (
	"context"
	"errors"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store/audit"
)

// Config is what a Service is made of. Records and State are required.
type Config struct {
	Records *manage.Service
	// State has the sessions and the one-time codes.
	State *state.DB
	// Logins are the sessions of the place to which users log in; the zero value is the
	// console's.
	Logins state.Sessions
	// CheckPassword returns the stored hash that a user's password matches. It counts
	// failed attempts of the client, and its error is that of an authz.Verifier. nil: no
	// user changes its own password.
	CheckPassword func(ctx context.Context, user string, password authz.Secret, client authz.RawAddress) (authz.Secret, error)
	// CreateUsers makes a user of each person who logs in with the OpenID provider and is
	// not a user yet.
	CreateUsers bool
	// FirstLogin is what a user gets at the first login.
	FirstLogin FirstLogin
}

// Service is the way in and out. Its methods may be called at the same time. Every error
// is a [fault.Error].
type Service struct{ Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Logins == (state.Sessions{}) {
		cfg.Logins = cfg.State.Sessions
	}
	return &Service{cfg}
}

// finish records a refusal.
func (s *Service) finish(ctx context.Context, a access.Actor, action audit.Action, record string, err error) error {
	if e := fault.AsError(err); e != nil && e.IsRefusal() {
		s.Records.Refuse(ctx, a, action, record, e.Code)
	}
	return err
}

// change makes a change of the state with its entry in the log.
func (s *Service) change(ctx context.Context, e *audit.Entry, change func(seq int64) error) error {
	made := func(seq int64) error { return asStateError(change(seq)) }
	if s.Records.Audit == nil {
		return made(0)
	}
	err := s.Records.Audit.Change(ctx, e, made)
	if err == nil && s.Records.Changed != nil {
		s.Records.Changed(e.Action)
	}
	return fault.Of(err)
}

// asStateError makes an Error of what the state returned.
func asStateError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, state.ErrNotFound):
		return &fault.Error{Code: fault.NotFound, Detail: "there is no such session or link, or it has ended", Cause: err}
	default:
		return &fault.Error{Code: fault.StoreUnavailable, Detail: "the state cannot be read or written", Cause: err}
	}
}
