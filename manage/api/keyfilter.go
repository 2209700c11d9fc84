package api

import (
	"keyward/manage/input"
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
	err := input.Spans(
		input.Span{Name: "unused_for", Text: f.UnusedFor, Into: &filter.UnusedFor},
		input.Span{Name: "expiring", Text: f.Expiring, Into: &filter.Expiring},
		input.Span{Name: "older_than", Text: f.OlderThan, Into: &filter.OlderThan},
	)
	if err != nil {
		return store.KeyFilter{}, err
	}
	return filter, nil
}
