package manage

import (
	"context"
	"errors"
	"slices"
	"time"

	"keyward/manage/access"
	"keyward/store"
	"keyward/store/audit"
)

// ProjectInput is what a new project is to be.
type ProjectInput struct {
	Name, Description string
	Members           []string // names of users, who may put it on their own keys
}

// ProjectRef names a project that is to be changed.
type ProjectRef struct {
	Name    string
	IfMatch store.Version // [store.AnyVersion] for any
}

// ProjectPatch is what is to change of a project; nil is what is to stay.
type ProjectPatch struct {
	Description *string
	Members     *[]string
}

func (s *Service) projects() recordsOf[store.Project] {
	return recordsOf[store.Project]{
		editor: s.ProjectEditor, seq: func(r *store.Project) int64 { return r.Seq },
		shown: []string{"description", "members", "deleted"},
	}
}

// projectChange is a change of a project by the actor, who needs keyward:admin.
func (s *Service) projectChange(a access.Actor, action audit.Action, ref ProjectRef) change {
	return change{action, ref.Name, ref.IfMatch, mayAdminister(a, "projects", s.ProjectEditor != nil)}
}

// CreateProject makes a project. It needs keyward:admin.
func (s *Service) CreateProject(ctx context.Context, a access.Actor, in ProjectInput) (store.Project, error) {
	c := s.projectChange(a, audit.ProjectCreate, ProjectRef{Name: in.Name})
	if c.refused == nil {
		var bad problems
		bad.check("/name", store.CheckProjectName(in.Name))
		c.refused = s.checkProject(ctx, &bad, in.Description, in.Members)
	}
	return createRecord(ctx, s, a, s.projects(), c, func(now time.Time) (store.Project, error) {
		return store.Project{Name: in.Name, Description: in.Description, Members: in.Members, CreatedBy: a.Creator(), Created: now, At: now}, nil
	})
}

// UpdateProject changes a project. It needs keyward:admin. A member that is removed
// keeps its keys with the project: they end by revoking them.
func (s *Service) UpdateProject(ctx context.Context, a access.Actor, ref ProjectRef, patch ProjectPatch) (store.Project, error) {
	c := s.projectChange(a, audit.ProjectUpdate, ref)
	if c.refused == nil {
		c.refused = s.checkProject(ctx, new(problems), orZero(patch.Description), orZero(patch.Members))
	}
	return changeRecord(ctx, s, a, s.projects(), c, func(r *store.Project, now time.Time) (err error) {
		if r.Unsupported {
			return store.ErrUnsupported
		}
		if patch.Description != nil {
			r.Description = *patch.Description
		}
		if patch.Members != nil {
			r.Members = *patch.Members
		} else if r.Members, err = s.membersNow(ctx, r); err != nil {
			return err
		}
		r.At = now
		return nil
	})
}

// DeleteProject ends a project, and with it what its members may do. A project with a
// key that has not ended is a [Conflict]. It needs keyward:admin.
//
// Every change holds the audit log while it is made, so that no key of the project is
// created meanwhile. Without an audit log, a command may create one.
func (s *Service) DeleteProject(ctx context.Context, a access.Actor, ref ProjectRef) error {
	c := s.projectChange(a, audit.ProjectDelete, ref)
	_, err := changeRecord(ctx, s, a, s.projects(), c, func(r *store.Project, now time.Time) error {
		if err := s.refuseKeysInForce(ctx, r.Name); err != nil {
			return err
		}
		r.Delete(now)
		return nil
	})
	return err
}

// refuseKeysInForce refuses to end a project that has a key that has not ended.
func (s *Service) refuseKeysInForce(ctx context.Context, project string) error {
	if s.Keys == nil {
		return refuse(Conflict, "the configuration has no keys.file, so that it is not known whether the project has keys in force")
	}
	const pageSize = 1000
	rules, err := s.keyRules(ctx)
	if err != nil {
		return err
	}
	page := store.Page{Limit: pageSize}
	for {
		keys, next, err := s.Keys.List(ctx, store.KeyFilter{Project: project}, page)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(keys, func(k store.KeyRecord) bool { return !rules.State(k.Status(), s.Now()).HasEnded() }) {
			return refuse(Conflict, "the project has keys in force: revoke them first")
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}

// checkProject returns all that is wrong with a project, beside what is known to be.
func (s *Service) checkProject(ctx context.Context, bad *problems, description string, members []string) error {
	bad.check("/description", store.CheckDescription(description))
	if err := store.CheckMembers(members); err != nil {
		bad.check("/members", err)
		return bad.err()
	}
	for _, name := range members {
		user, err := s.findUser(ctx, name)
		if err != nil {
			return err
		}
		if user.Name == "" {
			bad.add("/members", "has a name of no user")
			break
		}
	}
	return bad.err()
}

// membersNow returns those of the members who are still on record. A member who was
// deleted must not become one again by the name that a later user has.
func (s *Service) membersNow(ctx context.Context, r *store.Project) ([]string, error) {
	var members []string
	for _, name := range r.Members {
		user, err := s.findUser(ctx, name)
		if err != nil {
			return nil, err
		}
		if r.HasMember(&user) {
			members = append(members, name)
		}
	}
	return members, nil
}

// findUser returns the user of that name, the zero record if there is none.
func (s *Service) findUser(ctx context.Context, name string) (r store.UserRecord, err error) {
	if s.Users == nil {
		return r, nil
	}
	if r, err = s.Users.Get(ctx, name); errors.Is(err, store.ErrNotFound) {
		return store.UserRecord{}, nil
	}
	return r, err
}

// isMember reports whether the actor may put the key's project on it since the key is
// its own, and its user a member.
func (s *Service) isMember(ctx context.Context, a access.Actor, r *store.KeyRecord) (bool, error) {
	if s.Projects == nil || r.Project == "" || r.User == "" || r.User != a.User() {
		return false, nil
	}
	project, err := s.Projects.Get(ctx, r.Project)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	user, err := s.findUser(ctx, r.User)
	return err == nil && project.HasMember(&user), err
}

// needProject refuses to put a project on a key that is not on record. Without a file
// of projects, the project of a key is only a name.
func (s *Service) needProject(ctx context.Context, name string) error {
	if s.Projects == nil || name == "" {
		return nil
	}
	_, err := s.Projects.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		var bad problems
		bad.add("/project", "is not on record")
		return bad.err()
	}
	return err
}

// Project returns a project. It needs keyward:read.
func (s *Service) Project(ctx context.Context, a access.Actor, name string) (store.Project, error) {
	return getRecord(ctx, s, a, s.Projects, "projects", name)
}

// ListProjects returns a page of the projects that the filter selects. It needs
// keyward:read.
func (s *Service) ListProjects(ctx context.Context, a access.Actor, filter store.ProjectFilter, page store.Page) ([]store.Project, store.Cursor, error) {
	return listRecords(ctx, s, a, s.Projects, "projects", filter, page)
}
