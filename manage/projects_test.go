package manage

import (
	"slices"
	"testing"
	"time"

	"keyward/manage/fault"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/audit"
)

// TestProjectLifecycle: what a project says follows its changes, each with its entry.
func TestProjectLifecycle(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	f.user("bob", nil)
	made := f.project("web", "alice")
	f.pass(time.Minute)
	text := "The site"
	changed, err := f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web", IfMatch: made.Version()}, registry.ProjectPatch{Description: &text})
	if err != nil || changed.Description != text || !slices.Equal(changed.Members, []string{"alice"}) || changed.Seq == 0 || !changed.At.Equal(f.now()) {
		t.Errorf("%+v, %v", changed, err)
	}
	_, err = f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web", IfMatch: made.Version()}, registry.ProjectPatch{Members: scopes("bob")})
	f.wantCode("a change of an earlier version", err, fault.Changed)
	_, err = f.CreateProject(f.ctx(), f.admin, registry.ProjectInput{Name: "web"})
	f.wantCode("a project that is there", err, fault.Conflict)
	f.wantCode("to delete an earlier version", f.DeleteProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web", IfMatch: made.Version()}), fault.Changed)
	f.wantCode("to delete it", f.DeleteProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web", IfMatch: changed.Version()}), "")
	f.wantCode("to delete it again", f.DeleteProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}), fault.NotFound)
	_, err = f.Project(f.ctx(), f.admin, "web")
	f.wantCode("to read it then", err, fault.NotFound)
	if again := f.project("web"); len(again.Members) > 0 {
		t.Errorf("another of that name: %+v", again)
	}
	var actions []audit.Action
	for _, e := range f.entries() {
		if e.Record == "web" && e.Outcome == audit.Done {
			actions = append(actions, e.Action)
		}
	}
	if want := []audit.Action{audit.ProjectCreate, audit.ProjectUpdate, audit.ProjectDelete, audit.ProjectCreate}; !slices.Equal(actions, want) {
		t.Errorf("%q, want %q", actions, want)
	}
}

func TestInvalidProjects(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	f.project("web", "alice")
	for what, in := range map[string]registry.ProjectInput{
		"no name":                   {},
		"a hidden character":        {Name: "we\u200bb2"},
		"a hidden description":      {Name: "new", Description: "a\u202eb"},
		"a member twice":            {Name: "new", Members: []string{"alice", "alice"}},
		"a member without a record": {Name: "new", Members: []string{"alice", "bob"}},
		"a key as a member":         {Name: "new", Members: []string{"k_0123456789ab"}},
	} {
		_, err := f.CreateProject(f.ctx(), f.admin, in)
		f.wantCode(what, err, fault.Invalid)
		if in.Name == "new" {
			_, err = f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}, registry.ProjectPatch{Description: &in.Description, Members: &in.Members})
			f.wantCode(what+" by a change", err, fault.Invalid)
		}
	}
	if r, err := f.Project(f.ctx(), f.admin, "web"); err != nil || !slices.Equal(r.Members, []string{"alice"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDeleteProjectInUse: a project goes when each of its keys has ended.
func TestDeleteProjectInUse(t *testing.T) {
	f := newFixture(t)
	f.user("alice", nil)
	f.project("web")
	f.project("other")
	active := f.key(store.KeyParams{Project: "web"})
	later := f.key(store.KeyParams{Project: "web", NotBefore: f.now().Add(time.Hour)})
	paused := f.key(store.KeyParams{Project: "web"})
	if _, err := f.PauseKey(f.ctx(), f.admin, KeyRef{ID: paused.ID}); err != nil {
		t.Fatal(err)
	}
	f.key(store.KeyParams{Project: "web", Expires: f.now().Add(time.Minute)})
	f.key(store.KeyParams{Project: "web", User: "alice"})
	f.key(store.KeyParams{Project: "other"})
	f.pass(2 * time.Minute)
	if err := f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []store.KeyRecord{active, later, paused} {
		f.wantCode("with a key in force", f.DeleteProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}), fault.Conflict)
		if _, err := f.RevokeKey(f.ctx(), f.admin, KeyRef{ID: key.ID}); err != nil {
			t.Fatal(err)
		}
	}
	f.wantCode("without one", f.DeleteProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}), "")
}

// TestKeysOfProjects: where there are projects, a key that is made or changed names
// one. What a key had before stays.
func TestKeysOfProjects(t *testing.T) {
	f := newFixture(t)
	projects := f.Projects
	f.Projects = registry.NewProjects(registry.ProjectConfig{Steps: f.steps()})
	old := f.key(store.KeyParams{Project: "gone"})
	f.Projects = projects
	f.project("web")
	_, _, err := f.CreateKey(f.ctx(), f.admin, store.KeyParams{Name: "new", Project: "gone"})
	f.wantCode("a key of a project that is not there", err, fault.Invalid)
	_, err = f.ImportKeys(f.ctx(), f.admin, []store.ImportedKey{imported(1, store.KeyParams{Project: "gone"})})
	f.wantCode("an import of one", err, fault.Invalid)
	gone, web, none, name := "gone", "web", "", "renamed"
	for _, step := range []struct {
		what  string
		patch KeyPatch
		code  fault.Code
	}{
		{"another member of an old key", KeyPatch{Name: &name}, ""},
		{"the project that it has", KeyPatch{Project: &gone}, ""},
		{"a project", KeyPatch{Project: &web}, ""},
		{"one that is not there", KeyPatch{Project: &gone}, fault.Invalid},
		{"no project", KeyPatch{Project: &none}, ""},
	} {
		_, err := f.UpdateKey(f.ctx(), f.admin, KeyRef{ID: old.ID}, step.patch)
		f.wantCode(step.what, err, step.code)
	}
}

// TestLaterUserIsNoMember: a member who was deleted does not become one again by the
// name that a later user has, also if the project is changed since.
func TestLaterUserIsNoMember(t *testing.T) {
	f := newFixture(t)
	f.user("alice", []string{"read"})
	f.user("bob", []string{"read"})
	f.project("web", "alice", "bob")
	own := store.KeyParams{User: "alice", Project: "web", Scopes: scopes("read")}
	f.wantCode("a member", f.tryCreate(f.bySession("alice"), own), "")
	f.pass(time.Minute)
	if err := f.DeleteUser(f.ctx(), f.admin, UserRef{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	f.pass(time.Minute)
	f.user("alice", []string{"read"})
	f.wantCode("the next one of that name", f.tryCreate(f.bySession("alice"), own), fault.BeyondCaller)
	f.pass(time.Minute)
	text := "The site"
	changed, err := f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}, registry.ProjectPatch{Description: &text})
	if err != nil || !slices.Equal(changed.Members, []string{"bob"}) {
		t.Errorf("%+v, %v", changed, err)
	}
	f.wantCode("after a change of the project", f.tryCreate(f.bySession("alice"), own), fault.BeyondCaller)
	if _, err := f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}, registry.ProjectPatch{Members: scopes("alice")}); err != nil {
		t.Fatal(err)
	}
	f.wantCode("made a member", f.tryCreate(f.bySession("alice"), own), "")
	if _, err := f.UpdateProject(f.ctx(), f.admin, registry.ProjectRef{Name: "web"}, registry.ProjectPatch{Members: scopes()}); err != nil {
		t.Fatal(err)
	}
	f.wantCode("a member no more", f.tryCreate(f.bySession("alice"), own), fault.BeyondCaller)
}

// TestWithoutProjects: where no file of projects is configured, the project of a key is
// only a name, which an actor with bounds cannot give.
func TestWithoutProjects(t *testing.T) {
	f := newFixture(t)
	f.Projects = registry.NewProjects(registry.ProjectConfig{Steps: f.steps()})
	_, err := f.CreateProject(f.ctx(), f.admin, registry.ProjectInput{Name: "web"})
	f.wantCode("create", err, fault.NotFound)
	_, err = f.Project(f.ctx(), f.admin, "web")
	f.wantCode("get", err, fault.NotFound)
	_, _, err = f.ListProjects(f.ctx(), f.admin, store.ProjectFilter{}, store.Page{})
	f.wantCode("list", err, fault.NotFound)
	f.wantCode("a key of any project", f.tryCreate(f.admin, store.KeyParams{Project: "any"}), "")
	f.user("alice", []string{"read"})
	f.wantCode("a bounded actor's", f.tryCreate(f.bySession("alice"), store.KeyParams{User: "alice", Project: "any", Scopes: scopes("read")}), fault.BeyondCaller)
}
