package extauthz

import (
	"net/http"
	"strconv"

	"keyward/authz"
)

// nginx's auth_request knows no denial but 401 and 403, makes 500 of all else,
// and throws the body away. So a denial carries what it is made of in X-Auth-…
// headers; nginx's configuration keeps these and has the denial said again.
const (
	codeHeader      = "x-auth-code"      // the true status
	reasonHeader    = "x-auth-reason"    // an authz.Reason
	styleHeader     = "x-auth-style"     // an authz.ErrorStyle
	challengeHeader = "x-auth-challenge" // WWW-Authenticate
	decisionHeader  = "x-auth-decision"  // the decision's id
)

// relayed is a denial for who has it said again.
func (n *Renderer) relayed(denial Denial, d *authz.Decision) Denial {
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

// sayAgain says a denial with its true status, headers and body. It is no
// decision and is not observed: that was done when it was made. Without a
// reason, as where no Keyward had answered, it is a 503.
func (h *Handler) sayAgain(w http.ResponseWriter, hr *http.Request, r *authz.Request) {
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
		d.Reason = authz.Internal // nobody has an allow said again
	}
	again := Renderer{Errors: h.Renderer.Errors, Challenge: Challenge{None: true}, Now: h.Renderer.Now}
	denial := again.Denial(r, &d)
	if challenge := value(challengeHeader); trusted && challenge != "" {
		denial.Headers = append(denial.Headers, authz.Header{Name: "www-authenticate", Value: challenge})
	}
	denial.write(w)
}
