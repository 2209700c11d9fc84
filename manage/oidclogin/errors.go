package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/oauth2"

	"keyward/verifier/issuerhttp"
)

// Why a login does not go on; each is matched by errors.Is. What follows it in the text
// is for the operator. It has no secret and nothing that the provider or the browser sent
// but an error code of a closed set.
var (
	// ErrUnavailable: the provider cannot be reached, or is not one.
	ErrUnavailable = errors.New("the OpenID provider cannot be reached")
	// ErrNotLoggedIn: the provider says that the person did not log in or did not agree.
	ErrNotLoggedIn = errors.New("the OpenID provider did not log the person in")
	// ErrExpired: this browser did not begin the login, did so too long ago, or has
	// finished it. It may begin again.
	ErrExpired = errors.New("the login was not begun by this browser, has expired or was used")
	// ErrRefused: what the provider or the browser sent is not an answer that proves who
	// the person is.
	ErrRefused = errors.New("the answer of the OpenID provider is refused")
)

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// answerErrors are the error codes of authorization endpoints (RFC 6749 section 4.1.2.1,
// OpenID Connect Core 1.0 section 3.1.2.6), and what each means.
var answerErrors = map[string]error{
	"access_denied": ErrNotLoggedIn, "login_required": ErrNotLoggedIn, "interaction_required": ErrNotLoggedIn,
	"account_selection_required": ErrNotLoggedIn, "consent_required": ErrNotLoggedIn,
	"server_error": ErrUnavailable, "temporarily_unavailable": ErrUnavailable,
	"invalid_request": ErrRefused, "unauthorized_client": ErrRefused, "unsupported_response_type": ErrRefused, "invalid_scope": ErrRefused,
}

func answerError(code string) error {
	if meaning, known := answerErrors[code]; known {
		return fmt.Errorf("%w: %s", meaning, code)
	}
	return refused("it is an error that is not known")
}

// tokenErrors are the error codes of token endpoints (RFC 6749 section 5.2).
var tokenErrors = []string{"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// tokenError is why the token endpoint gave no tokens.
func tokenError(err error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		return requestError("the token endpoint", err)
	case answer.ErrorCode == "invalid_grant":
		return fmt.Errorf("%w: the provider does not accept the code", ErrExpired)
	case slices.Contains(tokenErrors, answer.ErrorCode):
		return refused("the token endpoint: %s", answer.ErrorCode)
	case answer.Response != nil && answer.Response.StatusCode >= 300 && answer.Response.StatusCode < 500:
		return refused("the token endpoint: %w", issuerhttp.StatusError(answer.Response.StatusCode))
	case answer.Response != nil && answer.Response.StatusCode != 200:
		return unavailable("the token endpoint: %w", issuerhttp.StatusError(answer.Response.StatusCode))
	default:
		return refused("the token endpoint: an answer without a token")
	}
}

// requestError is why a request had no answer, or one that is not of the protocol.
func requestError(what string, err error) error {
	if sent, ok := errors.AsType[*transportError](err); ok {
		return unavailable("%s: %w", what, sent.cause)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable("%s: %w", what, issuerhttp.ErrTimeout)
	}
	return refused("%s: an answer that cannot be read", what)
}
