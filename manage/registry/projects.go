package registry

import (
	"context"
	"errors"
	"time"

	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// ProjectConfig is what Projects are made of.
type ProjectConfig struct {
	Steps
	Records[store.Project, store.ProjectFilter]
	// HasKeys reports whether a key of the project has not ended. An error means that this
	// is not known.
	HasKeys func(ctx context.Context, project string) (bool, error)
}

// Projects creates, shows, changes and ends projects.
type Projects struct {
	records records[store.Project, store.ProjectFilter]
	hasKeys func(ctx context.Context, project string) (bool, error)
}

// NewProjects returns Projects over their store.
func NewProjects(cfg ProjectConfig) *Projects {
	return &Projects{
		records: records[store.Project, store.ProjectFilter]{
			Steps: cfg.Steps, Records: cfg.Records, kind: "projects",
			seq: func(r *store.Project) int64 { return r.Seq }, shown: []string{"description", "members", "deleted"},
		},
		hasKeys: cfg.HasKeys,
	}
}

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

// CreateProject makes a project. It needs keyward:admin.
func (p *Projects) CreateProject(ctx context.Context, a access.Actor, in ProjectInput) (store.Project, error) {
	c := p.records.byAdmin(a, audit.ProjectCreate, in.Name, store.AnyVersion)
	if c.refused == nil {
		var bad fault.Problems
		bad.Check("/name", store.CheckProjectName(in.Name))
		c.refused = p.check(ctx, &bad, in.Description, in.Members)
	}
	return p.records.create(ctx, a, c, func(now time.Time) (store.Project, error) {
		return store.Project{Name: in.Name, Description: in.Description, Members: in.Members, CreatedBy: a.Creator(), Created: now, At: now}, nil
	})
}

// UpdateProject changes a project. It needs keyward:admin. The keys that a member put
// the project on stay when the member is removed: they are ended by revoking them.
func (p *Projects) UpdateProject(ctx context.Context, a access.Actor, ref ProjectRef, patch ProjectPatch) (store.Project, error) {
	c := p.records.byAdmin(a, audit.ProjectUpdate, ref.Name, ref.IfMatch)
	if c.refused == nil {
		c.refused = p.checkPatch(ctx, patch)
	}
	return changeRecord(ctx, &p.records, a, c, func(r *store.Project, now time.Time) (err error) {
		if r.Unsupported {
			return store.ErrUnsupported
		}
		if patch.Description != nil {
			r.Description = *patch.Description
		}
		if patch.Members != nil {
			r.Members = *patch.Members
		} else if r.Members, err = p.membersNow(ctx, r); err != nil {
			return err
		}
		r.At = now
		return nil
	})
}

// DeleteProject ends a project, and with it what its members may do. A project with a
// key that has not ended is a [fault.Conflict]. It needs keyward:admin.
//
// Every change holds the audit log while it is made, so that no key of the project is
// made meanwhile. Without an audit log, another process could make one.
func (p *Projects) DeleteProject(ctx context.Context, a access.Actor, ref ProjectRef) error {
	c := p.records.byAdmin(a, audit.ProjectDelete, ref.Name, ref.IfMatch)
	_, err := changeRecord(ctx, &p.records, a, c, func(r *store.Project, now time.Time) error {
		used, err := p.hasKeys(ctx, r.Name)
		if err == nil && used {
			err = fault.Refuse(fault.Conflict, "the project has keys in force: revoke them first")
		}
		if err == nil {
			r.Delete(now)
		}
		return err
	})
	return err
}

// Project returns a project. It needs keyward:read.
func (p *Projects) Project(ctx context.Context, a access.Actor, name string) (store.Project, error) {
	return p.records.get(ctx, a, name)
}

// ListProjects returns a page of the projects that the filter selects. It needs
// keyward:read.
func (p *Projects) ListProjects(ctx context.Context, a access.Actor, filter store.ProjectFilter, page store.Page) ([]store.Project, store.Cursor, error) {
	return p.records.list(ctx, a, filter, page)
}

// IsMemberFor reports whether the actor may put the key's project on the key since the
// key is the actor's own, and its user a member.
func (p *Projects) IsMemberFor(ctx context.Context, a access.Actor, r *store.KeyRecord) (bool, error) {
	if p.records.Reader == nil || r.Project == "" || r.User == "" || r.User != a.User() {
		return false, nil
	}
	project, err := p.records.Reader.Get(ctx, r.Project)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	user, err := p.records.FindUser(ctx, r.User)
	return err == nil && project.HasMember(&user), err
}

// RequireProject refuses to put a project on a key that is not on record. Where the
// configuration has no file of projects, the project of a key is only a name.
func (p *Projects) RequireProject(ctx context.Context, name string) error {
	if p.records.Reader == nil || name == "" {
		return nil
	}
	_, err := p.records.Reader.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return fault.InvalidMembers(fault.FieldError{Pointer: "/project", Detail: "is not on record"})
	}
	return err
}

func (p *Projects) checkPatch(ctx context.Context, patch ProjectPatch) error {
	var description string
	var members []string
	if patch.Description != nil {
		description = *patch.Description
	}
	if patch.Members != nil {
		members = *patch.Members
	}
	return p.check(ctx, new(fault.Problems), description, members)
}

// check returns all that is wrong with a project, beside what is known to be.
func (p *Projects) check(ctx context.Context, bad *fault.Problems, description string, members []string) error {
	bad.Check("/description", store.CheckDescription(description))
	if err := store.CheckMembers(members); err != nil {
		bad.Check("/members", err)
		return bad.Err()
	}
	for _, name := range members {
		user, err := p.records.FindUser(ctx, name)
		if err != nil {
			return err
		}
		if user.Name == "" {
			bad.Add("/members", "has a name that no user has")
			break
		}
	}
	return bad.Err()
}

// membersNow returns those of the members who are still on record. A member who was
// deleted must not become one again by the name that a later user has.
func (p *Projects) membersNow(ctx context.Context, r *store.Project) ([]string, error) {
	var members []string
	for _, name := range r.Members {
		user, err := p.records.FindUser(ctx, name)
		if err != nil {
			return nil, err
		}
		if r.HasMember(&user) {
			members = append(members, name)
		}
	}
	return members, nil
}

// ProjectView is what is shown of a project, in the commands and in the API alike.
type ProjectView struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Members     []string  `json:"members" nullable:"false"`
	Created     time.Time `json:"created"`
	CreatedBy   string    `json:"created_by,omitempty"`
	Unsupported bool      `json:"unsupported,omitempty"` // a newer version wrote the record: it has no members
}

// ViewProject returns what is shown of the project.
func ViewProject(r *store.Project) ProjectView {
	v := ProjectView{
		Name: r.Name, Description: r.Description, Members: []string{}, Created: r.Created.UTC(), CreatedBy: r.CreatedBy, Unsupported: r.Unsupported,
	}
	if !r.Unsupported {
		v.Members = append(v.Members, r.Members...)
	}
	return v
}
