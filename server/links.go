package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/api"
	"keyward/manage/fault"
	"keyward/manage/state"
)

// authenticateLink returns the call of a request with a one-time link. Its code is
// limited, counted and logged as credentials are; the log has the path without it.
func (s *Server) authenticateLink(hr *http.Request, purpose state.Purpose, code authz.Secret) (access.Call, *api.Denial) {
	var r authz.Request
	current := s.engine.Current()
	handler := current.Console()
	d := handler.CheckManageSecret(hr.Context(), &r, hr, api.LinkPath(purpose), code, linkVerifier{current.Accounts(), purpose})
	if !d.Allowed() {
		s.countUnknown(current.Service(), &r, d)
		return access.Call{}, denialOf(handler, &r, d)
	}
	return callOf(&r), nil
}

// linkVerifier verifies the codes of links for the purpose.
type linkVerifier struct {
	accounts *account.Service
	purpose  state.Purpose
}

// Verify implements authz.Verifier.
func (v linkVerifier) Verify(ctx context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	_, err := v.accounts.Link(ctx, v.purpose, c.Secret)
	switch {
	case err == nil:
		return &authz.Principal{AuthMethod: authz.AuthMethodAnonymous}, nil
	case fault.CodeOf(err) == fault.NotFound:
		return nil, &authz.CredentialError{Reason: authz.InvalidToken}
	default:
		return nil, errors.Join(err, errors.Unwrap(err)) // the log has the cause
	}
}
