package denials

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/explain"
)

// Current is what decides now; *engine.Snapshot implements it.
type Current interface {
	// Rechecker returns a Checker that takes a bearer token of any text to be the
	// credential of the denied request. It counts and reports nothing.
	Rechecker(denied *authz.Decision) (*authz.Checker, error)
	// Configured returns when the configuration was put in force.
	Configured() time.Time
}

// Now is what would be decided for a denied request now.
type Now struct {
	explain.Verdict
	// Needs is what the request must have, if it would be denied; nil if it has
	// no route.
	Needs *explain.Needs `json:"needs,omitempty"`
	// Assumes is what the verdict rests on, since it is not known.
	Assumes    []string  `json:"assumes"`
	Configured time.Time `json:"configured"` // when the configuration was put in force
}

// ErrNotRepeatable is returned for a denial that cannot be decided again: no route
// decided it, or too little of the request is kept.
var ErrNotRepeatable = errors.New("the request cannot be decided again: no route decided it, or it is too long to be kept")

// Recheck decides the request again, for the principal of then by what is on
// record of it now. The rules are those of the checks: only the credential has
// a stand-in.
func (n *Denial) Recheck(ctx context.Context, current Current) (*Now, error) {
	if !n.repeatable {
		return nil, ErrNotRepeatable
	}
	checker, err := current.Rechecker(&authz.Decision{Reason: n.reason, Principal: n.principal, At: n.Time})
	if err != nil {
		return nil, fmt.Errorf("deciding again: %w", err)
	}
	now := &Now{Verdict: *explain.Evaluate(ctx, checker, n.request()), Assumes: n.assumptions(), Configured: current.Configured().UTC()}
	if now.Decision != "allow" {
		now.Needs = now.Verdict.Needs()
	}
	return now, nil
}

// request returns the request, with a stand-in for the credential if there was or
// may have been one.
func (n *Denial) request() *authz.Request {
	r := &authz.Request{
		Transport: n.transport, Method: n.Method, Scheme: n.Scheme, Host: n.Host, Target: n.Path, Peer: n.Client, RouteName: n.routeName,
	}
	if n.presented() {
		r.Headers = append(r.Headers, authz.Header{Name: "authorization", Value: "Bearer stand-in"})
	}
	if n.preflight {
		r.Headers = append(r.Headers, authz.Header{Name: "origin", Value: "null"}, authz.Header{Name: "access-control-request-method", Value: n.Method})
	}
	return r
}

// presented reports whether the request had a credential, as far as is known.
func (n *Denial) presented() bool {
	return n.reason != authz.NoCredential && (n.principal == nil || n.identified())
}

// assumptions returns what Recheck takes to be so.
func (n *Denial) assumptions() []string {
	all := []string{"rate limits are not exhausted"}
	if n.schemeAssumed {
		all = append(all, "the client used "+n.Scheme)
	}
	switch {
	case !n.presented():
		all = append(all, "the request has no credential")
	case !n.identified():
		all = append(all, "the credential is refused again if it was refused; if none was looked at, it is not known")
	case n.AuthMethod == authz.AuthMethodAPIKey.String() && !n.PreviousSecret:
		all = append(all, "the key is presented by its current secret")
	case n.AuthMethod == authz.AuthMethodBasic.String():
		all = append(all, "the password is right")
	case n.principal.AuthMethod == authz.AuthMethodJWT || n.principal.AuthMethod == authz.AuthMethodOAuth:
		all = append(all, "the token grants what it granted, and is not revoked by its own id")
	}
	return all
}
