package authz

import "strings"

// Header is one header line. Its name is in lower case.
type Header struct{ Name, Value string }

// Request is what the core knows of a request that a proxy asks about. A
// transport fills one in and keeps it until the response is written. Nothing
// may keep the Request itself or its slices after that; its strings may be
// kept. The zero Request is denied.
type Request struct {
	Transport Transport
	Method    string
	Scheme    string // http or https: the client's scheme as the proxy reports it, not that of the proxy's own call
	Host      string // with port, if the client sent one
	Target    string // the raw request target: path and query, undecoded
	Peer      string // address of the proxy's TCP peer, as the proxy writes it
	RequestID string // the proxy's x-request-id, for the log

	// TraceParent is the W3C trace context of the proxy's own call. It is set
	// if that differs from the request's header and tracing is on.
	TraceParent string

	// RouteName selects a route by name. The proxy's own configuration sets it,
	// never the client.
	RouteName string

	// FixedTarget means that the proxy forwards the target unchanged. It then
	// cannot remove a credential from the query.
	FixedTarget bool

	// Headers are the header lines in the order received, one entry per line.
	Headers []Header

	// Trace, if set, receives each step and its outcome.
	Trace func(step, outcome string)

	trustedHops int // see Client

	path       string // path of the target, once it was parsed
	credential Credential
	principal  Principal // the credential's Scratch
	decision   Decision
	set        []Header
	remove     []string
}

// Reset empties the request for its next use and keeps its memory.
func (r *Request) Reset() {
	headers, set, remove := r.Headers, r.set, r.remove
	clear(headers)
	clear(set)
	clear(remove)
	*r = Request{} // not a literal with the slices in it, which would be built elsewhere and copied
	r.Headers, r.set, r.remove = headers[:0], set[:0], remove[:0]
}

// Header returns the value of the only line of that name and the number of such
// lines. The value is "" if there are several, since it is unclear which one is
// meant.
func (r *Request) Header(name string) (value string, lines int) {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			value = r.Headers[i].Value
			lines++
		}
	}
	if lines > 1 {
		return "", lines
	}
	return value, lines
}

// PathAsSent returns the target without its query, which may contain a
// credential. The target need not be a valid path.
func (r *Request) PathAsSent() string {
	if r.path != "" {
		return r.path
	}
	path, _, _ := strings.Cut(r.Target, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

// Credential returns the credential that the request presents, for a caller that is
// given a decision about it. It is empty if the request was denied before it was read.
func (r *Request) Credential() Credential { return r.credential }

// isPreflight reports whether this is a CORS preflight request as the Fetch
// standard defines it. Any other OPTIONS request is treated like all others.
func (r *Request) isPreflight() bool {
	if r.Method != "OPTIONS" {
		return false
	}
	_, origin := r.Header("origin")
	_, method := r.Header("access-control-request-method")
	return origin == 1 && method == 1
}

func (r *Request) trace(step, outcome string) {
	if r.Trace != nil {
		r.Trace(step, outcome)
	}
}
