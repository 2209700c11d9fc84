package denials

import (
	"encoding/json"
	"errors"
	"time"

	"keyward/authz"
)

// MaxLine bounds a line of the decision log that Parse reads, in bytes.
const MaxLine = 32 << 10

// Errors of Parse.
var (
	ErrNotLogLine = errors.New("not a line of the decision log in JSON: it begins with { and has decision, reason and path")
	ErrAllowed    = errors.New("the line is about a request that was allowed")
)

// Parse returns the denial of which a line of the decision log is, most likely that of
// another replica. Its author is not known: nothing of it is trusted, and it is decided
// again only to be shown. The line does not have all that a denial of this process has.
// What a token granted is missing, and so its request cannot be decided again.
func Parse(line []byte) (*Denial, error) {
	var n Denial
	if len(line) > MaxLine || json.Unmarshal(line, &n) != nil {
		return nil, ErrNotLogLine
	}
	switch n.Decision {
	case "allow":
		return nil, ErrAllowed
	case "deny", "error":
	default:
		return nil, ErrNotLogLine
	}
	n.reason = authz.ParseReason(n.Reason)
	if n.Path == "" || n.reason.String() != n.Reason || n.reason.Allows() {
		return nil, ErrNotLogLine
	}
	n.bound()
	n.Time, n.Status, n.Configured = n.Time.UTC(), n.reason.Status(), time.Time{}
	known := true
	switch n.AuthMethod {
	case "", authz.AuthMethodNone.String(), authz.AuthMethodAnonymous.String():
		n.AuthMethod = ""
	case authz.AuthMethodAPIKey.String():
		n.principal = &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: n.KeyID}
		known = n.KeyID != ""
	case authz.AuthMethodBasic.String():
		n.principal = &authz.Principal{AuthMethod: authz.AuthMethodBasic, User: n.Subject}
		known = n.Subject != ""
	default:
		known = false
	}
	for _, t := range authz.Transports() {
		if t.Name == n.Transport {
			n.transport = t.Transport
			// Other transports decide by the proxy's route name, or only identify.
			n.repeatable = known && !n.Truncated && t.Operation == "check" && t.Transport != authz.TransportManage
		}
	}
	if n.Scheme == "" {
		n.Scheme, n.schemeAssumed = "https", true // the log does not have it
	}
	return &n, nil
}

// bound cuts the texts as those of a denial of this process are cut.
func (n *Denial) bound() {
	n.Truncated = len(n.Path) > maxPath
	for _, t := range []struct {
		text *string
		max  int
	}{
		{&n.ID, maxRequestID}, {&n.Cause, maxCause}, {&n.Method, maxMethod}, {&n.Scheme, maxScheme}, {&n.Host, maxHost}, {&n.Path, maxPath},
		{&n.Client, maxName}, {&n.RequestID, maxRequestID}, {&n.Route, maxPath}, {&n.Limit, maxName},
		{&n.AuthMethod, maxName}, {&n.Subject, maxName}, {&n.ClientID, maxName}, {&n.KeyID, maxName},
	} {
		*t.text = keepRedacted(*t.text, t.max)
	}
}
