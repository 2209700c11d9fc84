package extauthz

import (
	"net/http"
	"strconv"

	"keyward/authz"
)

// The auth_request of nginx understands only 401 and 403, turns every other
// denial into 500, and drops the body. So a denial for nginx carries its parts
// in X-Auth-… headers. The configuration of nginx keeps these and sends them
// with a second request, to denialPath, which returns the real response.
const (
	codeHeader      = "x-auth-code"      // the real status
	reasonHeader    = "x-auth-reason"    // an authz.Reason
	styleHeader     = "x-auth-style"     // an authz.ErrorStyle
	challengeHeader = "x-auth-challenge" // WWW-Authenticate
	decisionHeader  = "x-auth-decision"  // the decision's id
)

// withReplayHeaders adds the headers for the second request to a denial.
func (n *Renderer) withReplayHeaders(denial Denial, d *authz.Decision) Denial {
	denial.Headers = append(denial.Headers,
		authz.Header{Name: codeHeader, Value: strconv.Itoa(denial.Status)},
		authz.Header{Name: reasonHeader, Value: d.Reason.String()},
		authz.Header{Name: styleHeader, Value: n.style(d).String()},
		authz.Header{Name: decisionHeader, Value: d.ID},
	)
	if challenge := n.Challenge.value(d); challenge != "" {
		denial.Headers = append(denial.Headers, authz.Header{Name: challengeHeader, Value: challenge})
	}
	if denial.Status != http.StatusUnauthorized {
		denial.Status = http.StatusForbidden
	}
	return denial
}

// replayDenial answers the second request with the real status, headers and
// body of a denial. It makes no decision and notifies no observer: the first
// request did. Without a reason the status is 503, as when Keyward did not
// answer the first request.
func (h *Handler) replayDenial(w http.ResponseWriter, hr *http.Request, r *authz.Request) {
	trusted := h.fill(r, hr)
	if method, lines := r.Header("x-original-method"); lines == 1 {
		r.Method = method
	}
	r.Target, _ = r.Header("x-original-uri")
	value := func(name string) string { v, _ := r.Header(name); return v }
	d := authz.Decision{Reason: authz.ParseReason(value(reasonHeader)), Route: &authz.Route{Errors: h.Renderer.Errors}, ID: value(decisionHeader)}
	for _, style := range authz.ErrorStyles() {
		if style.String() == value(styleHeader) {
			d.Route.Errors = style
		}
	}
	if !trusted {
		d = authz.Decision{Reason: authz.RouteDenied}
	} else if d.Allowed() {
		d.Reason = authz.Internal // there is no second request for an allow
	}
	renderer := Renderer{Errors: h.Renderer.Errors, Challenge: Challenge{None: true}, Now: h.Renderer.Now}
	denial := renderer.Denial(r, &d)
	if challenge := value(challengeHeader); trusted && challenge != "" {
		denial.Headers = append(denial.Headers, authz.Header{Name: "www-authenticate", Value: challenge})
	}
	denial.write(w)
}
