package userpages

import (
	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/store"
)

// keyFields are the fields of the form that creates a key.
var keyFields = page.Fields{{Member: "name", ID: "name", Label: "Name"}, {Member: "paths", ID: "path", Label: "Request path"}}

// createKey makes a key of the user and shows its secret.
func (p pages) createKey(r *page.Request) error {
	record, err := r.Service().Users.Get(r.Context(), nameOf(r))
	if err != nil {
		return fault.Of(err)
	}
	u := viewOf(&record)
	form := r.SentForm()
	params := store.KeyParams{Name: r.Value("name"), User: u.Name}
	if params.Name == "" {
		form.Add("name", "Enter a name.")
	}
	if path := r.Value("path"); path != "" {
		params.Paths = []string{path}
	}
	back, shows := u.Path, r.Actor.Has(readers)
	if !shows {
		back = "/keys"
	}
	if len(form.Errors) > 0 && !shows {
		return input.Invalid("/name", "is needed")
	}
	if len(form.Errors) > 0 {
		return p.render(r, page.Head{}.Again(input.Invalid("/name", "")), form)
	}
	params.Format, params.Prefix = r.KeyFormat()
	var made store.KeyRecord
	var secret authz.Secret
	before, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		var err error
		made, secret, err = r.MakeKey(attempt, params)
		return page.Made{ID: made.ID, Name: made.Name}, err
	})
	switch {
	case err != nil && shows && form.Take(err, keyFields):
		return p.render(r, page.Head{}.Again(err), form)
	case err != nil:
		return err
	case again || secret.Empty():
		return r.ShownBefore(u.head("The key was already shown", before.Name), before.Name, back, r.LostKey())
	}
	return r.ShowKey(u.head(r.Words().Created, r.Words().Created), &made, secret, "", back, r.LostKey())
}
