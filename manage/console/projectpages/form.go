package projectpages

import (
	"net/url"
	"slices"
	"strings"

	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/manage/registry"
	"keyward/store"
)

// formPage is what the form of a new project, or of a change, gets.
type formPage struct {
	*page.Form
	Project        *project // that is changed; nil for a new one
	Action, Cancel string
	Changed        []string // what another actor made of it while the form was open
}

// The fields by the members of a project.
var (
	projectFields = page.Fields{{Member: "name", ID: "name", Label: "The name"}, {Member: "description", ID: "description", Label: "The description"}, {Member: "members", ID: "members", Label: "The list of members"}}
	editFields    = projectFields[1:]
)

func (p pages) showNew(r *page.Request) error { return p.renderNew(r, nil, page.NewForm(url.Values{})) }

// renderNew shows the form of a new project, again if refused says why it was not
// accepted.
func (p pages) renderNew(r *page.Request, refused error, f *page.Form) error {
	head := page.Head{Title: "New project", Current: "/projects", Crumbs: []page.Crumb{{Path: "/projects", Text: "Projects"}, {Text: "New project"}}}
	if refused != nil {
		head = head.Again(refused)
	}
	return r.Render(p.Templates, "form.html", head, formPage{Form: f, Action: "/projects", Cancel: "/projects"})
}

func (p pages) create(r *page.Request) error {
	f := r.SentForm()
	in := registry.ProjectInput{Name: r.Value("name"), Description: r.Value("description"), Members: page.Lines(r.Sent.Get("members"))}
	err := input.Addressable("project", in.Name)
	if in.Name == "" {
		err = input.Invalid("/name", "is needed: enter it")
	}
	if err != nil {
		f.Take(err, projectFields)
		return p.renderNew(r, err, f)
	}
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		if attempt.Resumed {
			if entries, err := r.Service().Made(r.Context(), r.Actor); err != nil || len(entries) > 0 {
				return page.Made{ID: in.Name}, err
			}
		}
		record, err := r.Service().CreateProject(r.Context(), r.Actor, in)
		return page.Made{ID: record.Name}, err
	})
	switch {
	case err != nil && f.Take(err, projectFields):
		return p.renderNew(r, err, f)
	case err != nil:
		return err
	case again:
		return r.SeeOther(pathOf(made.ID))
	}
	return r.Done(pathOf(made.ID), "created")
}

func (p pages) showEdit(r *page.Request) error {
	found, err := find(r)
	if err != nil {
		return err
	}
	f := page.NewForm(url.Values{"description": {found.Description}, "members": {strings.Join(found.Members, "\n")}})
	f.ETag = string(found.Version)
	return p.renderEdit(r, found, nil, f, nil)
}

func (p pages) renderEdit(r *page.Request, found project, refused error, f *page.Form, changed []string) error {
	head := found.head("Edit "+found.Name, "Edit")
	if refused != nil {
		head = head.Again(refused)
	}
	return r.Render(p.Templates, "form.html", head, formPage{Form: f, Project: &found, Action: found.Path + "/edit", Cancel: found.Path, Changed: changed})
}

// edit changes a project. If it was changed meanwhile, the form is shown again as it was
// typed, with what the project is now.
func (p pages) edit(r *page.Request) error {
	found, err := find(r)
	if err != nil {
		return err
	}
	f := r.SentForm()
	description, members := r.Value("description"), page.Lines(r.Sent.Get("members"))
	_, err = r.Service().UpdateProject(r.Context(), r.Actor, ref(r), registry.ProjectPatch{Description: &description, Members: &members})
	switch {
	case err == nil:
		return r.Done(found.Path, "saved")
	case fault.CodeOf(err) == fault.Changed:
		f.ETag = string(found.Version)
		var changed []string
		if found.Description != description {
			changed = append(changed, "Description: "+found.Description)
		}
		if !slices.Equal(found.Members, members) {
			changed = append(changed, "Members: "+strings.Join(found.Members, ", "))
		}
		return p.renderEdit(r, found, err, f, changed)
	case f.Take(err, editFields):
		return p.renderEdit(r, found, err, f, nil)
	}
	return err
}

// deletePage is what the page that asks whether a project is to be deleted gets.
type deletePage struct {
	project
	Live int  // keys in force, which have to be revoked first
	More bool // there may be more
}

func (p pages) askDelete(r *page.Request) error {
	found, err := find(r)
	if err != nil {
		return err
	}
	data := deletePage{project: found}
	keys, next, err := r.Service().ListKeys(r.Context(), r.Actor, store.KeyFilter{Project: found.Name}, store.Page{Limit: countLimit, NewestFirst: true})
	if err != nil {
		return err
	}
	view, err := r.Service().KeyViewer(r.Context())
	if err != nil {
		return err
	}
	for i := range keys {
		if !view(&keys[i]).State.HasEnded() {
			data.Live++
		}
	}
	data.More = next != ""
	return r.Render(p.Templates, "delete.html", found.head("Delete "+found.Name+"?", "Delete"), data)
}

func (p pages) deleteProject(r *page.Request) error {
	if err := r.Service().DeleteProject(r.Context(), r.Actor, ref(r)); err != nil {
		return err
	}
	return r.Done("/projects", "deletedproject")
}
