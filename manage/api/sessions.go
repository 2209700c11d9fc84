package api

import (
	"context"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/session"
	"keyward/manage/state"

	"github.com/danielgtaylor/huma/v2"
)

// SessionBody is a session in a response.
type SessionBody struct {
	ID      string    `json:"id"`
	Method  string    `json:"method" enum:"password,oidc" doc:"How the user logged in."`
	Address string    `json:"address,omitempty" doc:"Of the client at the login."`
	Login   time.Time `json:"login"`
	LastUse time.Time `json:"last_use" doc:"Up to a minute late."`
	Expires time.Time `json:"expires" doc:"Unless it is used again."`
	Current bool      `json:"current" doc:"The session that the request has."`
}

// cookieOutput is a response without a body that may change the session's cookie.
type cookieOutput struct {
	SetCookie string `header:"Set-Cookie"`
}

// registerSessions adds what a caller does to its own sessions and password.
func (a *api) registerSessions(h huma.API) {
	add(h, operation{id: "list-own-sessions", method: http.MethodGet, path: "/me/sessions", summary: "List one's own sessions", tag: "Me"},
		func(ctx context.Context, who access.Actor, in *struct{ Paging }) (*listOutput[SessionBody], error) {
			sessions, next, err := a.Accounts().Sessions(ctx, who, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[SessionBody]{listOf(sessions, next, func(s *state.Session) SessionBody { return viewSession(s, who) })}, nil
		})
	add(h, operation{id: "end-own-session", method: http.MethodDelete, path: "/me/sessions/{id}", summary: "End a session of one's own", status: http.StatusNoContent, tag: "Me"},
		func(ctx context.Context, who access.Actor, in *struct {
			ID string `path:"id" maxLength:"255"`
		}) (*cookieOutput, error) {
			if err := a.Accounts().EndSession(ctx, who, in.ID); err != nil {
				return nil, err
			}
			out := &cookieOutput{}
			if in.ID == who.Session() {
				out.SetCookie = session.ClearCookie()
			}
			return out, nil
		})
	add(h, operation{id: "change-own-password", method: http.MethodPost, path: "/me/password", summary: "Change one's own password", status: http.StatusNoContent, tag: "Me", errors: []int{http.StatusPreconditionFailed}},
		func(ctx context.Context, who access.Actor, in *struct {
			Body struct {
				Current  string `json:"current" writeOnly:"true"`
				Password string `json:"password" doc:"8 to 72 bytes." writeOnly:"true"`
			}
		}) (*cookieOutput, error) {
			cookie, err := a.Accounts().ChangePassword(ctx, who, authz.NewSecret(in.Body.Current), authz.NewSecret(in.Body.Password))
			if err != nil {
				return nil, err
			}
			return &cookieOutput{session.SetCookie(cookie)}, nil
		})
}

func viewSession(s *state.Session, who access.Actor) SessionBody {
	return SessionBody{
		ID: s.ID, Method: string(s.Method), Address: s.Address, Login: s.Login, LastUse: s.Seen, Expires: s.Expires, Current: s.ID == who.Session(),
	}
}
