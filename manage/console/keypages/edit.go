package keypages

import (
	"slices"
	"strings"
	"time"

	"keyward/manage"
	"keyward/manage/console/page"
	"keyward/manage/fault"
)

func (a area) showEdit(r *page.Request) error {
	k, err := a.find(r)
	if err != nil {
		return err
	}
	if !k.Changeable() {
		return fault.Refuse(fault.Ended, "the key has ended, and stays so")
	}
	return r.Render(a.Templates, "form.html", a.head(r, &k, "Edit "+k.Name, "Edit"), a.form(r, formOf(&k), &k))
}

// edit changes a key. If it was changed meanwhile, the form is shown again as it was
// typed, with what has changed: to send it again is to decide again.
func (a area) edit(r *page.Request) error {
	k, err := a.find(r)
	if err != nil {
		return err
	}
	f := r.SentForm()
	t := readForm(r, f, true)
	head := a.head(r, &k, "Edit "+k.Name, "Edit")
	if t.Name == "" {
		f.Add("name", "Enter a name.")
	}
	if len(f.Errors) > 0 {
		_, err := r.Service().UpdateKey(fault.DryRun(r.Context()), r.Actor, a.ref(r), t.patch(&k))
		f.TakeMore(err, keyFields)
		return a.renderForm(r, head.Again(nil), a.form(r, f, &k))
	}
	_, err = r.Service().UpdateKey(r.Context(), r.Actor, a.ref(r), t.patch(&k))
	switch {
	case err == nil:
		return r.Done(k.Path, "saved")
	case fault.CodeOf(err) == fault.Changed:
		data := a.form(r, f, &k)
		f.ETag = string(k.ETag)
		data.Changed = differences(f, formOf(&k))
		return a.renderForm(r, head.Again(err), data)
	case f.Take(err, keyFields):
		return a.renderForm(r, head.Again(err), a.form(r, f, &k))
	}
	return err
}

// patch is what the form changes of a key. What stays as it is is left out: a start that
// has a time of day is shown as a date.
func (t *typed) patch(k *key) manage.KeyPatch {
	p := manage.KeyPatch{
		Name: &t.Name, Project: &t.Project, Rate: &t.Rate, Description: &t.Description, Owner: &t.Owner,
		Paths: &t.Paths, Scopes: &t.Scopes, CIDRs: &t.CIDRs,
	}
	if !t.keepExpiry {
		p.Expires = &t.Expires
	}
	if t.NotBefore.Format(time.DateOnly) != k.NotBefore.Format(time.DateOnly) {
		p.NotBefore = &t.NotBefore
	}
	return p
}

// differences are the fields in which the record is other than what was typed.
func differences(typed, now *page.Form) []difference {
	var found []difference
	for _, field := range []struct{ name, label string }{
		{"name", "Name"}, {"project", "Project"}, {"paths", "Paths"}, {"rate", "Rate limit"}, {"cidrs", "Networks"}, {"begins", "Start"}, {"description", "Description"}, {"owner", "Owner"},
	} {
		found = appendDifference(found, field.label, page.Lines(typed.Value(field.name)), page.Lines(now.Value(field.name)))
	}
	return appendDifference(found, "Scopes", grantedBy(typed), grantedBy(now))
}

// grantedBy are the scopes of a form, in words if they are those of the user.
func grantedBy(f *page.Form) []string {
	if f.Value("scopes") == "user" {
		return []string{"everything that its user may do"}
	}
	return scopesOf(f.Values)
}

// appendDifference adds the field if it was typed other than it is.
func appendDifference(found []difference, label string, typed, is []string) []difference {
	slices.Sort(typed)
	slices.Sort(is)
	if slices.Equal(typed, is) {
		return found
	}
	text := strings.Join(is, ", ")
	if text == "" {
		text = "nothing"
	}
	return append(found, difference{label, text})
}
