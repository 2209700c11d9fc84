package storetest

import (
	"errors"
	"slices"
	"time"

	"keyward/store"
	"keyward/store/audit"
)

// putProject writes the project as a change of it now.
func (f *fixture) putProject(r store.Project, action audit.Action) error {
	r.At = f.now()
	return f.ProjectEditor.Edit(f.ctx(), func(tx store.Tx[store.Project]) error {
		tx.Put(&r, entry(action, r.Name))
		return nil
	})
}

// project makes a project with the members.
func (f *fixture) project(name string, members ...string) store.Project {
	f.Helper()
	r := store.Project{Name: name, Members: members, Created: f.now()}
	if err := f.putProject(r, audit.ProjectCreate); err != nil {
		f.Fatal(err)
	}
	return r
}

func testProjects(f *fixture) {
	web := f.project("web", "alice")
	f.pass(time.Minute)
	web.Members, web.Description = []string{"alice", "bob"}, "The site"
	if err := f.putProject(web, audit.ProjectUpdate); err != nil {
		f.Fatal(err)
	}
	got, err := f.Projects.Get(f.ctx(), "web")
	if err != nil || !slices.Equal(got.Members, web.Members) || got.Description != "The site" || !got.Created.Equal(web.Created) || !got.At.Equal(f.now()) {
		f.Errorf("%+v, %v", got, err)
	}
	entries := f.entries(store.AuditFilter{Record: "web"})
	if len(entries) != 2 || entries[1].Action != audit.ProjectUpdate || entries[1].Seq != got.Seq {
		f.Errorf("%+v of a record of change %d", entries, got.Seq)
	}
	if err := f.putProject(store.Project{Created: f.now()}, audit.ProjectCreate); !errors.Is(err, store.ErrInvalid) {
		f.Errorf("a project without a name: %v", err)
	}
	web.Deleted = f.pass(time.Minute)
	if err := f.putProject(web, audit.ProjectDelete); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"web", "other", ""} {
		if r, err := f.Projects.Get(f.ctx(), name); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%q: %+v, %v", name, r, err)
		}
		err := f.ProjectEditor.Edit(f.ctx(), func(tx store.Tx[store.Project]) error {
			_, err := tx.Get(name)
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			f.Errorf("%q in an edit: %v", name, err)
		}
	}
}

func testListProjects(f *fixture) {
	for name, members := range map[string][]string{"web": {"alice"}, "app": {"bob", "alice"}, "gone": {"alice"}} {
		f.project(name, members...)
	}
	gone := store.Project{Name: "gone", Created: f.now(), Deleted: f.now()}
	if err := f.putProject(gone, audit.ProjectDelete); err != nil {
		f.Fatal(err)
	}
	for filter, want := range map[store.ProjectFilter][]string{
		{}:                           {"web", "app"},
		{Text: "e"}:                  {"web"},
		{Member: "bob"}:              {"app"},
		{Member: "alice", Text: "w"}: {"web"},
		{Member: "carol"}:            {},
	} {
		all, next, err := f.Projects.List(f.ctx(), filter, store.Page{NewestFirst: true})
		names := []string{}
		for i := range all {
			names = append(names, all[i].Name)
		}
		if err != nil || next != "" || !slices.Equal(names, want) {
			f.Errorf("%+v: %q, %v; want %q", filter, names, err, want)
		}
	}
	first, next, err := f.Projects.List(f.ctx(), store.ProjectFilter{}, store.Page{Limit: 1})
	if err != nil || len(first) != 1 || next == "" {
		f.Fatalf("%+v, %q, %v", first, next, err)
	}
	if last, _, err := f.Projects.List(f.ctx(), store.ProjectFilter{}, store.Page{After: next}); err != nil || len(last) != 1 || last[0].Name == first[0].Name {
		f.Errorf("%+v, %v", last, err)
	}
}

// testNewerProject: what a newer version wrote has no members for this one, and stays
// as it was written.
func testNewerProject(f *fixture) {
	f.project("web", "alice")
	f.NewerProject(`{"name":"web","must":["budget"],"budget":5,"members":["alice"],"created":"2026-01-02T03:04:05Z","at":"2026-01-02T03:04:05Z"}`)
	r, err := f.Projects.Get(f.ctx(), "web")
	if err != nil || !r.Unsupported || r.HasMember(&store.UserRecord{Name: "alice"}) {
		f.Errorf("%+v, %v", r, err)
	}
}
