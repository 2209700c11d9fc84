package api

import (
	"time"

	"keyward/config"
	"keyward/manage/fault"
	"keyward/manage/problem"
	"keyward/store"
)

// KeyFilter are the parameters that select keys.
type KeyFilter struct {
	User      string `query:"user" maxLength:"255" doc:"Of that user."`
	Project   string `query:"project" maxLength:"255" doc:"Of that project."`
	State     string `query:"state" enum:"active,not_yet_valid,paused,expired,revoked,unsupported" doc:"In that state."`
	Q         string `query:"q" maxLength:"255" doc:"With that in the name, or that id or hint."`
	UnusedFor string `query:"unused_for" maxLength:"40" doc:"Created, last rotated and last used longer ago than this, as 90d. Needs a usage file."`
	Expiring  string `query:"expiring" maxLength:"40" doc:"Not ended, and expiring within this time, as 14d."`
	OlderThan string `query:"older_than" maxLength:"40" doc:"Created, or last rotated, longer ago than this, as 90d."`
}

// filter returns the store's filter, or all that is wrong with the parameters.
func (f KeyFilter) filter() (store.KeyFilter, error) {
	filter := store.KeyFilter{User: f.User, Project: f.Project, Text: f.Q, State: store.KeyState(f.State)}
	var bad []fault.FieldError
	for _, span := range []struct {
		name, text string
		into       *time.Duration
	}{{"unused_for", f.UnusedFor, &filter.UnusedFor}, {"expiring", f.Expiring, &filter.Expiring}, {"older_than", f.OlderThan, &filter.OlderThan}} {
		if span.text == "" {
			continue
		}
		d, err := config.ParseDuration(span.text)
		if err != nil || d <= 0 {
			bad = append(bad, fault.FieldError{Pointer: "/query/" + span.name, Detail: "is not a time above zero, as 24h or 90d"})
		}
		*span.into = d
	}
	if len(bad) > 0 {
		p := problem.New(fault.Invalid, "the request has members that cannot be accepted")
		p.Errors = bad
		return store.KeyFilter{}, p
	}
	return filter, nil
}
