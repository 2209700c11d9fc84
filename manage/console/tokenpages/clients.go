package tokenpages

import (
	"net/http"

	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/oauth"
)

// clientsPage is what the list of clients gets.
type clientsPage struct {
	Q, Grant string // filters
	Grants   []oauth.Grant
	Clients  []registry.ClientView
	Pager    page.Pager
	Any      bool   // a filter is set
	Make     bool   // the actor may make clients
	Bad      string // what is wrong with the filters
	Missing  bool   // the configuration has no file of clients
}

func (p pages) listClients(r *page.Request) error {
	data := clientsPage{Q: r.Query("q"), Grant: r.Query("grant"), Grants: oauth.Grants(), Make: r.Actor.Has(access.Admin)}
	data.Any = data.Q != "" || data.Grant != ""
	filter := store.ClientFilter{Text: data.Q, Grant: oauth.Grant(data.Grant)}
	head := page.Head{Title: "OAuth clients"}
	records, next, err := r.Service().ListClients(r.Context(), r.Actor, filter, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
	switch code := fault.CodeOf(err); {
	case err != nil && code == fault.NotFound:
		data.Missing = true
	case err != nil && code == fault.Invalid:
		data.Bad = "The page cannot be found: begin with the first one."
		head.Status, head.Error = http.StatusUnprocessableEntity, true
	case err != nil:
		return err
	}
	for i := range records {
		data.Clients = append(data.Clients, registry.ViewClient(&records[i], r.Now()))
	}
	data.Pager = r.Pager(string(next))
	return r.Render(p.Templates, "clients.html", head, data)
}

// client is an OAuth client as it is now.
type client struct {
	registry.ClientView
	ETag store.Version
	Path string // of its page
}

// clientPage is what a page about one client gets.
type clientPage struct {
	client
	Once    string // of the form that rotates
	Mine    bool   // the actor may change it
	Audit   bool   // the actor may see the audit log
	History []audit.Entry
}

// Live reports whether the client gets tokens.
func (c client) Live() bool { return !c.Disabled && !c.Unsupported }

func viewClient(r *page.Request, record *store.Client) client {
	return client{registry.ViewClient(record, r.Now()), record.Version(), "/clients/" + record.ID}
}

// findClient returns the client of the request.
func findClient(r *page.Request) (client, error) {
	record, err := r.Service().Client(r.Context(), r.Actor, r.ID())
	if err != nil {
		return client{}, err
	}
	return viewClient(r, &record), nil
}

// clientRef names the client of the request, at the version that the form was made from.
func clientRef(r *page.Request) registry.ClientRef {
	return registry.ClientRef{ID: r.ID(), IfMatch: store.Version(r.Sent.Get("etag"))}
}

func clientHead(title string, crumbs ...page.Crumb) page.Head {
	return page.Head{Title: title, Current: "/clients", Crumbs: append([]page.Crumb{{Path: "/clients", Text: "OAuth clients"}}, crumbs...)}
}

func (p pages) showClient(r *page.Request) error {
	c, err := findClient(r)
	if err != nil {
		return err
	}
	data := clientPage{client: c, Once: page.NewForm(nil).Once, Mine: r.Actor.Has(access.Admin), Audit: r.Can("/audit")}
	if data.Audit {
		data.History, _, err = r.Service().AuditLog(r.Context(), r.Actor, store.AuditFilter{Record: c.ID}, store.Page{Limit: 10, NewestFirst: true})
		if err != nil {
			return err
		}
	}
	return r.Render(p.Templates, "client.html", clientHead(c.Name, page.Crumb{Text: c.Name}), data)
}
