package tokenpages

import (
	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/registry"
	"keyward/store"
)

// shownSecret is what the page with a client's secret gets: it is rendered once.
type shownSecret struct {
	client
	Secret, Note string
}

// showSecret answers with the page that shows the secret of a client.
func (p pages) showSecret(r *page.Request, title, note string, record *store.Client, secret authz.Secret) error {
	data := shownSecret{viewClient(r, record), secret.Reveal(), note}
	return r.Render(p.Templates, "clientshown.html", clientHead(title, page.Crumb{Text: record.Name}), data)
}

// showAgain answers a form that was sent before, whose secret was shown then.
func (p pages) showAgain(r *page.Request, made page.Made) error {
	data := struct{ Name, Path string }{made.Name, "/clients/" + made.ID}
	return r.Render(p.Templates, "clientagain.html", clientHead("The secret was already shown", page.Crumb{Text: made.Name}), data)
}

// askClient shows the page that asks whether a client is to be ended.
func (p pages) askClient(r *page.Request, template, title string) error {
	c, err := findClient(r)
	if err != nil {
		return err
	}
	head := clientHead(title+" "+c.Name+"?", page.Crumb{Path: c.Path, Text: c.Name}, page.Crumb{Text: title})
	return r.Render(p.Templates, template, head, clientPage{client: c})
}

func (p pages) askDisableClient(r *page.Request) error {
	return p.askClient(r, "clientdisable.html", "Disable")
}

func (p pages) askDeleteClient(r *page.Request) error {
	return p.askClient(r, "clientdelete.html", "Delete")
}

func (p pages) disableClient(r *page.Request) error { return setDisabled(r, true, "client-disabled") }
func (p pages) enableClient(r *page.Request) error  { return setDisabled(r, false, "client-enabled") }

func setDisabled(r *page.Request, disabled bool, note string) error {
	ref := clientRef(r)
	if _, err := r.Service().UpdateClient(r.Context(), r.Actor, ref, registry.ClientPatch{Disabled: &disabled}); err != nil {
		return err
	}
	return r.Done("/clients/"+ref.ID, note)
}

func (p pages) deleteClient(r *page.Request) error {
	if err := r.Service().DeleteClient(r.Context(), r.Actor, clientRef(r)); err != nil {
		return err
	}
	return r.Done("/clients", "client-deleted")
}
