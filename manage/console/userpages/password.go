package userpages

import (
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
)

var passwordFields = page.Fields{{Member: "password", ID: "password", Label: "The password"}}

// passwordPage is what the page of a user's password gets.
type passwordPage struct {
	user
	*page.Form
	Admin bool // the actor may set the password
}

func (p pages) showPassword(r *page.Request) error { return p.password(r, nil, page.NewForm(nil)) }

func (p pages) password(r *page.Request, refused error, f *page.Form) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	if u.Service {
		return fault.Refuse(fault.Conflict, "the user is a program, which has no password")
	}
	head := u.head("Password of "+u.Name, "Password")
	if refused != nil {
		head = head.Again(refused)
	}
	return r.Render(p.Templates, "password.html", head, passwordPage{u, f, r.Actor.Has(access.Admin)})
}

// setPassword sets the password of a user, who has to replace it at the next login.
func (p pages) setPassword(r *page.Request) error {
	f, password := r.SentForm(), r.Secret("password")
	var err error
	if password.Empty() {
		err = input.Invalid("/password", "is needed: enter it")
	} else {
		err = r.Service().SetPassword(r.Context(), r.Actor, ref(r), password, true)
	}
	switch {
	case err == nil:
		return r.Done(pathOf(nameOf(r)), "userpw")
	case f.Take(err, passwordFields):
		return p.password(r, err, f)
	}
	return err
}

// makeLink makes a one-time link by which the user sets the password, and shows it.
func (p pages) makeLink(r *page.Request) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	var link authz.Secret
	var until string
	_, again, err := r.Once(func(page.Attempt) (page.Made, error) {
		token, code, err := r.Accounts().CreatePasswordLink(r.Context(), r.Actor, ref(r))
		link, until = authz.NewSecret(r.Origin().Base(r.HTTP)+"/password/"+token.Reveal()), code.Expires.UTC().Format("2006-01-02 15:04")
		return page.Made{ID: u.Name, Name: u.Name}, err
	})
	head := u.head("One-time link", "One-time link")
	switch {
	case err != nil:
		return err
	case again:
		return r.ShownBefore(head, u.Name, u.Path, "make another one, which ends this one.")
	}
	return r.ShowSecret(head, page.Secret{
		Heading: u.Name, Label: "link", Value: link, Path: u.Path,
		Warning: "Copy the link and give it to " + u.Name + " by a way that only they can read. It works once, until " + until + " UTC, and is not shown again.",
	})
}
