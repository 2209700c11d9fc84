package extauthz

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"keyward/authz"
)

// Challenge says what WWW-Authenticate a denial carries (RFC 9110 section 11.6.1).
type Challenge struct {
	None   bool   // no header at all
	Realm  string // visible ASCII without quote and backslash
	Bearer bool   // the schemes that are enabled
	Basic  bool
}

// Denial is how a decision to deny is said to the client, whichever the transport.
type Denial struct {
	Status  int
	Headers []authz.Header
	Body    []byte
}

// decisionIDHeader lets whoever was denied name the decision to an operator, who finds it in the log.
const decisionIDHeader = "x-keyward-decision-id"

// deny says a denial. Every style and every reason goes through here.
func (c *Challenge) deny(r *authz.Request, d *authz.Decision) Denial {
	denial := Denial{
		Status: d.Reason.Status(),
		Headers: []authz.Header{
			{Name: "cache-control", Value: "no-store"},
			{Name: decisionIDHeader, Value: d.ID},
		},
	}
	if challenge := c.value(d); challenge != "" {
		denial.Headers = append(denial.Headers, authz.Header{Name: "www-authenticate", Value: challenge})
	}
	if isGRPC(r) {
		return denial.forGRPC(d)
	}
	denial.Headers = append(denial.Headers, authz.Header{Name: "content-type", Value: "application/problem+json"})
	denial.Body = problem(denial.Status, d)
	return denial
}

// value is the challenge of a 401, and of a 403 that more scopes would lift
// (RFC 6750 section 3), on one line since nginx drops a second one.
func (c *Challenge) value(d *authz.Decision) string {
	status := d.Reason.Status()
	if c.None || status != http.StatusUnauthorized && d.Reason != authz.InsufficientScope {
		return ""
	}
	var schemes []string
	if c.Bearer || !c.Basic {
		schemes = append(schemes, c.bearer(d))
	}
	if c.Basic && status == http.StatusUnauthorized {
		schemes = append(schemes, fmt.Sprintf(`Basic realm="%s", charset="UTF-8"`, c.Realm))
	}
	return strings.Join(schemes, ", ")
}

func (c *Challenge) bearer(d *authz.Decision) string {
	challenge := fmt.Sprintf(`Bearer realm="%s"`, c.Realm)
	switch d.Reason {
	case authz.NoCredential, authz.UnsupportedCredential, authz.WrongPassword:
		// RFC 6750 section 3.1: who showed no token is told of no error.
		return challenge
	case authz.MalformedCredential, authz.AmbiguousCredential:
		return challenge + fmt.Sprintf(`, error="invalid_request", error_description="%s"`, detail(d.Reason))
	case authz.InsufficientScope:
		return challenge + fmt.Sprintf(`, error="insufficient_scope", scope="%s"`, d.Route.Scopes)
	default:
		return challenge + fmt.Sprintf(`, error="invalid_token", error_description="%s"`, detail(d.Reason))
	}
}

// problem is the body by RFC 9457. The decision's id and reason are extension members.
func problem(status int, d *authz.Decision) []byte {
	body, err := json.Marshal(struct {
		Type       string `json:"type"`
		Title      string `json:"title"`
		Status     int    `json:"status"`
		Detail     string `json:"detail"`
		Reason     string `json:"reason"`
		DecisionID string `json:"decision_id"`
	}{"about:blank", http.StatusText(status), status, detail(d.Reason), d.Reason.String(), d.ID})
	if err != nil {
		return nil // strings and a number always marshal
	}
	return append(body, '\n')
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

// detail is what a client is told of the reason; operators find the cause in the log.
func detail(reason authz.Reason) string {
	switch reason {
	case authz.AmbiguousPath:
		return "The path can be read in more than one way"
	case authz.NoCredential:
		return "Authentication is required"
	case authz.MalformedCredential:
		return "The credential is malformed"
	case authz.AmbiguousCredential:
		return "The request carries more than one credential"
	case authz.UnsupportedCredential:
		return "The authentication scheme is not supported"
	case authz.InvalidToken, authz.UnknownKey, authz.RevokedKey, authz.ExpiredKey,
		authz.ExpiredToken, authz.RevokedToken, authz.DisabledUser:
		return "The credential is not valid"
	case authz.WrongPassword:
		return "The user name or password is wrong"
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
	case authz.Unavailable, authz.Overloaded, authz.Internal:
		return "The request could not be authenticated at this time"
	default:
		return "The request was denied"
	}
}
