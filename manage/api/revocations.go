package api

import (
	"context"
	"net/http"
	"time"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"

	"github.com/danielgtaylor/huma/v2"
)

// TokensBody says which tokens a revocation is of.
type TokensBody struct {
	TokenID      string    `json:"jti,omitempty" maxLength:"255" doc:"One token, by its id."`
	SessionID    string    `json:"sid,omitempty" maxLength:"255" doc:"The tokens of one login or grant."`
	Subject      string    `json:"subject,omitempty" maxLength:"255" doc:"Those of one subject, with issued_before."`
	IssuedBefore time.Time `json:"issued_before,omitzero" doc:"Those that were issued before that time; without a subject, all of them."`
	Until        time.Time `json:"until,omitzero" doc:"When they all have expired: the revocation is dropped after it. Without it the revocation stays."`
	Reason       string    `json:"reason,omitempty" maxLength:"1024"`
}

// RevocationBody is a revocation in a response.
type RevocationBody struct {
	TokensBody
	At  time.Time `json:"at"`
	By  string    `json:"by,omitempty" doc:"Who revoked, as in the audit log."`
	Via audit.Via `json:"via,omitempty"`
}

// registerRevocations adds the revocations of tokens.
func (a *api) registerRevocations(h huma.API) {
	add(h, operation{id: "create-revocation", method: http.MethodPost, path: "/revocations", summary: "Revoke tokens", status: http.StatusCreated, tag: "Revocations", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, who access.Actor, in *struct{ Body TokensBody }) (*struct{ Body RevocationBody }, error) {
			which := manage.TokenRevocation{
				TokenID: in.Body.TokenID, SessionID: in.Body.SessionID, Subject: in.Body.Subject,
				IssuedBefore: in.Body.IssuedBefore, Until: in.Body.Until, Reason: in.Body.Reason,
			}
			made, err := a.madeBefore(ctx)
			if err != nil {
				return nil, err
			}
			if len(made) > 0 { // by an earlier attempt of the request
				return &struct{ Body RevocationBody }{RevocationBody{in.Body, made[0].Time, made[0].Actor, made[0].Via}}, nil
			}
			r, err := a.Service().Revoke(ctx, who, which)
			return &struct{ Body RevocationBody }{viewRevocation(&r)}, err
		})
	add(h, operation{id: "list-revocations", method: http.MethodGet, path: "/revocations", summary: "List the revocations of tokens", tag: "Revocations", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			TokenID   string `query:"jti" maxLength:"255"`
			SessionID string `query:"sid" maxLength:"255"`
			Subject   string `query:"subject" maxLength:"255"`
		}) (*listOutput[RevocationBody], error) {
			filter := store.RevocationFilter{TokenID: in.TokenID, SessionID: in.SessionID, Subject: in.Subject}
			records, next, err := a.Service().ListRevocations(ctx, who, filter, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[RevocationBody]{listOf(records, next, viewRevocation)}, nil
		})
}

func viewRevocation(r *store.Revocation) RevocationBody {
	return RevocationBody{TokensBody{r.TokenID, r.SessionID, r.Subject, r.IssuedBefore.UTC(), r.Until.UTC(), r.Reason}, r.At.UTC(), r.By, r.Via}
}
