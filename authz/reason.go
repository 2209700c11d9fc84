package authz

import "slices"

// Reason says why a request was allowed or denied. The set is closed: reasons
// are metric labels and appear in logs and dynamic metadata. The zero Reason
// denies.
type Reason uint8

// The reasons, in the order in which a request meets them.
const (
	Internal Reason = iota // an internal error, and the zero value
	OK
	Anonymous // allowed without a credential

	AmbiguousPath
	AmbiguousHeader // a header that an upstream could take for an identity header, where the proxy cannot remove it
	RouteDenied
	MethodNotAllowed
	HTTPSRequired

	NoCredential
	MalformedCredential   // violates the grammar of its place, or is too large
	AmbiguousCredential   // more than one
	UnsupportedCredential // its scheme is not enabled
	InvalidToken          // well formed, but not a valid credential of any kind: prefix, checksum, signature, claims
	UnknownKey
	RevokedKey
	ExpiredKey
	PausedKey
	NotYetValid // its key begins later
	WrongPassword
	DisabledUser // the credential's user is disabled or does not exist
	ExpiredToken
	RevokedToken
	AddressNotAllowed // the client's address is in none of the key's networks

	WrongKind
	PathNotAllowed
	InsufficientScope
	WrongProject

	RateLimited
	Unavailable // no decision is possible: a store or an issuer is unavailable, or nothing is loaded yet
	Overloaded
	RequestTooLarge // the proxy sent more of a request than the server reads, most likely its body

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
	PausedKey:             "paused_key",
	NotYetValid:           "not_yet_valid",
	WrongPassword:         "wrong_password",
	DisabledUser:          "disabled_user",
	ExpiredToken:          "expired_token",
	RevokedToken:          "revoked_token",
	AddressNotAllowed:     "address_not_allowed",
	WrongKind:             "credential_type_not_allowed",
	PathNotAllowed:        "path_not_allowed",
	InsufficientScope:     "insufficient_scope",
	WrongProject:          "wrong_project",
	RateLimited:           "rate_limited",
	Unavailable:           "unavailable",
	Overloaded:            "overloaded",
	RequestTooLarge:       "request_too_large",
}

// Reasons lists all reasons, for callers that make one metric or one error text
// for each.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// ParseReason returns the reason of that name, Internal for an unknown name.
func ParseReason(name string) Reason {
	if i := slices.Index(reasonNames[:], name); i >= 0 {
		return Reason(i)
	}
	return Internal
}

// String returns the reason's name in metrics, logs and metadata.
func (r Reason) String() string {
	if r >= reasonCount {
		r = Internal
	}
	return reasonNames[r]
}

// Allows reports whether a decision with this reason allows the request.
func (r Reason) Allows() bool { return r == OK || r == Anonymous }

// Status returns the HTTP status for a decision with this reason, which an
// error style may replace. An unknown reason gives 503.
func (r Reason) Status() int {
	switch r {
	case OK, Anonymous:
		return 200
	case AmbiguousPath, AmbiguousHeader:
		return 400
	case NoCredential, MalformedCredential, AmbiguousCredential, UnsupportedCredential,
		InvalidToken, UnknownKey, RevokedKey, ExpiredKey, PausedKey, NotYetValid, WrongPassword,
		DisabledUser, ExpiredToken, RevokedToken:
		return 401
	case RouteDenied, MethodNotAllowed, HTTPSRequired, AddressNotAllowed, WrongKind, PathNotAllowed,
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
