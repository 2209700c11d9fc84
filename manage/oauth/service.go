package oauth

import (
	"context"
	"errors"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/oauth"
)

// Config is what a Service is made of. All but Now, Issued and Reused are required.
type Config struct {
	Records  *manage.Service
	Accounts *account.Service // by which users prove who they are, with the sessions of the issuer's own pages
	Grants   state.Grants
	Consents state.Consents
	Signer   Signer
	// Issuer is the iss of the tokens, and Audience their aud.
	Issuer, Audience string
	// AccessTTL and RefreshTTL are how long a token is valid.
	AccessTTL, RefreshTTL time.Duration
	// LongestTTL is how long an access token is valid at most that was signed by an earlier
	// configuration: what ends a grant ends it, too. Zero: AccessTTL.
	LongestTTL time.Duration
	Now        func() time.Time // nil: time.Now
	// Issued is called for each access token, with the grant that it is for: login, or one of
	// oauth.Grants; nil: nothing is.
	Issued func(grant string)
	// Reused is called when a grant ends because one of its refresh tokens was used again;
	// nil: nothing is.
	Reused func()
}

// Service gives out tokens and ends them. Its methods may be called at the same time. Every
// error is a [fault.Error].
type Service struct{ Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.LongestTTL = max(cfg.LongestTTL, cfg.AccessTTL)
	if cfg.Issued == nil {
		cfg.Issued = func(string) {}
	}
	return &Service{cfg}
}

// Login gives tokens to the user whose password this is. A password that is not accepted is
// Invalid, whatever the reason is; one that has to be changed first is Forbidden.
func (s *Service) Login(ctx context.Context, call access.Call, user string, password authz.Secret) (Tokens, error) {
	r, _, err := s.Accounts.Prove(ctx, call, user, password)
	if err != nil {
		return Tokens{}, err
	}
	if r.MustChange {
		return Tokens{}, fault.Refuse(fault.Forbidden, "the password must be changed first: log in to the console")
	}
	grant := state.Grant{User: r.Name, Client: oauth.LoginClient, Gen: r.Gen}
	if call.Address.IsValid() {
		grant.Address = call.Address.String()
	}
	grant, refresh, err := s.Grants.Create(ctx, 0, grant, s.RefreshTTL)
	if err != nil {
		return Tokens{}, unavailable(err)
	}
	return s.tokens("login", &r, grant, refresh)
}

// errEnded is a grant whose user has changed the password since, or is disabled or deleted,
// or whose client has ended so.
var errEnded = errors.New("the tokens of the user or the client have ended")

// Refresh replaces a refresh token of a login by new tokens. A token that is not accepted is
// NotFound. One that was used before, and not just now, ends its grant: a client that presents
// it lost its successor, or it was stolen (RFC 9700 section 4.14.2).
func (s *Service) Refresh(ctx context.Context, call access.Call, token authz.Secret) (Tokens, error) {
	issued, err := s.RefreshFor(ctx, call, token, &store.Client{ID: oauth.LoginClient})
	if err != nil {
		return Tokens{}, err
	}
	return s.tokens(string(oauth.RefreshToken), &issued.User, issued.Grant, issued.Refresh)
}

// Issuance is a grant with its user and its next refresh token: an access token is signed for it.
type Issuance struct {
	Grant   state.Grant
	User    store.UserRecord
	Refresh authz.Secret // the next refresh token; empty: there is none
}

// RefreshFor replaces a refresh token of the client, as Refresh does with one of a login.
func (s *Service) RefreshFor(ctx context.Context, call access.Call, token authz.Secret, client *store.Client) (Issuance, error) {
	var user store.UserRecord
	read := func(g state.Grant) (err error) {
		user, err = s.userOf(ctx, &g)
		if err == nil && g.ClientGen != client.Gen {
			err = errEnded
		}
		return err
	}
	grant, next, err := s.Grants.Rotate(ctx, token, client.ID, s.RefreshTTL, read)
	if err == nil && user.Name == "" { // a successor that was there already
		err = read(grant)
	}
	switch {
	case errors.Is(err, state.ErrRefreshReused):
		if s.Reused != nil {
			s.Reused()
		}
		if err := s.end(ctx, call, &grant, "A refresh token was used again"); err != nil {
			return Issuance{}, err
		}
		return Issuance{}, notAccepted(state.ErrRefreshReused)
	case errors.Is(err, state.ErrNotFound), errors.Is(err, state.ErrRefreshReplaced), errors.Is(err, errEnded):
		return Issuance{}, notAccepted(err)
	case err != nil:
		return Issuance{}, unavailable(err)
	}
	return Issuance{grant, user, next}, nil
}

// Logout ends the grant of a refresh token, used or not, and its access tokens. A token that is
// of no grant is not an error: its grant has ended.
func (s *Service) Logout(ctx context.Context, call access.Call, token authz.Secret) error {
	grant, err := s.Grants.Find(ctx, token)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil
	case err != nil:
		return unavailable(err)
	case grant.Client != oauth.LoginClient:
		return nil
	}
	return s.end(ctx, call, &grant, "Logout")
}

// end ends a grant: first its access tokens, by a revocation that all checks follow. A process
// that dies in between is asked again, since the refresh tokens are still there.
func (s *Service) end(ctx context.Context, call access.Call, g *state.Grant, reason string) error {
	until := s.Now().Add(s.LongestTTL)
	if err := s.Records.EndTokens(ctx, access.LoginActor(g.User, call), g.ID, until, reason); err != nil {
		return err
	}
	if err := s.Grants.End(ctx, 0, g.ID); err != nil {
		return unavailable(err)
	}
	return nil
}

// userOf returns the user of a grant, who may have tokens as before.
func (s *Service) userOf(ctx context.Context, g *state.Grant) (store.UserRecord, error) {
	r, err := s.Records.Users.Get(ctx, g.User)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.UserRecord{}, errEnded
	case err != nil:
		return store.UserRecord{}, err
	case !access.EnabledUser(&r) || r.Gen != g.Gen || r.MustChange:
		return store.UserRecord{}, errEnded
	}
	return r, nil
}

func notAccepted(cause error) error {
	return &fault.Error{Code: fault.NotFound, Detail: "the token or code is not valid", Cause: cause}
}

func unavailable(cause error) error {
	return &fault.Error{Code: fault.StoreUnavailable, Detail: "the tokens cannot be made now", Cause: cause}
}
