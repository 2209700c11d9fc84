// Package userpages has the pages of users: the lists of people and of service users, one
// user with its keys, the forms that make and change it, and what ends it.
package userpages

import (
	"embed"
	"net/url"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/store"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// readers are the roles that see users.
const readers = access.Read | access.Users

// keyReaders are those that see the keys of others.
const keyReaders = access.Read | access.Keys

// Routes are the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /users", Needs: readers, Serve: p.listPeople},
		{Pattern: "GET /service-users", Needs: readers, Serve: p.listPrograms},
		{Pattern: "GET /users/new", Needs: access.Users, Serve: p.showNew},
		{Pattern: "POST /users", Needs: access.Users, Serve: p.create},
		{Pattern: "GET /users/{name}", Needs: readers, Serve: p.show},
		{Pattern: "GET /users/{name}/edit", Needs: access.Users, Serve: p.showEdit},
		{Pattern: "POST /users/{name}/edit", Needs: access.Users, Serve: p.edit},
		{Pattern: "GET /users/{name}/disable", Needs: access.Users, Serve: p.askDisable},
		{Pattern: "POST /users/{name}/disable", Needs: access.Users, Serve: p.disable},
		{Pattern: "POST /users/{name}/enable", Needs: access.Users, Serve: p.enable},
		{Pattern: "GET /users/{name}/delete", Needs: access.Admin, Serve: p.askDelete},
		{Pattern: "POST /users/{name}/delete", Needs: access.Admin, Serve: p.deleteUser},
		{Pattern: "GET /users/{name}/password", Needs: access.Users, Serve: p.showPassword},
		{Pattern: "POST /users/{name}/password", Needs: access.Admin, Serve: p.setPassword},
		{Pattern: "POST /users/{name}/link", Needs: access.Users, Serve: p.makeLink},
		{Pattern: "POST /users/{name}/keys", Needs: access.Keys, Serve: p.createKey},
	}
}

// user is a user as a page shows it.
type user struct {
	manage.UserView
	Version store.Version
	Path    string // of its page
}

func viewOf(record *store.UserRecord) user {
	return user{manage.ViewUser(record), record.Version(), pathOf(record.Name)}
}

func pathOf(name string) string { return "/users/" + url.PathEscape(name) }

// nameOf is the name in the path of the request.
func nameOf(r *page.Request) string { return r.HTTP.PathValue("name") }

// ref names the user of the request, at the version that the form was made from.
func ref(r *page.Request) manage.UserRef {
	return manage.UserRef{Name: nameOf(r), IfMatch: store.Version(r.Sent.Get("etag"))}
}

// find returns the user of the request.
func find(r *page.Request) (user, error) {
	record, err := r.Service().User(r.Context(), r.Actor, nameOf(r))
	if err != nil {
		return user{}, err
	}
	return viewOf(&record), nil
}

// List is the path of the list that has the user.
func (u *user) List() string { return listOf(u.Service) }

func listOf(service bool) string {
	if service {
		return "/service-users"
	}
	return "/users"
}

// listCrumb leads to the list.
func listCrumb(service bool) page.Crumb {
	if service {
		return page.Crumb{Path: "/service-users", Text: "Service users"}
	}
	return page.Crumb{Path: "/users", Text: "Users"}
}

// head is that of a page about the user.
func (u *user) head(title, crumb string) page.Head {
	return page.Head{Title: title, Current: u.List(), Crumbs: []page.Crumb{listCrumb(u.Service), {Path: u.Path, Text: u.Name}, {Text: crumb}}}
}
