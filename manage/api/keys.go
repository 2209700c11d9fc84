package api

import (
	"context"
	"net/http"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/store"

	"github.com/danielgtaylor/huma/v2"
)

// keyOutput is the response with one key.
type keyOutput struct {
	ETag string `header:"ETag"`
	Body KeyBody
}

// NewKey is the body of a request for a key.
type NewKey struct {
	Name   string `json:"name" minLength:"1" maxLength:"255" doc:"What the key is for."`
	Format string `json:"format,omitempty" enum:"keyward,hex" doc:"keyward, or hex: 44 hexadecimal characters without a prefix."`
	KeySettings
}

// KeySettings are what a key may do, and when and where.
type KeySettings struct {
	Project string    `json:"project,omitempty" maxLength:"255"`
	Scopes  *[]string `json:"scopes,omitempty" maxItems:"100" doc:"Without them the key has its user's; an empty list is none."`
	Paths   []string  `json:"paths,omitempty" maxItems:"100" doc:"Where the key may go: /a with all below it, =/a alone. Without them: anywhere."`
	Prefix  *string   `json:"prefix,omitempty" maxLength:"32"`
	Expires string    `json:"expires,omitempty" minLength:"1" maxLength:"40" doc:"After a time such as 90d, or at one of RFC 3339."`
	Rate    string    `json:"rate,omitempty" maxLength:"32" doc:"As 1000/h."`

	Description string    `json:"description,omitempty" maxLength:"1024"`
	Owner       string    `json:"owner,omitempty" maxLength:"255" doc:"Free text; it permits nothing."`
	NotBefore   time.Time `json:"not_before,omitzero" doc:"When the key begins; without it at once."`
	CIDRs       []string  `json:"cidrs,omitempty" maxItems:"32" doc:"The networks of its clients, as 192.0.2.0/24; without them any."`
}

// NewKeyOf is NewKey with the user that the key is for.
type NewKeyOf struct {
	NewKey
	User string `json:"user,omitempty" maxLength:"255" doc:"The user that the key acts for."`
}

// KeyID is the id in the path of a request about one key.
type KeyID struct {
	ID string `path:"id" maxLength:"64" doc:"The key's id: k_ and 12 characters."`
}

// registerKeys adds what is done to keys of all users.
func (a *api) registerKeys(h huma.API) {
	add(h, operation{id: "create-key", method: http.MethodPost, path: "/keys", summary: "Create a key", status: http.StatusCreated, tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *struct{ Body NewKeyOf }) (*keyOutput, error) {
			return a.createKey(ctx, who, in.Body.NewKey, in.Body.User)
		})
	add(h, operation{id: "list-keys", method: http.MethodGet, path: "/keys", summary: "List keys", tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			KeyFilter
		}) (*listOutput[KeyBody], error) {
			filter, err := in.filter()
			if err != nil {
				return nil, err
			}
			records, next, err := a.Service().ListKeys(ctx, who, filter, in.page())
			return a.keyList(ctx, records, next, err)
		})
	add(h, operation{id: "get-key", method: http.MethodGet, path: "/keys/{id}", summary: "Show a key", tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *struct{ KeyID }) (*keyOutput, error) {
			r, err := a.Service().Key(ctx, who, manage.KeyRef{ID: in.ID})
			return a.keyOutput(ctx, &r, authz.Secret{}, err)
		})
	add(h, operation{id: "rotate-key", method: http.MethodPost, path: "/keys/{id}/rotate", summary: "Give a key a new secret", tag: "Keys", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *RotateInput) (*keyOutput, error) {
			return a.rotateKey(ctx, who, in, false)
		})
	add(h, operation{id: "revoke-key", method: http.MethodPost, path: "/keys/{id}/revoke", summary: "Revoke a key", tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *ReasonInput) (*keyOutput, error) {
			return a.revokeKey(ctx, who, in, false)
		})
	add(h, operation{id: "delete-key", method: http.MethodDelete, path: "/keys/{id}", summary: "Revoke a key and hide it", status: http.StatusNoContent, tag: "Keys"},
		func(ctx context.Context, who access.Actor, in *struct {
			KeyID
			IfMatch
		}) (*struct{}, error) {
			_, err := a.Service().DeleteKey(ctx, who, manage.KeyRef{ID: in.ID, IfMatch: in.version()})
			return nil, err
		})
}

const (
	bulkPath    = "/keys/revoke"
	maxBulkBody = 256 << 10 // 10,000 ids
)

// revokedKeys is what became of a request that revokes several keys.
type revokedKeys struct {
	Revoked []string `json:"revoked" nullable:"false" doc:"The keys that this request revoked."`
	Unknown []string `json:"unknown" nullable:"false" doc:"The ids of no key."`
	Seq     int64    `json:"seq,omitempty" doc:"The number of the last change."`
}

// registerBulk adds what is done to several keys, and to keys that are known by their
// secret or counters.
func (a *api) registerBulk(h huma.API) {
	add(h, operation{id: "revoke-keys", method: http.MethodPost, path: bulkPath, summary: "Revoke several keys in one step", tag: "Keys", maxBody: maxBulkBody, errors: []int{http.StatusNotFound}},
		func(ctx context.Context, who access.Actor, in *struct {
			Body struct {
				IDs     []string `json:"ids,omitempty" maxItems:"10000"`
				User    string   `json:"user,omitempty" maxLength:"255" doc:"All keys of that user, whose sessions and tokens end too."`
				Project string   `json:"project,omitempty" maxLength:"255" doc:"All keys of that project."`
			}
		}) (*struct{ Body revokedKeys }, error) {
			which := manage.Selection{IDs: in.Body.IDs, User: in.Body.User, Project: in.Body.Project}
			made, err := a.madeBefore(ctx)
			var done manage.Revoked
			if len(made) > 0 { // by an earlier attempt of the request, in one step
				done, err = a.Service().RevokedBefore(ctx, who, which, made)
			} else if err == nil {
				done, err = a.Service().RevokeKeys(ctx, who, which)
			}
			if err != nil {
				return nil, err
			}
			body := revokedKeys{Revoked: append([]string{}, done.IDs...), Unknown: append([]string{}, done.Unknown...), Seq: done.Seq}
			return &struct{ Body revokedKeys }{body}, nil
		})
	add(h, operation{id: "verify-key", method: http.MethodPost, path: "/keys/verify", summary: "Find the key of a secret", tag: "Keys", errors: []int{http.StatusNotFound}},
		func(ctx context.Context, who access.Actor, in *struct {
			Body struct {
				Key string `json:"key" minLength:"1" maxLength:"8192" writeOnly:"true"`
			}
		}) (*keyOutput, error) {
			r, rotated, err := a.Service().FindKey(ctx, who, authz.NewSecret(in.Body.Key))
			if fault.CodeOf(err) == fault.NotFound && err != nil {
				failed(ctx)
			}
			out, err := a.keyOutput(ctx, &r, authz.Secret{}, err)
			if rotated && err == nil {
				out.Body.State = store.KeyRevoked
			}
			return out, err
		})
	add(h, operation{id: "get-limit", method: http.MethodGet, path: "/limits/{id}", summary: "Show what is left of a key's rate limit", tag: "Limits"},
		func(ctx context.Context, who access.Actor, in *struct{ KeyID }) (*struct{ Body limit }, error) {
			found, err := a.Service().KeyLimit(ctx, who, in.ID)
			return &struct{ Body limit }{limit{found}}, err
		})
	add(h, operation{id: "reset-limit", method: http.MethodDelete, path: "/limits/{id}", summary: "Reset the count of a key", status: http.StatusNoContent, tag: "Limits"},
		func(ctx context.Context, who access.Actor, in *struct{ KeyID }) (*struct{}, error) {
			return nil, a.Service().ResetKeyLimit(ctx, who, in.ID)
		})
}

// limit is a key's rate limit in a response.
type limit struct {
	Limit *manage.KeyLimit `json:"limit,omitempty" doc:"Not there for a key without a limit."`
}

// registerOwn adds what a caller does to its own keys.
func (a *api) registerOwn(h huma.API) {
	add(h, operation{id: "get-me", method: http.MethodGet, path: "/me", summary: "Show who the caller is", tag: "Me"},
		func(ctx context.Context, who access.Actor, _ *struct{}) (*struct{ Body me }, error) {
			return &struct{ Body me }{me{User: who.User(), Key: who.Key(), Session: who.Session(), Roles: who.Roles(), MustChange: who.MustChange()}}, nil
		})
	add(h, operation{id: "create-own-key", method: http.MethodPost, path: "/me/keys", summary: "Create a key of one's own", status: http.StatusCreated, tag: "Me"},
		func(ctx context.Context, who access.Actor, in *struct{ Body NewKey }) (*keyOutput, error) {
			return a.createKey(ctx, who, in.Body, who.User())
		})
	add(h, operation{id: "list-own-keys", method: http.MethodGet, path: "/me/keys", summary: "List one's own keys", tag: "Me"},
		func(ctx context.Context, who access.Actor, in *struct{ Paging }) (*listOutput[KeyBody], error) {
			records, next, err := a.Service().OwnKeys(ctx, who, in.page())
			return a.keyList(ctx, records, next, err)
		})
	add(h, operation{id: "rotate-own-key", method: http.MethodPost, path: "/me/keys/{id}/rotate", summary: "Give a key of one's own a new secret", tag: "Me", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *RotateInput) (*keyOutput, error) {
			return a.rotateKey(ctx, who, in, true)
		})
	add(h, operation{id: "revoke-own-key", method: http.MethodPost, path: "/me/keys/{id}/revoke", summary: "Revoke a key of one's own", tag: "Me"},
		func(ctx context.Context, who access.Actor, in *ReasonInput) (*keyOutput, error) {
			return a.revokeKey(ctx, who, in, true)
		})
}

// me is what a caller learns of itself.
type me struct {
	User    string   `json:"user,omitempty"`
	Key     string   `json:"key,omitempty" doc:"The id of the key that was presented."`
	Session string   `json:"session,omitempty" doc:"The id of the session that was presented."`
	Roles   []string `json:"roles" nullable:"false" doc:"The scopes that begin with keyward: and are in force."`

	MustChange bool `json:"must_change,omitempty" doc:"The session can do nothing before its user has changed the password."`
}

func (a *api) createKey(ctx context.Context, who access.Actor, in NewKey, user string) (*keyOutput, error) {
	p, err := a.keyParams(&in.KeySettings)
	if err != nil {
		return nil, err
	}
	p.Name, p.User, p.Format = in.Name, user, apikey.Format(in.Format)
	if p.Format == apikey.FormatHex {
		p.Prefix = ""
	}
	c := callOf(ctx)
	p.ID = c.recordID
	if c.resumed {
		// The earlier attempt may have made the key, and its secret is lost.
		if r, err := a.Service().MadeKey(ctx, who, p.ID); err == nil {
			return withoutSecret(a.keyOutput(ctx, &r, authz.Secret{}, nil))
		}
	}
	r, secret, err := a.Service().CreateKey(ctx, who, p)
	return a.keyOutput(ctx, &r, secret, err)
}

// keyParams reads what the body gives.
func (a *api) keyParams(in *KeySettings) (store.KeyParams, error) {
	p := store.KeyParams{
		Project: in.Project, Scopes: in.Scopes, Paths: in.Paths, Rate: in.Rate, Prefix: a.Service().Prefix(),
		NotBefore: in.NotBefore.UTC(), Description: in.Description, Owner: in.Owner,
	}
	if in.Prefix != nil {
		p.Prefix = *in.Prefix
	}
	var err error
	if p.CIDRs, err = input.Networks(in.CIDRs); err == nil {
		p.Expires, err = input.Expiry(in.Expires, a.Now())
	}
	return p, err
}

// RotateInput is the request for a new secret. The body may be left out.
type RotateInput struct {
	KeyID
	IfMatch
	Body *graceBody `required:"false"`
}

// graceBody is the body of a request for a new secret; nil is none.
type graceBody struct {
	Grace string `json:"grace,omitempty" maxLength:"40" doc:"How long the secret before stays valid, as 24h. Without it every earlier secret ends at once."`
}

// duration returns the grace, zero for none.
func (b *graceBody) duration() (time.Duration, error) {
	if b == nil {
		return 0, nil
	}
	return input.Grace(b.Grace)
}

func (a *api) rotateKey(ctx context.Context, who access.Actor, in *RotateInput, own bool) (*keyOutput, error) {
	grace, err := in.Body.duration()
	if err != nil {
		return nil, err
	}
	ref := manage.KeyRef{ID: in.ID, IfMatch: in.version(), Own: own}
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		return withoutSecret(a.madeKey(ctx, who, ref, err))
	}
	r, secret, err := a.Service().RotateKey(ctx, who, ref, grace)
	return a.keyOutput(ctx, &r, secret, err)
}

func (a *api) revokeKey(ctx context.Context, who access.Actor, in *ReasonInput, own bool) (*keyOutput, error) {
	ref := in.ref(own)
	if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
		return a.madeKey(ctx, who, ref, err)
	}
	r, err := a.Service().RevokeKey(ctx, who, ref)
	return a.keyOutput(ctx, &r, authz.Secret{}, err)
}

// keyOutput is the response with a key, and with its secret, if it was just made.
func (a *api) keyOutput(ctx context.Context, r *store.KeyRecord, secret authz.Secret, err error) (*keyOutput, error) {
	if err != nil {
		return nil, err
	}
	view, err := a.keyBody(ctx)
	if err != nil && secret.Empty() { // a secret that was made is shown, or lost
		return nil, err
	}
	body := view(r)
	if !secret.Empty() {
		body.Key = secret.Reveal()
	}
	return &keyOutput{body.ETag, body}, nil
}

func (a *api) keyList(ctx context.Context, records []store.KeyRecord, next store.Cursor, err error) (*listOutput[KeyBody], error) {
	if err != nil {
		return nil, err
	}
	view, err := a.keyBody(ctx)
	if err != nil {
		return nil, err
	}
	return &listOutput[KeyBody]{listOf(records, next, view)}, nil
}

// keyBody returns what shows keys as they are now, as manage.Service.KeyViewer does.
func (a *api) keyBody(ctx context.Context) (func(*store.KeyRecord) KeyBody, error) {
	view, err := a.Service().KeyViewer(ctx)
	return func(r *store.KeyRecord) KeyBody {
		return KeyBody{KeyView: view(r), Paused: pause{r.Paused}, ETag: etag(r.Version())}
	}, err
}
