package oauth

import (
	"context"
	"errors"
	"slices"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// codeTTL is how long an authorization code is valid (RFC 6749 section 4.1.2 has ten minutes
// at most).
const codeTTL = time.Minute

// Authorization is what a user has allowed a client.
type Authorization struct {
	User      *store.UserRecord
	Client    *store.Client
	Scopes    []string
	Resources []string // RFC 8707; nil: what all tokens are for
	AuthTime  time.Time
	Code      state.AuthorizationCode
}

// Authorize returns an authorization code for what the user has allowed.
func (s *Service) Authorize(ctx context.Context, call access.Call, a Authorization) (authz.Secret, error) {
	grant := state.Grant{
		User: a.User.Name, Client: a.Client.ID, Scopes: append([]string{}, a.Scopes...), Gen: a.User.Gen, ClientGen: a.Client.Gen,
		Resources: a.Resources, AuthTime: a.AuthTime,
	}
	if call.Address.IsValid() {
		grant.Address = call.Address.String()
	}
	_, code, err := s.Grants.CreateWithCode(ctx, 0, grant, a.Code, codeTTL)
	if err != nil {
		return authz.Secret{}, unavailable(err)
	}
	return code, nil
}

// FindCode returns what a code is for which the client presents, and leaves it valid. A code
// that is unknown, expired, used, or another client's is NotFound; what came of one that was
// used by this client ends (RFC 6749 section 4.1.2).
func (s *Service) FindCode(ctx context.Context, call access.Call, token authz.Secret, client *store.Client) (state.Grant, state.AuthorizationCode, error) {
	grant, code, err := s.Grants.FindCode(ctx, token)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return state.Grant{}, state.AuthorizationCode{}, notAccepted(err)
	case err != nil:
		return state.Grant{}, state.AuthorizationCode{}, unavailable(err)
	case grant.Client != client.ID:
		return state.Grant{}, state.AuthorizationCode{}, notAccepted(state.ErrNotFound)
	case code.Used:
		return state.Grant{}, state.AuthorizationCode{}, s.reusedCode(ctx, call, &grant)
	case !s.Now().Before(code.Expires):
		return state.Grant{}, state.AuthorizationCode{}, notAccepted(state.ErrNotFound)
	}
	return grant, code, nil
}

// reusedCode ends what came of a code that was used before.
func (s *Service) reusedCode(ctx context.Context, call access.Call, g *state.Grant) error {
	if err := s.end(ctx, call, g, "An authorization code was used again"); err != nil {
		return err
	}
	return notAccepted(state.ErrCodeUsed)
}

// Redeem uses a code up. Errors are as those of FindCode. The first refresh token is there if
// the client has the grant for it.
func (s *Service) Redeem(ctx context.Context, call access.Call, token authz.Secret, client *store.Client) (Issuance, error) {
	r := state.Redemption{Client: client.ID, AccessTTL: s.AccessTTL}
	if slices.Contains(client.Grants, oauth.RefreshToken) {
		r.RefreshTTL = s.RefreshTTL
	}
	grant, refresh, err := s.Grants.Redeem(ctx, token, r)
	switch {
	case errors.Is(err, state.ErrCodeUsed):
		return Issuance{}, s.reusedCode(ctx, call, &grant)
	case errors.Is(err, state.ErrNotFound):
		return Issuance{}, notAccepted(err)
	case err != nil:
		return Issuance{}, unavailable(err)
	}
	user, err := s.userOf(ctx, &grant)
	switch {
	case errors.Is(err, errEnded) || err == nil && grant.ClientGen != client.Gen:
		return Issuance{}, notAccepted(errEnded)
	case err != nil:
		return Issuance{}, unavailable(err)
	}
	return Issuance{grant, user, refresh}, nil
}

// FindRefresh returns the grant of a refresh token that the client could use now, and leaves
// the token as it is; NotFound for any other. Of one that was used before the grant is
// returned too if used is true: what comes of it is for RefreshFor.
func (s *Service) FindRefresh(ctx context.Context, token authz.Secret, client *store.Client, used bool) (Issuance, error) {
	find := s.Grants.FindUnused
	if used {
		find = s.Grants.Find
	}
	grant, err := find(ctx, token)
	var user store.UserRecord
	if err == nil && (grant.Client != client.ID || grant.ClientGen != client.Gen) {
		err = state.ErrNotFound
	}
	if err == nil {
		user, err = s.userOf(ctx, &grant)
	}
	switch {
	case errors.Is(err, state.ErrNotFound), errors.Is(err, errEnded):
		return Issuance{}, notAccepted(err)
	case err != nil:
		return Issuance{}, unavailable(err)
	}
	return Issuance{Grant: grant, User: user}, nil
}

// EndGrant ends a grant of the client with all its tokens. One that is not there has ended.
func (s *Service) EndGrant(ctx context.Context, call access.Call, id, client string) error {
	grant, err := s.Grants.Get(ctx, id)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil
	case err != nil:
		return unavailable(err)
	case grant.Client != client:
		return nil
	}
	return s.end(ctx, call, &grant, "The client has revoked the token")
}

// EndClientToken ends a token that a client got for itself.
func (s *Service) EndClientToken(ctx context.Context, call access.Call, sid, client string) error {
	return s.Records.EndTokens(ctx, access.LoginActor(client, call), sid, s.Now().Add(s.LongestTTL), "The client has revoked the token")
}

// Consented reports whether the user has allowed the client these scopes before, and is not
// to be asked again. A public client cannot prove that it is the one that was allowed them
// (RFC 8252 section 8.6).
func (s *Service) Consented(ctx context.Context, user *store.UserRecord, client *store.Client, scopes []string) (bool, error) {
	consent, err := s.consentOf(ctx, user, client)
	if err != nil || consent == nil {
		return false, err
	}
	return !slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(consent.Scopes, scope) }), nil
}

// consentOf returns the user's consent that is remembered; nil for none.
func (s *Service) consentOf(ctx context.Context, user *store.UserRecord, client *store.Client) (*state.Consent, error) {
	if client.Public {
		return nil, nil
	}
	consent, err := s.Consents.Get(ctx, user.Name, client.ID)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	case !givenBy(&consent, user):
		return nil, nil
	}
	return &consent, nil
}

// givenBy reports whether a consent is the user's, and not that of an earlier user of the name.
func givenBy(c *state.Consent, user *store.UserRecord) bool {
	return c.Given.After(user.Created) && c.Given.After(user.EndedAt())
}

// ConsentedSince is when the user last allowed the client something; zero for never.
func (s *Service) ConsentedSince(ctx context.Context, user *store.UserRecord, client *store.Client) (time.Time, error) {
	consent, err := s.consentOf(ctx, user, client)
	if err != nil || consent == nil {
		return time.Time{}, err
	}
	return consent.Given, nil
}

// Consent remembers that the actor has allowed the client these scopes.
func (s *Service) Consent(ctx context.Context, a access.Actor, client *store.Client, scopes []string) error {
	if client.Public {
		return nil
	}
	return s.record(ctx, a, audit.ConsentGive, client.ID, func(seq int64) error {
		return s.Consents.Put(ctx, seq, a.User(), state.Consent{Client: client.ID, Scopes: scopes})
	})
}

// record makes a change of the state with its entry in the audit log.
func (s *Service) record(ctx context.Context, a access.Actor, action audit.Action, record string, change func(seq int64) error) error {
	err := s.Records.Audit.Change(ctx, a.Entry(action, record, nil), func(seq int64) error {
		if err := change(seq); err != nil {
			return unavailable(err)
		}
		return nil
	})
	return fault.Of(err)
}
