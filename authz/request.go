package authz

import "strings"

// Header is one header line. Names are in lower case.
type Header struct{ Name, Value string }

// Request is what the core sees of a request that a proxy asks about. A
// transport fills one in and keeps it until the answer is written; nothing
// below may hold on to the Request itself or to its slices afterwards (its
// strings may be kept). The zero Request is denied.
type Request struct {
	Transport Transport
	Method    string
	Scheme    string // how the client came, in the proxy's words and not in its own: http or https
	Host      string // with port, if the client sent one
	Target    string // the raw request target: path and query, undecoded
	Peer      string // address of the proxy's TCP peer, as the proxy writes it
	RequestID string // the proxy's x-request-id, for the log

	// TraceParent is the W3C trace context of the call by which the proxy asks,
	// where that has one beside the request's own header, and somebody traces.
	TraceParent string

	// RouteName picks a route by name; set by the proxy's own configuration
	// and never by the client.
	RouteName string

	// FixedTarget says that the proxy passes the target on as it is. Then no
	// credential in the query can be kept from the upstream.
	FixedTarget bool

	// Headers are the header lines in the order received, one entry a line.
	Headers []Header

	// Trace, where set, is told each step and its outcome.
	Trace func(step, outcome string)

	trustedHops int // see Client

	path       string // that of the target, once it was found to be one
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
	*r = Request{} // not a literal with the slices in it, which would be made elsewhere and copied
	r.Headers, r.set, r.remove = headers[:0], set[:0], remove[:0]
}

// Header returns the value of the only line of that name and the number of
// such lines. Of several the value is "": whoever asks can't tell which is meant.
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

// PathAsSent is the target without its query, which may hold a credential. The
// target may be no path at all.
func (r *Request) PathAsSent() string {
	if r.path != "" {
		return r.path
	}
	path, _, _ := strings.Cut(r.Target, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

// isPreflight reports whether this is a CORS preflight request as the Fetch
// standard defines it; any other OPTIONS is a request like all others.
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
