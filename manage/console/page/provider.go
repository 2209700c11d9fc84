package page

import (
	"errors"
	"net/http"

	"keyward/manage/fault"
	"keyward/manage/oidclogin"
)

// The paths of a login with an OpenID provider.
const (
	ProviderPath = "/login/provider"       // begins one
	ProofPath    = "/login/provider/proof" // begins one that proves again who the user is
)

// ProviderName is what the pages call the OpenID provider by which people log in; "" if
// there is none.
func (s *Site) ProviderName() string {
	settings := s.Settings()
	return settings.OIDC.Title()
}

// FailedLogin returns what the page of the login says of a login with the provider that
// was not accepted; false for any other error, and for none. It never has a text of the
// provider's.
func (r *Request) FailedLogin(err error) (text string, status int, failed bool) {
	name := r.ProviderName()
	switch e := fault.AsError(err); {
	case errors.Is(err, oidclogin.ErrUnavailable):
		return name + " cannot be reached. Try again in a moment, or sign in with a password.", http.StatusServiceUnavailable, true
	case errors.Is(err, oidclogin.ErrNotLoggedIn):
		return name + " did not sign you in.", http.StatusForbidden, true
	case errors.Is(err, oidclogin.ErrExpired):
		return "This sign-in was begun in another browser or more than 10 minutes ago, or it was used already. Sign in again.", http.StatusForbidden, true
	case errors.Is(err, oidclogin.ErrRefused):
		return "The answer of " + name + " cannot be accepted. An administrator finds the reason in the server's log, under request " + r.Call.RequestID + ".", http.StatusForbidden, true
	case e == nil:
		return "", 0, false
	case e.Code == fault.Forbidden:
		return "No user here may sign in with this account of " + name + ". Ask an administrator of " + r.Title() + ".", http.StatusForbidden, true
	case e.Code == fault.Reauthenticate:
		return "Your sessions were ended after you signed in to " + name + ". Sign in to it again.", http.StatusForbidden, true
	case e.Code == fault.RateLimited:
		text, _ = WrongPassword(err)
		return text, http.StatusTooManyRequests, true
	}
	return "", 0, false
}
