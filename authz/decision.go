package authz

import (
	"time"

	"keyward/authz/urlpath"
)

// Decision is the outcome of a check. The zero Decision denies. Its slices
// belong to the Request and are valid until that is reset.
type Decision struct {
	Reason    Reason
	Route     *Route     // nil if none was found; the transport then uses the default route's error style
	Principal *Principal // nil until a credential is verified
	Cause     error      // for the operator; never sent to the client

	// On an allow: what the proxy sets on, and removes from, the forwarded
	// request. No name is in both. The Checker's Overrides are removed too.
	Set         []Header
	Remove      []string
	RemoveQuery []string // names of query parameters to remove

	Quota Quota // of the most restrictive limit

	At       time.Time     // when the check began
	Duration time.Duration // how long the check took, without the transport

	// ID identifies this decision in the log and, on a denial, in the response.
	ID string
}

// Allowed reports whether the request may pass.
func (d *Decision) Allowed() bool { return d.Reason.Allows() }

// Status returns the HTTP status of the response: the reason's, unless the
// route's error style has another. Halfred's clients expect 401 for a key of
// another project.
func (d *Decision) Status() int {
	if d.Reason == WrongProject && d.Route != nil && d.Route.Errors == StyleHalfred {
		return 401
	}
	return d.Reason.Status()
}

// Outcome returns the decision in one word for metrics and logs. "error" is a
// denial that comes from the server's state and not from the request.
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

// AuthMode is what a route requires of a request. The zero mode denies.
type AuthMode uint8

// The modes.
const (
	AuthDeny     AuthMode = iota
	AuthNone              // credentials are ignored
	AuthOptional          // a request without a credential is allowed, one with an invalid credential is not
	AuthRequired
)

// ErrorStyle is the format of a denial's body.
type ErrorStyle uint8

// The styles. The zero style is that of RFC 9457. The others match the formats
// of three existing APIs.
const (
	StyleProblem ErrorStyle = iota
	StyleGeneric
	StyleHalo
	StyleHalfred

	styleCount
)

var styleNames = [styleCount]string{StyleProblem: "problem", StyleGeneric: "generic", StyleHalo: "halo", StyleHalfred: "halfred"}

// ErrorStyles lists all styles.
func ErrorStyles() []ErrorStyle {
	all := make([]ErrorStyle, styleCount)
	for i := range all {
		all[i] = ErrorStyle(i)
	}
	return all
}

// String returns the style's name in the configuration.
func (s ErrorStyle) String() string {
	if s >= styleCount {
		s = StyleProblem
	}
	return styleNames[s]
}

// Route is what the operator configured for a set of requests. The zero Route
// denies.
type Route struct {
	Name               string
	Path               string // its pattern as written; "" for the default route
	Identity           string // distinguishes it from all other routes of a configuration, and survives a reload; "" for the default route
	Auth               AuthMode
	AcceptAuth         []AuthMethod      // kinds of credential that are accepted; empty for all
	Scopes             Scopes            // all are required
	ScopesAny          Scopes            // one of them is required; none if it is empty
	Template           *urlpath.Template // the path has a segment that must be the caller's subject; nil for none
	Project            string            // "" for any
	Errors             ErrorStyle
	Preflight          bool // CORS preflights pass without a credential
	ForwardCredentials bool // the upstream receives them too
	Rate               Rate // per principal, or per address, on this route; zero for none
	RateShadow         bool // the rate is counted and not enforced
	// ResourceMetadata is the URL of the metadata of the protected resource that
	// the route is part of (RFC 9728); "" for none.
	ResourceMetadata string
}

// NamedScopes returns the scopes that a client may need on the route: those of
// which all are required, and those of which one is.
func (r *Route) NamedScopes() Scopes { return r.Scopes.Union(r.ScopesAny) }

// CheckSubject returns nil if the path has no segment for the caller's subject, or
// has this principal's there; otherwise why not.
func (r *Route) CheckSubject(p *Principal, path urlpath.Path) error {
	if r.Template == nil {
		return nil
	}
	return r.Template.Check(path, p.Subject(), p.User == "") // the id of a key, if there is no user
}

// String returns the route's name in logs and traces.
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
