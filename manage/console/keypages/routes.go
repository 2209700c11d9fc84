// Package keypages has the pages of keys: the lists of all and of one's own, one key with
// its use, the forms that make and change it, and what ends it.
package keypages

import (
	"context"
	"embed"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/store"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// readers are the roles that see keys of others.
const readers = access.Read | access.Keys

// bulkForm bounds the form with the ids of keys that are revoked together.
const bulkForm = 256 << 10

// Routes are the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	all, own := area{p, "/keys", false}, area{p, "/me/keys", true}
	return append(append(all.routes(readers, access.Keys), own.routes(0, 0)...),
		page.Route{Pattern: "GET /keys", Needs: readers, Serve: p.list},
		page.Route{Pattern: "GET /me/keys", Serve: p.ownList},
		page.Route{Pattern: "GET /keys/users", Needs: seeUsers, Serve: suggestUsers},
		page.Route{Pattern: "GET /keys/revoke", Needs: access.Keys, Serve: p.askRevokeAll},
		page.Route{Pattern: "POST /keys/revoke", Needs: access.Keys, MaxBody: bulkForm, Serve: p.revokeAll},
		page.Route{Pattern: "GET /keys/{id}/edit", Needs: access.Keys, Serve: all.showEdit},
		page.Route{Pattern: "POST /keys/{id}/edit", Needs: access.Keys, Serve: all.edit},
		page.Route{Pattern: "GET /keys/{id}/end-grace", Needs: access.Keys, Serve: all.askEndGrace},
		page.Route{Pattern: "POST /keys/{id}/end-grace", Needs: access.Keys, Serve: all.endGrace},
		page.Route{Pattern: "GET /keys/{id}/pause", Needs: access.Keys, Serve: all.askPause},
		page.Route{Pattern: "POST /keys/{id}/pause", Needs: access.Keys, Serve: all.pause},
		page.Route{Pattern: "POST /keys/{id}/resume", Needs: access.Keys, Serve: all.resume},
	)
}

// area is what is done to keys of all users, or to one's own.
type area struct {
	pages
	path string
	own  bool
}

// routes are the pages that both have.
func (a area) routes(see, change access.Roles) []page.Route {
	return []page.Route{
		{Pattern: "GET " + a.path + "/new", Needs: change, Serve: a.showNew},
		{Pattern: "POST " + a.path, Needs: change, Serve: a.create},
		{Pattern: "GET " + a.path + "/{id}", Needs: see, Serve: a.show},
		{Pattern: "POST " + a.path + "/{id}/rotate", Needs: change, Serve: a.rotate},
		{Pattern: "GET " + a.path + "/{id}/revoke", Needs: change, Serve: a.askRevoke},
		{Pattern: "POST " + a.path + "/{id}/revoke", Needs: change, Serve: a.revoke},
		{Pattern: "GET " + a.path + "/{id}/delete", Needs: change, Serve: a.askDelete},
		{Pattern: "POST " + a.path + "/{id}/delete", Needs: change, Serve: a.deleteKey},
	}
}

// ref names the key of the request, at the version that the form was made from.
func (a area) ref(r *page.Request) manage.KeyRef {
	return manage.KeyRef{ID: r.ID(), IfMatch: store.Version(r.Sent.Get("etag")), Own: a.own}
}

// key is a key as it is now.
type key struct {
	manage.KeyView
	ETag store.Version
	Path string // of its page
	Own  bool
	Mine bool // the actor may change it
}

// find returns the key of the request.
func (a area) find(r *page.Request) (key, error) {
	record, err := r.Service().Key(r.Context(), r.Actor, manage.KeyRef{ID: r.ID(), Own: a.own})
	if err != nil {
		return key{}, err
	}
	return a.view(r.Context(), r, &record)
}

func (a area) view(ctx context.Context, r *page.Request, record *store.KeyRecord) (key, error) {
	view, err := r.Service().KeyViewer(ctx)
	if err != nil {
		return key{}, err
	}
	return key{view(record), record.Version(), a.path + "/" + record.ID, a.own, a.mayChange(r)}, nil
}

func (a area) mayChange(r *page.Request) bool { return a.own || r.Actor.Has(access.Keys) }

// crumbs lead from the list to the page.
func (a area) crumbs(r *page.Request, texts ...page.Crumb) []page.Crumb {
	if a.own {
		return append([]page.Crumb{{Path: "/account", Text: r.Words().OwnSection}, {Path: a.path, Text: r.Words().OwnKeys}}, texts...)
	}
	return append([]page.Crumb{{Path: a.path, Text: "Keys"}}, texts...)
}

// head is that of a page about the key.
func (a area) head(r *page.Request, k *key, title, crumb string) page.Head {
	return page.Head{
		Title: title, Current: a.path, Crumbs: a.crumbs(r, page.Crumb{Path: k.Path, Text: k.Name}, page.Crumb{Text: crumb}),
	}
}

// Masked is what is shown of the key's secret.
func (k key) Masked() string { return k.Hint + "…" }

// Live reports whether the key has not ended.
func (k key) Live() bool { return !k.State.HasEnded() }

// Changeable reports whether the key may be changed other than by ending it. One that has
// expired may be extended.
func (k key) Changeable() bool {
	return k.State != store.KeyRevoked && k.State != store.KeyUnsupported
}

// showSecret answers with the page that shows the secret of a key.
func (a area) showSecret(r *page.Request, title, note string, record *store.KeyRecord, secret authz.Secret) error {
	head := page.Head{Title: title, Current: a.path, Crumbs: a.crumbs(r, page.Crumb{Text: record.Name})}
	return r.ShowKey(head, record, secret, note, a.path+"/"+record.ID, r.LostKey())
}

// showAgain answers a form that was sent before, whose secret was shown then.
func (a area) showAgain(r *page.Request, made page.Made) error {
	head := page.Head{Title: "The " + r.Words().Key + " was already shown", Current: a.path, Crumbs: a.crumbs(r, page.Crumb{Text: made.Name})}
	return r.ShownBefore(head, made.Name, a.path+"/"+made.ID, r.LostKey())
}
