package tokenpages

import (
	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/registry"
	"keyward/store"
)

// lostSecret says what to do about a secret that was not stored.
const lostSecret = "rotate it without a grace period: you get a new secret, and the lost one is refused."

// showSecret answers with the page that shows the secret of a client.
func showSecret(r *page.Request, title, note string, record *store.Client, secret authz.Secret) error {
	grants := make([]string, len(record.Grants))
	for i, g := range record.Grants {
		grants[i] = string(g)
	}
	return r.ShowSecret(clientHead(title, page.Crumb{Text: record.Name}), page.Secret{
		Heading: record.Name, Label: "client secret", Warning: "Copy the secret and store it securely. It is not shown again.", Value: secret, Note: note,
		Path: "/clients/" + record.ID, Facts: []page.Fact{{Name: "Client id", Code: record.ID}, {Name: "Grants", Tags: grants}, {Name: "Scopes", Tags: record.Scopes, Text: "none"}}, Lost: lostSecret,
	})
}

// showAgain answers a form that was sent before, whose secret was shown then.
func showAgain(r *page.Request, made page.Made) error {
	return r.ShownBefore(clientHead("The secret was already shown", page.Crumb{Text: made.Name}), made.Name, "/clients/"+made.ID, lostSecret)
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
