package api

import (
	"context"
	"net/http"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/input"
	"keyward/manage/mergepatch"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"

	"github.com/danielgtaylor/huma/v2"
)

// UserBody is a user in a response.
type UserBody struct {
	manage.UserView
	OIDCIssuer  string `json:"oidc_issuer,omitempty" doc:"The OpenID provider of the identity by which the user logs in."`
	OIDCSubject string `json:"oidc_subject,omitempty" doc:"The sub of that identity."`
	ETag        string `json:"etag" doc:"The version of the record, for If-Match."`
}

// userOutput is the response with one user.
type userOutput struct {
	ETag string `header:"ETag"`
	Body UserBody
}

// UserName is the name in the path of a request about one user.
type UserName struct {
	Name string `path:"name" maxLength:"255"`
}

// registerUsers adds what is done to users.
func (a *api) registerUsers(h huma.API) {
	add(h, operation{id: "create-user", method: http.MethodPost, path: "/users", summary: "Create a user", status: http.StatusCreated, tag: "Users", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *struct{ Body newUser }) (*userOutput, error) {
			return a.createUser(ctx, who, in.Body)
		})
	add(h, operation{id: "list-users", method: http.MethodGet, path: "/users", summary: "List users", tag: "Users"},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			Q string `query:"q" maxLength:"255" doc:"With that in the name."`
		}) (*listOutput[UserBody], error) {
			records, next, err := a.Service().ListUsers(ctx, who, store.UserFilter{Text: in.Q}, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[UserBody]{listOf(records, next, viewUser)}, nil
		})
	add(h, operation{id: "get-user", method: http.MethodGet, path: "/users/{name}", summary: "Show a user", tag: "Users"},
		func(ctx context.Context, who access.Actor, in *struct{ UserName }) (*userOutput, error) {
			r, err := a.Service().User(ctx, who, in.Name)
			return asUserOutput(&r, err)
		})
	add(h, operation{id: "update-user", method: http.MethodPatch, path: "/users/{name}", summary: "Change a user", tag: "Users", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *UserPatch) (*userOutput, error) {
			if in.links() {
				return a.linkUser(ctx, who, in)
			}
			patch, err := in.patch()
			if err != nil {
				return nil, err
			}
			r, err := a.Service().UpdateUser(ctx, who, manage.UserRef{Name: in.Name, IfMatch: in.version()}, patch)
			return asUserOutput(&r, err)
		})
	a.registerUserEnds(h)
}

// registerUserEnds adds what ends something that a user has.
func (a *api) registerUserEnds(h huma.API) {
	add(h, operation{id: "set-password", method: http.MethodPost, path: "/users/{name}/password", summary: "Set a user's password, or make a link by which the user sets it", tag: "Users", alsoEmpty: true, errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *PasswordInput) (*passwordOutput, error) {
			return a.setPassword(ctx, who, in)
		})
	add(h, operation{id: "delete-user", method: http.MethodDelete, path: "/users/{name}", summary: "Delete a user, and revoke its keys and tokens", status: http.StatusNoContent, tag: "Users", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *struct {
			UserName
			IfMatch
		}) (*struct{}, error) {
			return nil, a.Service().DeleteUser(ctx, who, manage.UserRef{Name: in.Name, IfMatch: in.version()})
		})
}

// PasswordInput is the request for a password or a link.
type PasswordInput struct {
	UserName
	IfMatch
	Body struct {
		Password *string `json:"password,omitempty" doc:"8 to 72 bytes. Sets it; the answer is 204." writeOnly:"true"`
		Link     bool    `json:"link,omitempty" doc:"Makes a one-time link instead, which is in the answer alone."`
	}
}

// passwordOutput is the response to a request for a password or a link.
type passwordOutput struct {
	Status int
	Body   oneTimeLink
}

// oneTimeLink is a link by which its holder sets a password, once.
type oneTimeLink struct {
	Link    string    `json:"link" doc:"In this answer alone."`
	Expires time.Time `json:"expires"`
}

func (a *api) setPassword(ctx context.Context, who access.Actor, in *PasswordInput) (*passwordOutput, error) {
	ref := manage.UserRef{Name: in.Name, IfMatch: in.version()}
	switch {
	case in.Body.Link == (in.Body.Password != nil):
		return nil, input.Invalid("", "wants either password, or link: true")
	case !in.Body.Link:
		return &passwordOutput{Status: http.StatusNoContent}, a.Service().SetPassword(ctx, who, ref, authz.NewSecret(*in.Body.Password), false)
	}
	token, code, err := a.Accounts().CreatePasswordLink(ctx, who, ref)
	if err != nil {
		return nil, err
	}
	link := callOf(ctx).base + LinkPath(state.PurposePassword) + token.Reveal()
	return &passwordOutput{Status: http.StatusOK, Body: oneTimeLink{link, code.Expires}}, nil
}

// newUser is the body of a request for a user.
type newUser struct {
	Name     string   `json:"name" minLength:"1" maxLength:"255"`
	Scopes   []string `json:"scopes,omitempty" maxItems:"100"`
	Paths    []string `json:"paths,omitempty" maxItems:"100" doc:"Without them: anywhere."`
	Disabled bool     `json:"disabled,omitempty"`
	Password *string  `json:"password,omitempty" doc:"8 to 72 bytes. Without it the user cannot log in." writeOnly:"true"`

	MustChange bool `json:"must_change,omitempty" doc:"The password must be changed at the next login to the console or the issuer."`
	Service    bool `json:"service,omitempty" doc:"A program, which has keys and never a password."`
}

func (a *api) createUser(ctx context.Context, who access.Actor, in newUser) (*userOutput, error) {
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		if err != nil {
			return nil, err
		}
		r, err := a.Service().User(ctx, who, in.Name)
		return asUserOutput(&r, err)
	}
	if err := input.Addressable("user", in.Name); err != nil {
		return nil, err
	}
	input := manage.UserInput{Name: in.Name, Scopes: in.Scopes, Paths: in.Paths, Disabled: in.Disabled, MustChange: in.MustChange, Service: in.Service}
	if in.Password != nil {
		secret := authz.NewSecret(*in.Password)
		input.Password = &secret
	}
	r, err := a.Service().CreateUser(ctx, who, input)
	return asUserOutput(&r, err)
}

// UserPatch is a merge patch (RFC 7396) of a user.
type UserPatch struct {
	UserName
	IfMatch
	Body struct {
		Scopes   mergepatch.Removable[[]string] `json:"scopes,omitempty" maxItems:"100" doc:"null: none."`
		Paths    mergepatch.Removable[[]string] `json:"paths,omitempty" doc:"null: anywhere."`
		Disabled mergepatch.Kept[bool]          `json:"disabled,omitempty"`

		MustChange mergepatch.Kept[bool] `json:"must_change,omitempty" doc:"The password, at the next login to the console or the issuer."`
		Service    mergepatch.Kept[bool] `json:"service,omitempty" doc:"A program; refused for a user that has a password."`

		OIDCSubject mergepatch.Removable[string] `json:"oidc_subject,omitempty" minLength:"1" maxLength:"255" doc:"The sub of the person who logs in as the user with the OpenID provider; null: not by it. Not together with members other than oidc_issuer."`
		OIDCIssuer  mergepatch.Kept[string]      `json:"oidc_issuer,omitempty" minLength:"1" maxLength:"255" doc:"The provider of the oidc_subject; without it that of console.oidc."`
	}
}

// links reports whether the patch links the user to an identity, or unlinks it.
func (p *UserPatch) links() bool {
	return p.Body.OIDCSubject.Sent || p.Body.OIDCIssuer != mergepatch.Kept[string]{}
}

// linkUser is a change of its own: it ends the user's sessions.
func (a *api) linkUser(ctx context.Context, who access.Actor, in *UserPatch) (*userOutput, error) {
	b := &in.Body
	if err := cannotRemove(map[string]mergepatch.Member{"oidc_issuer": b.OIDCIssuer}); err != nil {
		return nil, err
	}
	issuer := a.LoginIssuer()
	if b.OIDCIssuer.Value != nil {
		issuer = *b.OIDCIssuer.Value
	}
	switch {
	case b.Scopes.Sent || b.Paths.Sent || b.Disabled.Value != nil || b.MustChange.Value != nil || b.Service.Value != nil:
		return nil, input.Invalid("/oidc_subject", "cannot be changed together with other members")
	case !b.OIDCSubject.Sent:
		return nil, input.Invalid("/oidc_issuer", "needs oidc_subject")
	case b.OIDCSubject.Value != "" && issuer == "":
		return nil, input.Invalid("/oidc_issuer", "is needed, since the configuration has no console.oidc")
	}
	r, err := a.Service().LinkUser(ctx, who, in.Name, in.version(), issuer, b.OIDCSubject.Value)
	return asUserOutput(&r, err)
}

func (p *UserPatch) patch() (manage.UserPatch, error) {
	b := &p.Body
	patch := manage.UserPatch{Disabled: b.Disabled.Value, MustChange: b.MustChange.Value, Service: b.Service.Value}
	if p.Body.Scopes.Sent {
		patch.Scopes = &p.Body.Scopes.Value
	}
	if p.Body.Paths.Sent {
		patch.Paths = &p.Body.Paths.Value
	}
	return patch, cannotRemove(map[string]mergepatch.Member{"disabled": b.Disabled, "must_change": b.MustChange, "service": b.Service})
}

func viewUser(r *store.UserRecord) UserBody {
	return UserBody{manage.ViewUser(r), r.OIDCIssuer, r.OIDCSubject, etag(r.Version())}
}

func asUserOutput(r *store.UserRecord, err error) (*userOutput, error) {
	if err != nil {
		return nil, err
	}
	body := viewUser(r)
	return &userOutput{body.ETag, body}, nil
}

// registerAudit adds the audit log.
func (a *api) registerAudit(h huma.API) {
	add(h, operation{id: "list-audit", method: http.MethodGet, path: "/audit", summary: "List the audit log", tag: "Audit"},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			Actor  string    `query:"actor" maxLength:"255" doc:"Of that user, key or cli:USER@HOST."`
			Target string    `query:"target" maxLength:"255" doc:"About the record with that id or name."`
			Action string    `query:"action" maxLength:"64" doc:"Of that action, as key.create."`
			Since  time.Time `query:"since" doc:"At that time or later."`
		}) (*listOutput[audit.Entry], error) {
			filter := store.AuditFilter{Actor: in.Actor, Record: in.Target, Action: audit.Action(in.Action), Since: in.Since}
			entries, next, err := a.Service().AuditLog(ctx, who, filter, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[audit.Entry]{listOf(entries, next, func(e *audit.Entry) audit.Entry { return *e })}, nil
		})
}
