package main

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"slices"

	"keyward/authz"
)

// verdict is the result of check for one request. It holds no credential: the
// steps and the headers of a decision never do.
type verdict struct {
	Decision    string            `json:"decision"` // allow, deny, or error: could not decide
	Reason      string            `json:"reason"`
	Status      int               `json:"status"`
	Subject     string            `json:"subject,omitempty"`
	ClientID    string            `json:"client_id,omitempty"`
	KeyID       string            `json:"key_id,omitempty"`
	Route       string            `json:"route,omitempty"`
	Steps       []step            `json:"steps"`
	Set         map[string]string `json:"set,omitzero"`
	Remove      []string          `json:"remove,omitzero"`
	RemoveQuery string            `json:"remove_query,omitempty"`
}

type step struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"`
}

func judge(ctx context.Context, checker *authz.Checker, r *authz.Request) *verdict {
	v := &verdict{Steps: []step{}}
	r.Trace = func(name, outcome string) { v.Steps = append(v.Steps, step{name, outcome}) }
	d := checker.Check(ctx, r)
	v.Decision, v.Reason, v.Status, v.RemoveQuery = d.Outcome(), d.Reason.String(), d.Status(), d.RemoveQuery
	if d.Principal != nil {
		v.Subject, v.ClientID, v.KeyID = d.Principal.Subject(), d.Principal.ClientID, d.Principal.KeyID
	}
	if d.Route != nil {
		v.Route = d.Route.String()
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

func (v *verdict) setNames() []string { return slices.Sorted(maps.Keys(v.Set)) }

// maxLine bounds a request on standard input, in bytes.
const maxLine = 1 << 20

// checkLines prints one line for each line that it reads. A denied request is
// not a failure of the command; one that could not be decided, or read, is.
func checkLines(env *environment, checker *authz.Checker) error {
	lines := bufio.NewScanner(env.stdin)
	lines.Buffer(nil, maxLine)
	worst := exitDone
	for number := 1; lines.Scan(); number++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		r, err := parseRequest(lines.Bytes())
		if err != nil {
			env.note("request line %d: %v", number, err)
			worst = max(worst, exitUsage)
			err = writeJSON(env.stdout, map[string]any{"decision": "error", "error": err.Error(), "line": number})
		} else {
			v := judge(env.ctx, checker, r)
			if v.Decision == "error" {
				worst = exitUnjudged
			}
			err = writeJSON(env.stdout, v)
		}
		if err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return usagef("a request line of more than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	if worst != exitDone {
		return exitCode(worst)
	}
	return nil
}
