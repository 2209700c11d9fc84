package api

import (
	"context"
	"net/http"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/mergepatch"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/oauth"

	"github.com/danielgtaylor/huma/v2"
)

// ClientBody is an OAuth client in a response.
type ClientBody struct {
	registry.ClientView
	ETag string `json:"etag" doc:"The version of the record, for If-Match."`
	// SecretShown is false in place of the secret, if an earlier answer had that.
	SecretShown *bool `json:"secret_shown,omitempty" doc:"false where the request made a secret that only its first answer has."`
}

// clientOutput is the response with one client.
type clientOutput struct {
	ETag string `header:"ETag"`
	Body ClientBody
}

// ClientID is the id in the path of a request about one client.
type ClientID struct {
	ID string `path:"id" maxLength:"64" doc:"The client's id: c_ and 12 characters."`
}

// ClientInput is the body of a request for a client.
type ClientInput struct {
	Name         string        `json:"name" minLength:"1" maxLength:"255" doc:"Users see it when they are asked for their consent."`
	RedirectURIs []string      `json:"redirect_uris,omitempty" maxItems:"50" doc:"Where codes are sent to: https, or http on a loopback host. With the grant authorization_code, and only then."`
	Scopes       []string      `json:"scopes,omitempty" maxItems:"100" doc:"The most that its tokens may have. Without them: none."`
	Grants       []oauth.Grant `json:"grants" minItems:"1" maxItems:"3" enum:"authorization_code,refresh_token,client_credentials"`
	Public       bool          `json:"public,omitempty" doc:"It cannot keep a secret, and gets none."`
	Disabled     bool          `json:"disabled,omitempty"`
}

// ClientPatch is a merge patch (RFC 7396) of a client.
type ClientPatch struct {
	ClientID
	IfMatch
	Body struct {
		Name         mergepatch.Kept[string]        `json:"name,omitempty" minLength:"1" maxLength:"255"`
		RedirectURIs mergepatch.Removable[[]string] `json:"redirect_uris,omitempty" doc:"null: none."`
		Scopes       mergepatch.Removable[[]string] `json:"scopes,omitempty" doc:"null: none."`
		Grants       mergepatch.Kept[[]oauth.Grant] `json:"grants,omitempty" minItems:"1" maxItems:"3" enum:"authorization_code,refresh_token,client_credentials"`
		Disabled     mergepatch.Kept[bool]          `json:"disabled,omitempty" doc:"A disabled client gets no tokens, and those that it has end."`
	}
}

func (p *ClientPatch) patch() (registry.ClientPatch, error) {
	b := &p.Body
	patch := registry.ClientPatch{Name: b.Name.Value, Grants: b.Grants.Value, Disabled: b.Disabled.Value}
	if p.Body.RedirectURIs.Sent {
		patch.RedirectURIs = &p.Body.RedirectURIs.Value
	}
	if p.Body.Scopes.Sent {
		patch.Scopes = &p.Body.Scopes.Value
	}
	return patch, cannotRemove(map[string]mergepatch.Member{"name": b.Name, "grants": b.Grants, "disabled": b.Disabled})
}

// registerClients adds what is done to OAuth clients.
func (a *api) registerClients(h huma.API) {
	missing := []int{http.StatusNotFound}
	add(h, operation{id: "create-client", method: http.MethodPost, path: "/clients", summary: "Create an OAuth client", status: http.StatusCreated, tag: "Clients", errors: missing},
		func(ctx context.Context, who access.Actor, in *struct{ Body ClientInput }) (*clientOutput, error) {
			return a.createClient(ctx, who, in.Body)
		})
	add(h, operation{id: "list-clients", method: http.MethodGet, path: "/clients", summary: "List OAuth clients", tag: "Clients", errors: missing},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			Grant oauth.Grant `query:"grant" enum:"authorization_code,refresh_token,client_credentials" doc:"With that grant."`
			Q     string      `query:"q" maxLength:"255" doc:"With that in the name, or that id."`
		}) (*listOutput[ClientBody], error) {
			records, next, err := a.Service().ListClients(ctx, who, store.ClientFilter{Grant: in.Grant, Text: in.Q}, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[ClientBody]{listOf(records, next, a.viewClient)}, nil
		})
	add(h, operation{id: "get-client", method: http.MethodGet, path: "/clients/{id}", summary: "Show an OAuth client", tag: "Clients"},
		func(ctx context.Context, who access.Actor, in *struct{ ClientID }) (*clientOutput, error) {
			r, err := a.Service().Client(ctx, who, in.ID)
			return a.clientOutput(&r, authz.Secret{}, err)
		})
	add(h, operation{id: "update-client", method: http.MethodPatch, path: "/clients/{id}", summary: "Change an OAuth client", tag: "Clients", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *ClientPatch) (*clientOutput, error) {
			patch, err := in.patch()
			if err != nil {
				return nil, err
			}
			r, err := a.Service().UpdateClient(ctx, who, registry.ClientRef{ID: in.ID, IfMatch: in.version()}, patch)
			return a.clientOutput(&r, authz.Secret{}, err)
		})
	add(h, operation{id: "rotate-client", method: http.MethodPost, path: "/clients/{id}/rotate", summary: "Give an OAuth client a new secret", tag: "Clients"},
		func(ctx context.Context, who access.Actor, in *rotateClientInput) (*clientOutput, error) {
			return a.rotateClient(ctx, who, in)
		})
	add(h, operation{id: "delete-client", method: http.MethodDelete, path: "/clients/{id}", summary: "Delete an OAuth client", status: http.StatusNoContent, tag: "Clients"},
		func(ctx context.Context, who access.Actor, in *struct {
			ClientID
			IfMatch
		}) (*struct{}, error) {
			return nil, a.Service().DeleteClient(ctx, who, registry.ClientRef{ID: in.ID, IfMatch: in.version()})
		})
}

// rotateClientInput is the request for a new secret. The body may be left out.
type rotateClientInput struct {
	ClientID
	IfMatch
	Body *graceBody `required:"false"`
}

func (a *api) createClient(ctx context.Context, who access.Actor, in ClientInput) (*clientOutput, error) {
	input := registry.ClientInput{
		Name: in.Name, RedirectURIs: in.RedirectURIs, Scopes: in.Scopes, Grants: in.Grants, Public: in.Public, Disabled: in.Disabled,
	}
	if c := callOf(ctx); c.recordID != "" {
		input.ID = registry.ClientID(c.recordID)
	}
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		return a.madeClient(ctx, who, input.ID, err)
	}
	r, secret, err := a.Service().CreateClient(ctx, who, input)
	return a.clientOutput(&r, secret, err)
}

func (a *api) rotateClient(ctx context.Context, who access.Actor, in *rotateClientInput) (*clientOutput, error) {
	grace, err := in.Body.duration()
	if err != nil {
		return nil, err
	}
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		return a.madeClient(ctx, who, in.ID, err)
	}
	r, secret, err := a.Service().RotateClient(ctx, who, registry.ClientRef{ID: in.ID, IfMatch: in.version()}, grace)
	return a.clientOutput(&r, secret, err)
}

// madeClient is the answer with a client that an earlier attempt of the request changed,
// whose secret is lost with that attempt's answer.
func (a *api) madeClient(ctx context.Context, who access.Actor, id string, err error) (*clientOutput, error) {
	if err != nil {
		return nil, err
	}
	r, err := a.Service().Client(ctx, who, id)
	out, err := a.clientOutput(&r, authz.Secret{}, err)
	if err == nil && !r.Public {
		out.Body.SecretShown = new(false)
	}
	return out, err
}

func (a *api) viewClient(r *store.Client) ClientBody {
	return ClientBody{ClientView: registry.ViewClient(r, a.Now()), ETag: etag(r.Version())}
}

// clientOutput is the response with a client, and with its secret, if it was just made.
func (a *api) clientOutput(r *store.Client, secret authz.Secret, err error) (*clientOutput, error) {
	if err != nil {
		return nil, err
	}
	body := a.viewClient(r)
	if !secret.Empty() {
		body.Secret = secret.Reveal()
	}
	return &clientOutput{body.ETag, body}, nil
}
