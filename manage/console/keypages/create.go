package keypages

import (
	"net/url"

	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
)

func (a area) showNew(r *page.Request) error {
	values := url.Values{"expires": {"90d"}, "scopes": {"list"}, "user": {r.Query("user")}, "project": {r.Query("project")}}
	return a.renderNew(r, a.newHead(r), page.NewForm(values))
}

func (a area) newHead(r *page.Request) page.Head {
	title := "New " + r.Words().Key
	if a.own {
		title = r.Words().Start
	}
	return page.Head{Title: title, Current: a.path, Crumbs: a.crumbs(r, page.Crumb{Text: title})}
}

func (a area) renderNew(r *page.Request, head page.Head, f *page.Form) error {
	return a.renderForm(r, head, a.form(r, f, nil))
}

func (a area) renderForm(r *page.Request, head page.Head, data formPage) error {
	data.Arrange(keyFields)
	return r.Render(a.Templates, "form.html", head, data)
}

// create makes a key and shows its secret.
func (a area) create(r *page.Request) error {
	f := r.SentForm()
	t := readForm(r, f, a.own)
	if !a.own {
		if err := checkUser(r, f, t.User); err != nil {
			return err
		}
	}
	if t.Name == "" {
		f.Add("name", "Enter a name.")
	}
	t.Format, t.Prefix = r.KeyFormat()
	if len(f.Errors) > 0 {
		// All that is wrong is said at once.
		_, _, err := r.Service().CreateKey(fault.DryRun(r.Context()), r.Actor, t.KeyParams)
		f.TakeMore(err, keyFields)
		return a.renderNew(r, a.newHead(r).Again(nil), f)
	}
	var record store.KeyRecord
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		var err error
		record, secret, err = r.MakeKey(attempt, t.KeyParams)
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil && f.Take(err, keyFields):
		return a.renderNew(r, a.newHead(r).Again(err), f)
	case err != nil:
		return err
	case again || secret.Empty():
		return a.showAgain(r, made)
	}
	return a.showSecret(r, r.Words().Created, "", &record, secret)
}
