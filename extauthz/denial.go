package extauthz

import (
	"net/http"
	"strings"
	"time"

	"keyward/authz"
)

// Denials says decisions to deny in the words of one configuration.
type Denials struct {
	Errors    authz.ErrorStyle // where the decision has no route to say another
	Challenge Challenge
	Now       func() time.Time // for the styles that tell the time
	// QuotaOnAllow has allows tell the client what is left of its limit too.
	QuotaOnAllow bool
}

// Denial is how a decision to deny is said to the client, whichever the transport.
type Denial struct {
	Status  int
	Headers []authz.Header
	Body    []byte
}

// decisionIDHeader lets whoever was denied name the decision to an operator, who finds it in the log.
const decisionIDHeader = "x-keyward-decision-id"

// of says one denial. Every style and every reason goes through here.
func (n *Denials) of(r *authz.Request, d *authz.Decision) Denial {
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
		denial.Headers = append(denial.Headers, retryAfter(overloadPasses))
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

// style is that of the decision's route.
func (n *Denials) style(d *authz.Decision) authz.ErrorStyle {
	if d.Route != nil {
		return d.Route.Errors
	}
	return n.Errors
}

// body is the denial in the style of its route.
func (n *Denials) body(r *authz.Request, d *authz.Decision) (mediaType string, body []byte) {
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

// isGRPC tells whether the client speaks gRPC and so needs a gRPC status,
// which Envoy makes of the HTTP status, with the body as its message.
func isGRPC(r *authz.Request) bool {
	for i := range r.Headers {
		if h := &r.Headers[i]; h.Name == "content-type" {
			rest, ok := strings.CutPrefix(h.Value, "application/grpc")
			return ok && (rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == '-')
		}
	}
	return false
}

func (denial Denial) forGRPC(d *authz.Decision) Denial {
	denial.Body = []byte(detail(d.Reason))
	if denial.Status == http.StatusTooManyRequests {
		// Envoy would say UNAVAILABLE, which clients retry at once; 8 is RESOURCE_EXHAUSTED.
		denial.Headers = append(denial.Headers, authz.Header{Name: "grpc-status", Value: "8"})
	}
	return denial
}
