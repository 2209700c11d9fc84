package denials

import (
	"net/netip"
	"strings"
	"time"

	"keyward/authz"
)

// Denial is a request that was denied, in the names of the decision log. It has
// no header, no query and no credential.
type Denial struct {
	ID        string    `json:"id"` // as the client got it
	Time      time.Time `json:"time"`
	Decision  string    `json:"decision"` // deny, or error: could not decide
	Reason    string    `json:"reason"`
	Status    int       `json:"status"`
	Cause     string    `json:"cause,omitempty"`
	Transport string    `json:"transport"`
	Method    string    `json:"method"`
	Scheme    string    `json:"scheme"`
	Host      string    `json:"host"`
	Path      string    `json:"path"` // without its query
	// Truncated means that the path was longer than what is kept of it.
	Truncated bool   `json:"path_truncated,omitempty"`
	Client    string `json:"client"` // address
	RequestID string `json:"request_id,omitempty"`
	Route     string `json:"route,omitempty"`
	Limit     string `json:"limit,omitempty"` // the limit that was exhausted

	AuthMethod string `json:"auth_method,omitempty"`
	Subject    string `json:"subject,omitempty"`
	ClientID   string `json:"client_id,omitempty"`
	KeyID      string `json:"key_id,omitempty"`
	// PreviousSecret means that the key was presented by a secret that a rotation
	// has replaced.
	PreviousSecret bool `json:"previous_secret,omitempty"`

	// Configured is when the configuration that denied was put in force.
	Configured time.Time `json:"configured"`

	reason    authz.Reason
	principal *authz.Principal // nil if none was identified
	transport authz.Transport
	routeName string // of the proxy's configuration
	preflight bool   // it had the headers of a CORS preflight
	// schemeAssumed means that the scheme is not known.
	schemeAssumed bool
	// repeatable means that enough is kept to decide again.
	repeatable bool
}

// Bounds of what is kept of a request's texts, in bytes.
const (
	maxMethod    = 32
	maxScheme    = 16
	maxHost      = 255
	maxPath      = 1024
	maxRequestID = 128
	maxCause     = 512
	maxName      = 255 // of a user, a client, an issuer
)

// newDenial copies what is kept of a denied request. It shares no memory with the
// proxy's message.
func newDenial(r *authz.Request, d *authz.Decision, configured time.Time) *Denial {
	path := r.PathAsSent()
	n := &Denial{
		ID: strings.Clone(d.ID), Time: d.At.UTC(), Decision: d.Outcome(), Reason: d.Reason.String(), Status: d.Status(),
		Transport: r.Transport.String(), Method: keep(r.Method, maxMethod), Scheme: keep(r.Scheme, maxScheme), Host: keep(r.Host, maxHost),
		Path: keepRedacted(path, maxPath), Truncated: len(path) > maxPath,
		Client: r.Client().Address().String(), RequestID: keepRedacted(r.RequestID, maxRequestID),
		Configured: configured.UTC(),
		reason:     d.Reason, repeatable: repeatable(r, d), transport: r.Transport, routeName: keep(r.RouteName, maxName), preflight: isPreflight(r),
	}
	if d.Cause != nil {
		n.Cause = keepRedacted(d.Cause.Error(), maxCause)
	}
	if d.Route != nil {
		n.Route = d.Route.String()
	}
	if d.Quota.Refused {
		n.Limit = d.Quota.Name
	}
	if p := d.Principal; p != nil && p.AuthMethod != authz.AuthMethodNone {
		n.identify(p)
	}
	return n
}

// identify adds the principal. What a key or a user may do is on record, and is
// looked up when the request is decided again; what a token grants is not.
func (n *Denial) identify(p *authz.Principal) {
	who := &authz.Principal{
		AuthMethod: p.AuthMethod, PreviousSecret: p.PreviousSecret, ExpiresAt: p.ExpiresAt,
		User: keep(p.User, maxName), ClientID: keep(p.ClientID, maxName), KeyID: keep(p.KeyID, maxName), Issuer: keep(p.Issuer, maxName),
	}
	if p.AuthMethod == authz.AuthMethodJWT || p.AuthMethod == authz.AuthMethodOAuth {
		who.Scopes, who.Paths = p.Scopes, p.Paths
	}
	n.principal = who
	n.AuthMethod, n.Subject, n.ClientID, n.KeyID = who.AuthMethod.String(), who.Subject(), who.ClientID, who.KeyID
	n.PreviousSecret = who.PreviousSecret
}

// repeatable reports whether the denial is that of a check, and what it depends on
// is kept completely.
func repeatable(r *authz.Request, d *authz.Decision) bool {
	path := r.PathAsSent()
	complete := path != "" && len(path) <= maxPath && len(r.Method) <= maxMethod && len(r.Scheme) <= maxScheme && len(r.Host) <= maxHost &&
		len(r.RouteName) <= maxName
	if p := d.Principal; p != nil {
		complete = complete && max(len(p.User), len(p.ClientID), len(p.KeyID), len(p.Issuer)) <= maxName
	}
	return complete && decidedByRoute(d)
}

// decidedByRoute reports whether the denial has a route, or came before one was
// found. All others are of a request that could not be read, or of a caller that
// asked about its own credential.
func decidedByRoute(d *authz.Decision) bool {
	return d.Route != nil || d.Reason == authz.AmbiguousPath || d.Reason == authz.Unavailable || d.Reason == authz.Overloaded
}

// keep copies the part of a text that is kept.
func keep(s string, maxBytes int) string { return strings.Clone(s[:min(len(s), maxBytes)]) }

// isPreflight reports whether the request has the headers of a CORS preflight,
// which a route may let pass.
func isPreflight(r *authz.Request) bool {
	_, origin := r.Header("origin")
	_, method := r.Header("access-control-request-method")
	return origin == 1 && method == 1
}

// identified reports whether the denial is that of a principal, and not of a
// stranger.
func (n *Denial) identified() bool {
	return n.principal != nil && n.principal.AuthMethod != authz.AuthMethodAnonymous
}

// owner is who caused a denial: a principal, or a stranger's address.
type owner struct {
	name   string
	client netip.Prefix
}

func (n *Denial) owner() owner {
	if !n.identified() {
		return owner{client: authz.ParseAddress(n.Client).Client()}
	}
	return owner{name: n.AuthMethod + " " + n.Subject + " " + n.ClientID}
}

// size returns about how much memory the denial takes, in bytes.
func (n *Denial) size() int {
	const (
		fixed     = 1024 // the structs, the list elements, the map entries, and the owner's queue
		principal = 320
	)
	size := fixed
	for _, text := range [...]string{n.ID, n.Cause, n.Method, n.Scheme, n.Host, n.Path, n.Client, n.RequestID, n.routeName} {
		size += len(text)
	}
	if p := n.principal; p != nil {
		size += principal + len(p.User) + len(p.ClientID) + len(p.KeyID) + len(p.Issuer)
		size += 2*len(p.Scopes.String()) + 16*len(p.Scopes.Names())
	}
	return size
}
