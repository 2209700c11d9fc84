// Package explain answers what would be decided for a request, and why. It reads
// the request from JSON, and returns the decision with the steps that led to it.
// The decision is an authz.Checker's: the package has no rules of its own.
package explain

import (
	"context"
	"slices"
	"strings"

	"keyward/authz"
)

// Verdict is the decision for one request, as JSON has it. It holds no
// credential: the steps and the headers of a decision never do.
type Verdict struct {
	Decision    string            `json:"decision"` // allow, deny, or error: could not decide
	Reason      string            `json:"reason"`
	Status      int               `json:"status"`
	Subject     string            `json:"subject,omitempty"`
	ClientID    string            `json:"client_id,omitempty"`
	KeyID       string            `json:"key_id,omitempty"`
	Route       string            `json:"route,omitempty"`
	Steps       []Step            `json:"steps"`
	Set         map[string]string `json:"set,omitzero"`
	Remove      []string          `json:"remove,omitzero"`
	RemoveQuery string            `json:"remove_query,omitempty"`

	route *authz.Route // nil if none was found
}

// Step is one step of a check, in the order taken.
type Step struct {
	Name    string `json:"step"`
	Outcome string `json:"outcome"`
}

// Evaluate returns what the checker decides for the request. It sets r.Trace. The
// check is logged and counted like any other, unless the checker has neither
// observers nor limits, as with engine.Options.DryRun.
func Evaluate(ctx context.Context, checker *authz.Checker, r *authz.Request) *Verdict {
	v := &Verdict{Steps: []Step{}}
	r.Trace = func(name, outcome string) { v.Steps = append(v.Steps, Step{name, outcome}) }
	d := checker.Check(ctx, r)
	v.Decision, v.Reason, v.Status, v.RemoveQuery = d.Outcome(), d.Reason.String(), d.Status(), strings.Join(d.RemoveQuery, ", ")
	if d.Principal != nil {
		v.Subject, v.ClientID, v.KeyID = d.Principal.Subject(), d.Principal.ClientID, d.Principal.KeyID
	}
	if d.Route != nil {
		v.Route, v.route = d.Route.String(), d.Route
	}
	if d.Allowed() {
		v.Set = map[string]string{}
		for _, h := range d.Set {
			v.Set[h.Name] = h.Value
		}
		v.Remove = slices.Concat(d.Remove, checker.Overrides())
	}
	return v
}
