package authz

import "slices"

// Reason says why a request was allowed or denied. The set is closed: reasons
// are metric labels and appear in logs and dynamic metadata. The zero Reason
// denies.
type Reason uint8

// The reasons, in the order in which a request meets them.
const (
	Internal Reason = iota // a fault of ours, and the zero value
	OK
	Anonymous // allowed without a credential

	AmbiguousPath
	AmbiguousHeader // one that an upstream could take for ours, where the proxy can't remove it
	RouteDenied
	MethodNotAllowed
	HTTPSRequired

	NoCredential
	MalformedCredential   // breaks the grammar of the place it stands in, or is too large
	AmbiguousCredential   // more than one
	UnsupportedCredential // a scheme that is not enabled
	InvalidToken          // well formed, yet no credential of any kind we check: prefix, checksum, signature, claims
	UnknownKey
	RevokedKey
	ExpiredKey
	WrongPassword
	DisabledUser // the user a credential acts for is disabled or gone
	ExpiredToken
	RevokedToken

	WrongKind
	PathNotAllowed
	InsufficientScope
	WrongProject

	RateLimited
	Unavailable // we cannot tell: a store or an issuer is away, or nothing is loaded yet
	Overloaded
	RequestTooLarge // the proxy sends more of a request than we read: its body, most likely

	reasonCount
)

var reasonNames = [reasonCount]string{
	Internal:              "internal",
	OK:                    "ok",
	Anonymous:             "anonymous",
	AmbiguousPath:         "ambiguous_path",
	AmbiguousHeader:       "ambiguous_header",
	RouteDenied:           "route_denied",
	MethodNotAllowed:      "method_not_allowed",
	HTTPSRequired:         "https_required",
	NoCredential:          "no_credential",
	MalformedCredential:   "malformed_credential",
	AmbiguousCredential:   "ambiguous_credential",
	UnsupportedCredential: "unsupported_credential",
	InvalidToken:          "invalid_token",
	UnknownKey:            "unknown_key",
	RevokedKey:            "revoked_key",
	ExpiredKey:            "expired_key",
	WrongPassword:         "wrong_password",
	DisabledUser:          "disabled_user",
	ExpiredToken:          "expired_token",
	RevokedToken:          "revoked_token",
	WrongKind:             "credential_type_not_allowed",
	PathNotAllowed:        "path_not_allowed",
	InsufficientScope:     "insufficient_scope",
	WrongProject:          "wrong_project",
	RateLimited:           "rate_limited",
	Unavailable:           "unavailable",
	Overloaded:            "overloaded",
	RequestTooLarge:       "request_too_large",
}

// Reasons lists the whole set, for whoever makes one metric or one error text of each.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// ParseReason is the reason of that name, Internal for one that is none.
func ParseReason(name string) Reason {
	if i := slices.Index(reasonNames[:], name); i >= 0 {
		return Reason(i)
	}
	return Internal
}

// String is the reason's name in metrics, logs and metadata.
func (r Reason) String() string {
	if r >= reasonCount {
		r = Internal
	}
	return reasonNames[r]
}

// Allows reports whether a decision with this reason lets the request through.
func (r Reason) Allows() bool { return r == OK || r == Anonymous }

// Status is the HTTP status that a decision with this reason is answered
// with, before an error style has its say. A reason it does not know is 503.
func (r Reason) Status() int {
	switch r {
	case OK, Anonymous:
		return 200
	case AmbiguousPath, AmbiguousHeader:
		return 400
	case NoCredential, MalformedCredential, AmbiguousCredential, UnsupportedCredential,
		InvalidToken, UnknownKey, RevokedKey, ExpiredKey, WrongPassword, DisabledUser,
		ExpiredToken, RevokedToken:
		return 401
	case RouteDenied, MethodNotAllowed, HTTPSRequired, WrongKind, PathNotAllowed,
		InsufficientScope, WrongProject:
		return 403
	case RateLimited:
		return 429
	case Internal, Unavailable, Overloaded, RequestTooLarge:
		return 503
	default:
		return 503
	}
}
