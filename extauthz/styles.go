package extauthz

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"keyward/authz"
)

// problemBody returns the body by RFC 9457. The decision's id and reason are
// extension members.
func problemBody(d *authz.Decision) []byte {
	// Written by hand, since most denials have this style, in floods too:
	// encoding/json costs as much as all the rest.
	b := append(make([]byte, 0, 256), `{"type":"about:blank","title":`...)
	b = appendQuoted(b, http.StatusText(d.Status()))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(d.Status()), 10)
	b = appendQuoted(append(b, `,"detail":`...), detail(d.Reason))
	b = appendQuoted(append(b, `,"reason":`...), d.Reason.String())
	b = appendQuoted(append(b, `,"decision_id":`...), d.ID)
	return append(b, "}\n"...)
}

// appendQuoted appends a JSON string.
func appendQuoted(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return append(b, encode(text)...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// detail returns the client's explanation of a reason. Operators find the cause
// in the log.
func detail(reason authz.Reason) string {
	switch reason {
	case authz.AmbiguousPath:
		return "The path can be read in more than one way"
	case authz.AmbiguousHeader:
		return "A header's name can be read in more than one way"
	case authz.NoCredential:
		return "Authentication is required"
	case authz.MalformedCredential:
		return "The credential is malformed"
	case authz.AmbiguousCredential:
		return "The request carries more than one credential"
	case authz.UnsupportedCredential:
		return "The authentication scheme is not supported"
	case authz.InvalidToken, authz.UnknownKey, authz.RevokedKey, authz.ExpiredKey, authz.PausedKey,
		authz.NotYetValid, authz.ExpiredToken, authz.RevokedToken, authz.DisabledUser:
		return "The credential is not valid"
	case authz.WrongPassword:
		return "The user name or password is wrong"
	case authz.AddressNotAllowed:
		return "The credential cannot be used from this address"
	case authz.RouteDenied, authz.PathNotAllowed, authz.WrongProject, authz.WrongKind:
		return "The credential does not give access to this resource"
	case authz.MethodNotAllowed:
		return "The method is not allowed for this resource"
	case authz.HTTPSRequired:
		return "HTTPS is required"
	case authz.InsufficientScope:
		return "The credential lacks a scope that this resource asks for"
	case authz.RateLimited:
		return "Too many requests"
	case authz.Unavailable, authz.Overloaded, authz.Internal, authz.RequestTooLarge:
		return "The request could not be authenticated at this time"
	default:
		return "The request was denied"
	}
}

// genericBody returns the error body of the style generic (docs/errors.md).
func genericBody(d *authz.Decision, now time.Time) []byte {
	name, message := genericError(d.Reason)
	return encode(struct {
		Error     string `json:"error"`
		Message   string `json:"message"`
		Code      int    `json:"code"`
		Timestamp string `json:"timestamp"`
	}{name, message, d.Status(), now.UTC().Format(time.RFC3339)})
}

// genericError returns the names and messages that clients of the style may
// compare: docs/errors.md has them word for word.
func genericError(reason authz.Reason) (name, message string) {
	switch reason {
	case authz.NoCredential, authz.MalformedCredential, authz.AmbiguousCredential, authz.UnsupportedCredential,
		authz.InvalidToken, authz.UnknownKey, authz.RevokedKey, authz.PausedKey, authz.NotYetValid, authz.RevokedToken,
		authz.DisabledUser:
		return "invalid_token", "The provided token is invalid or has expired"
	case authz.ExpiredKey, authz.ExpiredToken:
		return "token_expired", "The access token has expired"
	case authz.WrongPassword:
		return "invalid_credentials", "Username or password incorrect"
	case authz.InsufficientScope, authz.PathNotAllowed, authz.WrongProject, authz.WrongKind:
		return "insufficient_scope", "Token lacks required permissions"
	case authz.RateLimited:
		return "rate_limit_exceeded", "Too many requests"
	case authz.AmbiguousPath, authz.AmbiguousHeader:
		return "invalid_request", detail(reason)
	case authz.RouteDenied, authz.MethodNotAllowed, authz.HTTPSRequired, authz.AddressNotAllowed:
		return "forbidden", detail(reason)
	default:
		return "service_unavailable", detail(reason)
	}
}

// haloBody returns the error body of the style halo (docs/errors.md).
func haloBody(r *authz.Request, d *authz.Decision) []byte {
	return encode(struct {
		Status  int    `json:"status"`
		Error   string `json:"error"`
		Message string `json:"message"`
		Path    string `json:"path"`
	}{d.Status(), http.StatusText(d.Status()), haloMessage(r, d), r.PathAsSent()})
}

func haloMessage(r *authz.Request, d *authz.Decision) string {
	switch d.Status() {
	case http.StatusUnauthorized:
		switch {
		case d.Reason == authz.NoCredential:
			return "Authentication required"
		case r.UsesBasicAuth(), d.Reason == authz.WrongPassword:
			return "Invalid username or password"
		default:
			return "Invalid or expired token"
		}
	case http.StatusForbidden:
		return "Insufficient permissions to access this resource"
	default:
		return detail(d.Reason)
	}
}

// halfredBody returns the error body of the style halfred (docs/errors.md).
func halfredBody(d *authz.Decision) []byte {
	type halfredError struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    int    `json:"code"`
	}
	message, kind := halfredMessage(d)
	return encode(struct {
		Error halfredError `json:"error"`
	}{halfredError{message, kind, d.Status()}})
}

func halfredMessage(d *authz.Decision) (message, kind string) {
	switch d.Status() {
	case http.StatusUnauthorized:
		kind = "authentication_error"
		switch d.Reason {
		case authz.MalformedCredential, authz.InvalidToken:
			return "Invalid API key", kind
		case authz.UnknownKey, authz.RevokedKey:
			return "API key not found", kind
		default:
			return "Authentication failed", kind
		}
	case http.StatusForbidden:
		return detail(d.Reason), "permission_error"
	case http.StatusBadRequest:
		return detail(d.Reason), "invalid_request_error"
	case http.StatusTooManyRequests:
		return detail(d.Reason), "rate_limit_error"
	default:
		return detail(d.Reason), "api_error"
	}
}

// encode returns JSON on one line. It does not escape <, > and &, since no
// browser takes it for HTML.
func encode(v any) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil {
		return nil // strings and numbers always marshal
	}
	return bytes.TrimSuffix(body.Bytes(), []byte{'\n'})
}
