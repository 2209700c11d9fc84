package tokenpages

import (
	"net/url"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/config"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/oauth"
)

// clientForm is what the form of a new client, or of a change, gets.
type clientForm struct {
	*page.Form
	Action, Cancel string
	Client         *client // that is changed; nil for a new one
	Grants         []choice
	Scopes         []choice
	Changed        []difference
}

// choice is one that the form offers.
type choice struct {
	Name, Description string
	Chosen            bool
}

// difference is a field that another actor changed while the form was open.
type difference struct{ Field, Now string }

// The fields by the members of a client. The details of some begin with what they are
// about.
var clientFields = page.Fields{
	{Member: "name", ID: "name", Label: "Name"}, {Member: "redirect_uris", ID: "redirect_uris"},
	{Member: "grants", ID: "grants"}, {Member: "scopes", ID: "other", Label: "Scopes:"},
}

// grantTexts are what the grants are for.
var grantTexts = map[oauth.Grant]string{
	oauth.AuthorizationCode: "Users sign in and consent",
	oauth.RefreshToken:      "Users stay signed in",
	oauth.ClientCredentials: "Tokens for the client itself",
}

func newClientForm(r *page.Request, f *page.Form, c *client) clientForm {
	data := clientForm{Form: f, Action: "/clients", Cancel: "/clients", Client: c}
	if c != nil {
		data.Action, data.Cancel = c.Path+"/edit", c.Path
	}
	for _, g := range oauth.Grants() {
		data.Grants = append(data.Grants, choice{string(g), grantTexts[g], f.Is("grant", string(g))})
	}
	settings := r.Settings()
	named := slices.Clone(settings.Scopes)
	for _, scope := range settings.RouteScopes {
		if !slices.ContainsFunc(named, func(s config.NamedScope) bool { return s.Name == scope }) {
			named = append(named, config.NamedScope{Name: scope})
		}
	}
	for _, s := range named {
		if len(access.Managing([]string{s.Name})) == 0 {
			data.Scopes = append(data.Scopes, choice{s.Name, s.Description, f.Is("scope", s.Name)})
		}
	}
	var others []string
	for _, scope := range scopesOf(f.Values) {
		if !slices.ContainsFunc(data.Scopes, func(s choice) bool { return s.Name == scope }) {
			others = append(others, scope)
		}
	}
	f.Values.Set("other", strings.Join(others, " "))
	return data
}

// scopesOf are the scopes that a form has, each once.
func scopesOf(values url.Values) []string {
	scopes := slices.Clone(values["scope"])
	for _, scope := range strings.Fields(values.Get("other")) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

func grantsOf(values url.Values) []oauth.Grant {
	var grants []oauth.Grant
	for _, g := range values["grant"] {
		grants = append(grants, oauth.Grant(g))
	}
	return grants
}

func newClientHead() page.Head { return clientHead("New client", page.Crumb{Text: "New client"}) }

func (p pages) showNewClient(r *page.Request) error {
	f := page.NewForm(url.Values{"type": {"confidential"}, "grant": {string(oauth.AuthorizationCode), string(oauth.RefreshToken)}})
	return r.Render(p.Templates, "clientform.html", newClientHead(), newClientForm(r, f, nil))
}

// createClient makes a client and shows its secret.
func (p pages) createClient(r *page.Request) error {
	f := r.SentForm()
	in := registry.ClientInput{
		Name: r.Value("name"), RedirectURIs: strings.Fields(r.Sent.Get("redirect_uris")),
		Scopes: scopesOf(r.Sent), Grants: grantsOf(r.Sent), Public: r.Value("type") == "public",
	}
	var record store.Client
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		in.ID = registry.ClientID(attempt.RecordID)
		var err error
		if attempt.Resumed {
			record, err = r.Service().Client(r.Context(), r.Actor, in.ID)
		}
		if !attempt.Resumed || fault.CodeOf(err) == fault.NotFound {
			record, secret, err = r.Service().CreateClient(r.Context(), r.Actor, in)
		}
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil && f.Take(err, clientFields):
		return r.Render(p.Templates, "clientform.html", newClientHead().Again(err), newClientForm(r, f, nil))
	case err != nil:
		return err
	case in.Public:
		return r.Done("/clients/"+made.ID, "created")
	case again || secret.Empty():
		return showAgain(r, made)
	}
	return showSecret(r, "Client created", "", &record, secret)
}

func (p pages) showEditClient(r *page.Request) error {
	c, err := findClient(r)
	if err != nil {
		return err
	}
	f := page.NewForm(clientValues(&c))
	f.ETag = string(c.ETag)
	return r.Render(p.Templates, "clientform.html", editClientHead(&c), newClientForm(r, f, &c))
}

func editClientHead(c *client) page.Head {
	return clientHead("Edit "+c.Name, page.Crumb{Path: c.Path, Text: c.Name}, page.Crumb{Text: "Edit"})
}

// clientValues are the fields of a client as it is.
func clientValues(c *client) url.Values {
	values := url.Values{"name": {c.Name}, "redirect_uris": {strings.Join(c.RedirectURIs, "\n")}, "scope": slices.Clone(c.Scopes)}
	for _, g := range c.Grants {
		values.Add("grant", string(g))
	}
	return values
}

// editClient changes a client. If it was changed meanwhile, the form is shown again as it
// was typed, with what has changed: to send it again is to decide again.
func (p pages) editClient(r *page.Request) error {
	c, err := findClient(r)
	if err != nil {
		return err
	}
	f, name := r.SentForm(), r.Value("name")
	uris, scopes, grants := strings.Fields(r.Sent.Get("redirect_uris")), scopesOf(r.Sent), grantsOf(r.Sent)
	patch := registry.ClientPatch{Name: &name, RedirectURIs: &uris, Scopes: &scopes, Grants: &grants}
	_, err = r.Service().UpdateClient(r.Context(), r.Actor, clientRef(r), patch)
	switch {
	case err == nil:
		return r.Done(c.Path, "saved")
	case fault.CodeOf(err) == fault.Changed:
		data := newClientForm(r, f, &c)
		f.ETag = string(c.ETag)
		data.Changed = differences(f.Values, clientValues(&c))
		return r.Render(p.Templates, "clientform.html", editClientHead(&c).Again(err), data)
	case f.Take(err, clientFields):
		return r.Render(p.Templates, "clientform.html", editClientHead(&c).Again(err), newClientForm(r, f, &c))
	}
	return err
}

// differences are the fields in which the client is other than what was typed.
func differences(typed, now url.Values) []difference {
	var found []difference
	add := func(field string, typed, is []string) {
		slices.Sort(typed)
		slices.Sort(is)
		if text := strings.Join(is, ", "); !slices.Equal(typed, is) {
			found = append(found, difference{field, text})
		}
	}
	add("Name", []string{strings.TrimSpace(typed.Get("name"))}, []string{now.Get("name")})
	add("Redirect URIs", strings.Fields(typed.Get("redirect_uris")), strings.Fields(now.Get("redirect_uris")))
	add("Grants", slices.Clone(typed["grant"]), slices.Clone(now["grant"]))
	add("Scopes", scopesOf(typed), scopesOf(now))
	return found
}

// rotateClient gives a client a new secret and shows it.
func (p pages) rotateClient(r *page.Request) error {
	grace, err := input.Grace(r.Value("grace"))
	if err != nil {
		return err
	}
	var record store.Client
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		if attempt.Resumed {
			entries, err := r.Service().Made(r.Context(), r.Actor)
			if err != nil {
				return page.Made{}, err
			}
			if len(entries) > 0 {
				record, err = r.Service().Client(r.Context(), r.Actor, r.ID())
				return page.Made{ID: record.ID, Name: record.Name}, err
			}
		}
		var err error
		record, secret, err = r.Service().RotateClient(r.Context(), r.Actor, clientRef(r), grace)
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil:
		return err
	case again || secret.Empty():
		return showAgain(r, made)
	}
	note := "The old secret is refused from now on, and the client's tokens have ended."
	if grace > 0 {
		note = "The old secret is accepted for " + page.Span(grace) + ": replace it in the application until then."
	}
	return showSecret(r, "Secret rotated", note, &record, secret)
}
