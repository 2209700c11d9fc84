package authz

import "time"

// Decision is the core's answer. The zero Decision denies. Its slices belong
// to the Request and are good until that is reset.
type Decision struct {
	Reason    Reason
	Route     *Route     // nil where none was found: the transport then uses the default's error style
	Principal *Principal // nil before a credential was believed
	Cause     error      // what an operator should know; never said to the client

	// On an allow: what the proxy sets on, and removes from, the request it
	// passes on. No name is in both. The Checker's Overrides are removed too.
	Set         []Header
	Remove      []string
	RemoveQuery string // query parameter to remove; "" is none

	Quota Quota // of the limit that is tightest

	At       time.Time     // when it was asked for
	Duration time.Duration // from then until it was made, without the transport

	// ID names this decision in the log and, on a denial, in the answer.
	ID string
}

// Allowed reports whether the request may pass.
func (d *Decision) Allowed() bool { return d.Reason.Allows() }

// Status is the HTTP status the decision is answered with: the reason's,
// unless the route's style has another. Halfred's clients know a key of another
// project as one that failed to authenticate.
func (d *Decision) Status() int {
	if d.Reason == WrongProject && d.Route != nil && d.Route.Errors == StyleHalfred {
		return 401
	}
	return d.Reason.Status()
}

// Outcome is the decision in one word, as metrics and logs have it: an error
// is a denial that says something about us and nothing about the request.
func (d *Decision) Outcome() string {
	switch {
	case d.Allowed():
		return "allow"
	case d.Status() == 503:
		return "error"
	default:
		return "deny"
	}
}

// AuthMode says what a route asks of a request. The zero mode denies.
type AuthMode uint8

// The modes.
const (
	AuthDeny     AuthMode = iota
	AuthNone              // credentials are not looked at
	AuthOptional          // none is fine, a bad one is not
	AuthRequired
)

// ErrorStyle picks the shape of a denial's body.
type ErrorStyle uint8

// The styles. The zero style is RFC 9457's; the others are those that the
// clients of three APIs know.
const (
	StyleProblem ErrorStyle = iota
	StyleGeneric
	StyleHalo
	StyleHalfred

	styleCount
)

var styleNames = [styleCount]string{StyleProblem: "problem", StyleGeneric: "generic", StyleHalo: "halo", StyleHalfred: "halfred"}

// ErrorStyles lists them all.
func ErrorStyles() []ErrorStyle {
	all := make([]ErrorStyle, styleCount)
	for i := range all {
		all[i] = ErrorStyle(i)
	}
	return all
}

// String is the style's name in the configuration.
func (s ErrorStyle) String() string {
	if s >= styleCount {
		s = StyleProblem
	}
	return styleNames[s]
}

// Route is what the operator said about a set of requests. The zero Route denies.
type Route struct {
	Name               string
	Path               string // its pattern as written; "" for the default
	Identity           string // tells it from all others of a configuration, and is the same in the next; "" for the default
	Auth               AuthMode
	AcceptAuth         []AuthMethod // kinds of credential that are accepted; empty is all
	Scopes             Scopes       // all are needed
	Project            string       // "" is any
	Errors             ErrorStyle
	Preflight          bool // CORS preflights pass without a credential
	ForwardCredentials bool // the upstream gets them too
	Rate               Rate // for each principal, or address, on this route; zero is none
	RateShadow         bool // the rate is counted, and refuses nobody
}

// String is the route as a log or a trace names it.
func (r *Route) String() string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Path != "":
		return r.Path
	default:
		return "default"
	}
}
