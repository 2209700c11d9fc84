package extauthz

import (
	"net/http"
	"strings"
	"time"

	"keyward/authz"
)

// Renderer renders decisions as responses to a proxy, according to one
// configuration. All transports use it, so that a client gets the same response
// over each of them.
type Renderer struct {
	Errors    authz.ErrorStyle // of decisions without a route
	Challenge Challenge
	Now       func() time.Time // for the styles that have a timestamp
	// QuotaOnAllow adds what is left of the client's limit to allows too.
	QuotaOnAllow bool
	// KeyExpiry adds when a key stops being accepted to allows, in its last days.
	KeyExpiry bool
	// Overrides are removed from every allowed request.
	Overrides Overrides
}

// Denial is the response that the client gets instead of the upstream's.
type Denial struct {
	Status  int
	Headers []authz.Header
	Body    []byte
}

// Allow has the changes that a proxy makes to a request that it passes on, and
// to the response. The zero value changes nothing.
type Allow struct {
	Set             []authz.Header // replace request headers of these names
	Remove          []string       // request headers, in lower case
	Overrides       *Overrides     // more request headers to remove
	RemoveQuery     []string       // names of query parameters to remove
	ResponseHeaders []authz.Header // for the client
}

// decisionIDHeader has the id of the decision, which a client can give to an
// operator and which is in the log.
const decisionIDHeader = "x-keyward-decision-id"

// Denial renders a decision that denies, for every style and every reason. The
// request provides the method, the path and the client's protocol.
func (n *Renderer) Denial(r *authz.Request, d *authz.Decision) Denial {
	denial := Denial{
		Status: d.Status(),
		Headers: append(make([]authz.Header, 0, 4),
			authz.Header{Name: "cache-control", Value: "no-store"}, authz.Header{Name: decisionIDHeader, Value: d.ID}),
	}
	if challenge := n.Challenge.value(d); challenge != "" {
		denial.Headers = append(denial.Headers, authz.Header{Name: "www-authenticate", Value: challenge})
	}
	denial.Headers = quotaHeaders(denial.Headers, &d.Quota)
	if d.Reason == authz.Overloaded {
		denial.Headers = append(denial.Headers, retryAfter(overloadRetryAfter))
	}
	if isGRPC(r) {
		return denial.forGRPC(d)
	}
	mediaType, body := n.body(r, d)
	denial.Headers = append(denial.Headers, authz.Header{Name: "content-type", Value: mediaType})
	if r.Method != http.MethodHead { // RFC 9110 section 9.3.2
		denial.Body = body
	}
	return denial
}

// Allow renders a decision that allows. It allocates nothing unless
// QuotaOnAllow is set or a key expires soon. The slices belong to the decision: the caller must not
// modify them.
func (n *Renderer) Allow(d *authz.Decision) Allow {
	allow := Allow{Set: d.Set, Remove: d.Remove, Overrides: &n.Overrides, RemoveQuery: d.RemoveQuery}
	if n.QuotaOnAllow {
		allow.ResponseHeaders = quotaHeaders(nil, &d.Quota)
	}
	if n.KeyExpiry && d.Principal != nil {
		allow.ResponseHeaders = appendKeyExpiry(allow.ResponseHeaders, d.Principal.AcceptedUntil, d.At)
	}
	return allow
}

// AppendMetadata appends the fields about a decision that the proxy's access
// log and its later filters may use. They contain no credential.
func AppendMetadata(fields []authz.Header, d *authz.Decision) []authz.Header {
	fields = append(fields, authz.Header{Name: "reason", Value: d.Reason.String()})
	if d.Principal != nil && d.Principal.KeyID != "" {
		fields = append(fields, authz.Header{Name: "key_id", Value: d.Principal.KeyID})
	}
	if d.ID != "" {
		fields = append(fields, authz.Header{Name: "decision_id", Value: d.ID})
	}
	return fields
}

// style returns the error style of the decision's route.
func (n *Renderer) style(d *authz.Decision) authz.ErrorStyle {
	if d.Route != nil {
		return d.Route.Errors
	}
	return n.Errors
}

// body returns the body of a denial in the style of its route.
func (n *Renderer) body(r *authz.Request, d *authz.Decision) (mediaType string, body []byte) {
	switch n.style(d) {
	case authz.StyleGeneric:
		return "application/json", genericBody(d, n.Now())
	case authz.StyleHalo:
		return "application/json", haloBody(r, d)
	case authz.StyleHalfred:
		return "application/json", halfredBody(d)
	default:
		return "application/problem+json", problemBody(d)
	}
}

// isGRPC reports whether the client speaks gRPC. It then needs a gRPC status,
// which Envoy derives from the HTTP status, with the body as the message.
func isGRPC(r *authz.Request) bool {
	rest, ok := afterGRPC(r)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == '-')
}

// afterGRPC returns what follows application/grpc in the content type.
func afterGRPC(r *authz.Request) (rest string, ok bool) {
	for i := range r.Headers {
		if h := &r.Headers[i]; h.Name == "content-type" {
			return strings.CutPrefix(h.Value, "application/grpc")
		}
	}
	return "", false
}

func (denial Denial) forGRPC(d *authz.Decision) Denial {
	denial.Body = []byte(detail(d.Reason))
	if denial.Status == http.StatusTooManyRequests {
		// Envoy would send UNAVAILABLE, which clients retry at once; 8 is
		// RESOURCE_EXHAUSTED.
		denial.Headers = append(denial.Headers, authz.Header{Name: "grpc-status", Value: "8"})
	}
	return denial
}
