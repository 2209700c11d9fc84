package api

import (
	"context"
	"net/http"

	"keyward/manage/access"
	"keyward/manage/denials"
	"keyward/usage"

	"github.com/danielgtaylor/huma/v2"
)

// decision is a recent denial in a response.
type decision struct {
	Denial *denials.Denial `json:"denial"`
	Now    *denials.Now    `json:"now,omitempty" doc:"What would be decided for the request now; not there if that cannot be decided again."`
}

// registerObserved adds what this process has seen of checks.
func (a *api) registerObserved(h huma.API) {
	add(h, operation{id: "get-key-usage", method: http.MethodGet, path: "/keys/{id}/usage", summary: "Show the use of a key; of one's own with keyward:self", tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *struct{ KeyID }) (*struct{ Body usage.Usage }, error) {
			used, err := a.Service().KeyUsage(ctx, who, in.ID)
			return &struct{ Body usage.Usage }{used}, err
		})
	add(h, operation{id: "get-decision", method: http.MethodGet, path: "/decisions/{id}", summary: "Show a recent denial, and what it would be now", tag: "Decisions"},
		func(ctx context.Context, who access.Actor, in *struct {
			ID string `path:"id" maxLength:"64" doc:"The id in X-Keyward-Decision-Id, in the body and in the log."`
		}) (*struct{ Body decision }, error) {
			denial, now, err := a.Service().Decision(ctx, who, in.ID)
			return &struct{ Body decision }{decision{denial, now}}, err
		})
}
