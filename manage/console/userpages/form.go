package userpages

import (
	"net/url"
	"slices"
	"strings"

	"keyward/manage"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
)

// formPage is what the form of a new user, or of a change, gets.
type formPage struct {
	*page.Form
	page.Scopes
	User           *user // that is changed; nil for a new one
	Action, Cancel string
	Changed        []string // what another actor made of the user while the form was open
}

// The fields by the members of a user.
var userFields = page.Fields{
	{Member: "name", ID: "name", Label: "The name"}, {Member: "password", ID: "password", Label: "The password"}, {Member: "service", ID: "service-true", Label: "A service user"},
	{Member: "scopes", ID: "other", Label: "Scopes"}, {Member: "paths", ID: "paths", Label: "Paths"},
}

// editFields are those of a user who is there.
var editFields = userFields[3:]

func (p pages) showNew(r *page.Request) error {
	kind := "person"
	if r.Query("kind") == "service" {
		kind = "service"
	}
	return p.renderNew(r, nil, page.NewForm(url.Values{"kind": {kind}}))
}

// renderNew shows the form of a new user, again if refused says why it was not accepted.
func (p pages) renderNew(r *page.Request, refused error, f *page.Form) error {
	service := f.Value("kind") == "service"
	title := "New user"
	if service {
		title = "New service user"
	}
	head := page.Head{Title: title, Current: listOf(service), Crumbs: []page.Crumb{listCrumb(service), {Text: title}}}
	if refused != nil {
		head = head.Again(refused)
	}
	return r.Render(p.Templates, "form.html", head, formPage{Form: f, Scopes: r.OfferedScopes(f), Action: "/users", Cancel: listOf(service)})
}

// create makes a user. The form comes without a password that was typed if the actor had
// to confirm who it is: then it has to be typed again.
func (p pages) create(r *page.Request) error {
	f := r.SentForm()
	in := manage.UserInput{
		Name: r.Value("name"), Service: r.Value("kind") == "service", Scopes: r.ChosenScopes(), Paths: page.Lines(r.Sent.Get("paths")),
	}
	var err error
	if in.Name == "" {
		f.Add("name", "Enter a name.")
	} else if err = input.Addressable("user", in.Name); err != nil {
		f.Take(err, userFields)
	}
	switch password := r.Secret("password"); {
	case !r.Sent.Has("kind") || !in.Service && !r.Sent.Has("password"):
		f.Add("password", "Enter the first password again, or leave it empty.")
	case !password.Empty():
		in.Password, in.MustChange = &password, !in.Service
	}
	if len(f.Errors) > 0 {
		return p.renderNew(r, input.Invalid("/name", ""), f)
	}
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) { return makeUser(r, attempt, in) })
	switch {
	case err != nil && f.Take(err, userFields):
		return p.renderNew(r, err, f)
	case err != nil:
		return err
	case again:
		return r.SeeOther(pathOf(made.ID))
	}
	return r.Done(pathOf(made.ID), "created")
}

// makeUser makes the user of an attempt, unless an earlier one has made it.
func makeUser(r *page.Request, attempt page.Attempt, in manage.UserInput) (page.Made, error) {
	if attempt.Resumed {
		if entries, err := r.Service().Made(r.Context(), r.Actor); err != nil || len(entries) > 0 {
			return page.Made{ID: in.Name}, err
		}
	}
	record, err := r.Service().CreateUser(r.Context(), r.Actor, in)
	return page.Made{ID: record.Name}, err
}

func (p pages) showEdit(r *page.Request) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	f := page.NewForm(url.Values{"paths": {strings.Join(u.Paths, "\n")}})
	r.ChooseScopes(f, u.Scopes)
	f.ETag = string(u.Version)
	return p.renderEdit(r, u, nil, f, nil)
}

func (p pages) renderEdit(r *page.Request, u user, refused error, f *page.Form, changed []string) error {
	head := u.head("Edit "+u.Name, "Edit")
	if refused != nil {
		head = head.Again(refused)
	}
	return r.Render(p.Templates, "form.html", head, formPage{Form: f, Scopes: r.OfferedScopes(f), User: &u, Action: u.Path + "/edit", Cancel: u.Path, Changed: changed})
}

// edit changes a user. If it was changed meanwhile, the form is shown again as it was
// typed, with what the user is now: to send it again is to decide again.
func (p pages) edit(r *page.Request) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	f := r.SentForm()
	scopes, paths := r.ChosenScopes(), page.Lines(r.Sent.Get("paths"))
	_, err = r.Service().UpdateUser(r.Context(), r.Actor, ref(r), manage.UserPatch{Scopes: &scopes, Paths: &paths})
	switch {
	case err == nil:
		return r.Done(u.Path, "saved")
	case fault.CodeOf(err) == fault.Changed:
		f.ETag = string(u.Version)
		return p.renderEdit(r, u, err, f, differences(u, scopes, paths))
	case f.Take(err, editFields):
		return p.renderEdit(r, u, err, f, nil)
	}
	return err
}

// differences are what the user is otherwise than was typed.
func differences(u user, scopes, paths []string) []string {
	var changed []string
	for _, each := range []struct {
		name       string
		typed, now []string
	}{{"Scopes", scopes, u.Scopes}, {"Paths", paths, u.Paths}} {
		slices.Sort(each.typed)
		now := slices.Sorted(slices.Values(each.now))
		if slices.Equal(each.typed, now) {
			continue
		}
		text := strings.Join(now, ", ")
		if text == "" {
			text = "none"
		}
		changed = append(changed, each.name+": "+text)
	}
	if u.Disabled {
		changed = append(changed, "The user is disabled")
	}
	return changed
}
