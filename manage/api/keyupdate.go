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
	"keyward/store"

	"github.com/danielgtaylor/huma/v2"
)

// KeyPatch is a merge patch (RFC 7396) of a key.
type KeyPatch struct {
	KeyID
	IfMatch
	Body struct {
		Name        mergepatch.Kept[string]         `json:"name,omitempty" minLength:"1" maxLength:"255"`
		Project     mergepatch.Removable[string]    `json:"project,omitempty"`
		Scopes      mergepatch.Removable[*[]string] `json:"scopes,omitempty" doc:"null: its user's; an empty list is none."`
		Paths       mergepatch.Removable[[]string]  `json:"paths,omitempty" doc:"null: anywhere; an empty list is refused."`
		Expires     mergepatch.Removable[string]    `json:"expires,omitempty" minLength:"1" doc:"null: never."`
		Rate        mergepatch.Removable[string]    `json:"rate,omitempty" doc:"null: that of its kind."`
		Description mergepatch.Removable[string]    `json:"description,omitempty"`
		Owner       mergepatch.Removable[string]    `json:"owner,omitempty"`
		NotBefore   mergepatch.Removable[time.Time] `json:"not_before,omitempty" doc:"null: at once."`
		CIDRs       mergepatch.Removable[[]string]  `json:"cidrs,omitempty" doc:"null: from any address."`
	}
}

// ReasonInput is a request about a key that may give a reason. The body may be left out.
type ReasonInput struct {
	KeyID
	IfMatch
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"255" doc:"Why; it is shown with the key and in the audit log."`
	} `required:"false"`
}

func (in *ReasonInput) ref(own bool) manage.KeyRef {
	ref := manage.KeyRef{ID: in.ID, IfMatch: in.version(), Own: own}
	if in.Body != nil {
		ref.Reason = in.Body.Reason
	}
	return ref
}

// registerKeyChanges adds what changes a key that stays.
func (a *api) registerKeyChanges(h huma.API) {
	add(h, operation{id: "update-key", method: http.MethodPatch, path: "/keys/{id}", summary: "Change a key", tag: "Keys", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *KeyPatch) (*keyOutput, error) {
			patch, err := in.patch(a.Now())
			if err != nil {
				return nil, err
			}
			r, err := a.Service().UpdateKey(ctx, who, manage.KeyRef{ID: in.ID, IfMatch: in.version()}, patch)
			return a.keyOutput(ctx, &r, authz.Secret{}, err)
		})
	for _, each := range []struct {
		id, verb, summary string
		call              func(*manage.Service, context.Context, access.Actor, manage.KeyRef) (store.KeyRecord, error)
	}{
		{"pause-key", "pause", "Have the checks refuse a key until it is resumed", (*manage.Service).PauseKey},
		{"resume-key", "resume", "End the pause of a key", (*manage.Service).ResumeKey},
		{"end-grace", "end-grace", "End the secrets that rotations replaced", (*manage.Service).EndGrace},
	} {
		add(h, operation{id: each.id, method: http.MethodPost, path: "/keys/{id}/" + each.verb, summary: each.summary, tag: "Keys", errors: []int{http.StatusConflict}},
			func(ctx context.Context, who access.Actor, in *ReasonInput) (*keyOutput, error) {
				ref := in.ref(false)
				if made, err := a.madeBefore(ctx); err != nil || len(made) > 0 {
					return a.madeKey(ctx, who, ref, err)
				}
				r, err := each.call(a.Service(), ctx, who, ref)
				return a.keyOutput(ctx, &r, authz.Secret{}, err)
			})
	}
}

// patch reads what the body gives.
func (in *KeyPatch) patch(now time.Time) (p manage.KeyPatch, err error) {
	b := &in.Body
	if err := cannotRemove(map[string]mergepatch.Member{"name": b.Name}); err != nil {
		return p, err
	}
	p.Name = b.Name.Value
	for to, from := range map[**string]*mergepatch.Removable[string]{
		&p.Project: &b.Project, &p.Rate: &b.Rate, &p.Description: &b.Description, &p.Owner: &b.Owner,
	} {
		if from.Sent {
			*to = &from.Value
		}
	}
	if b.Scopes.Sent {
		p.Scopes = &b.Scopes.Value
	}
	if b.NotBefore.Sent {
		p.NotBefore = &b.NotBefore.Value
	}
	if b.Paths.Sent {
		if b.Paths.Value != nil && len(b.Paths.Value) == 0 {
			return p, input.Invalid("/paths", "is empty, which would be anywhere: null says so")
		}
		p.Paths = &b.Paths.Value
	}
	if b.Expires.Sent {
		expires, err := input.Expiry(b.Expires.Value, now)
		if err != nil {
			return p, err
		}
		p.Expires = &expires
	}
	if b.CIDRs.Sent {
		networks, err := input.Networks(b.CIDRs.Value)
		if err != nil {
			return p, err
		}
		p.CIDRs = &networks
	}
	return p, nil
}

// cannotRemove returns the problem of a member that is null and must not be.
func cannotRemove(members map[string]mergepatch.Member) error {
	if name := mergepatch.Removed(members); name != "" {
		return input.Invalid("/"+name, "cannot be removed")
	}
	return nil
}
