// Package projectpages has the pages of projects: the list, one project with what its
// members do in it, the forms that make, change and end it, and what a user gets at the
// first login.
package projectpages

import (
	"embed"
	"net/url"
	"strings"

	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// keyReaders are the roles that see the keys of others.
const keyReaders = access.Read | access.Keys

// Routes are the pages. A member sees its projects without a role.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /{$}", Serve: p.home},
		{Pattern: "GET /welcome", Serve: p.showWelcome},
		{Pattern: "POST /welcome", Serve: p.welcome},
		{Pattern: "GET /projects", Serve: p.list},
		{Pattern: "GET /projects/new", Needs: access.Admin, Serve: p.showNew},
		{Pattern: "POST /projects", Needs: access.Admin, Serve: p.create},
		{Pattern: "GET /projects/{name}", Serve: p.show},
		{Pattern: "POST /projects/{name}/key/replace", Serve: p.replaceKey},
		{Pattern: "GET /projects/{name}/edit", Needs: access.Admin, Serve: p.showEdit},
		{Pattern: "POST /projects/{name}/edit", Needs: access.Admin, Serve: p.edit},
		{Pattern: "GET /projects/{name}/delete", Needs: access.Admin, Serve: p.askDelete},
		{Pattern: "POST /projects/{name}/delete", Needs: access.Admin, Serve: p.deleteProject},
	}
}

// project is a project as a page shows it.
type project struct {
	registry.ProjectView
	Version store.Version
	Path    string // of its page
	Member  bool   // the actor is one
}

func viewOf(record *store.Project, member bool) project {
	return project{registry.ViewProject(record), record.Version(), pathOf(record.Name), member}
}

func pathOf(name string) string { return "/projects/" + url.PathEscape(name) }

// nameOf is the name in the path of the request.
func nameOf(r *page.Request) string { return r.HTTP.PathValue("name") }

func ref(r *page.Request) registry.ProjectRef {
	return registry.ProjectRef{Name: nameOf(r), IfMatch: store.Version(r.Sent.Get("etag"))}
}

// find returns the project of the request, to a member or a reader.
func find(r *page.Request) (project, error) {
	record, err := r.Service().OwnProject(r.Context(), r.Actor, nameOf(r))
	if err == nil {
		return viewOf(&record, true), nil
	}
	if !r.Actor.Has(access.Read) || fault.CodeOf(err) != fault.NotFound {
		return project{}, err
	}
	record, err = r.Service().Project(r.Context(), r.Actor, nameOf(r))
	if err != nil {
		return project{}, err
	}
	return viewOf(&record, false), nil
}

// longestTitle is how long a description may be to be the title of the page, in bytes.
const longestTitle = 64

// Title is what the project is called: by its description where that is short, which is
// what says something of a project whose name is random.
func (p *project) Title() string {
	if p.Description == "" || len(p.Description) > longestTitle {
		return p.Name
	}
	return p.Description
}

// head is that of a page about the project.
func (p *project) head(title, crumb string) page.Head {
	return page.Head{Title: title, Current: "/projects", Crumbs: []page.Crumb{{Path: "/projects", Text: "Projects"}, {Path: p.Path, Text: p.Title()}, {Text: crumb}}}
}

// done is the query of a page that says what was done before.
func done(r *page.Request) string {
	if note := r.Query("done"); note != "" && !strings.ContainsAny(note, "&#%") {
		return "?done=" + url.QueryEscape(note)
	}
	return ""
}
