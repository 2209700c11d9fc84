package registry

import (
	"context"
	"crypto/rand"
	"strings"

	"keyward/apikey"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/store/audit"
)

// defaultProject is what a project is called that a user gets at the first login.
const defaultProject = "Default project"

// OwnProjects returns the projects of which the actor's user is a member; none where the
// configuration has no projects. It needs keyward:self or a session.
func (p *Projects) OwnProjects(ctx context.Context, a access.Actor) ([]store.Project, error) {
	if p.records.Reader == nil {
		return nil, nil
	}
	if err := mayHaveProjects(a); err != nil {
		return nil, err
	}
	own, err := p.ownProjects(ctx, a)
	return own, fault.Of(err)
}

func mayHaveProjects(a access.Actor) error {
	if a.Has(access.Self) && a.User() != "" {
		return nil
	}
	return fault.Refuse(fault.Forbidden, "one's own projects need the scope %s or a session", access.ScopeSelf)
}

func (p *Projects) ownProjects(ctx context.Context, a access.Actor) ([]store.Project, error) {
	user, err := p.records.FindUser(ctx, a.User())
	if err != nil {
		return nil, err
	}
	all, _, err := p.records.Reader.List(ctx, store.ProjectFilter{Member: a.User()}, store.Page{NewestFirst: true})
	own := all[:0]
	for i := range all {
		if all[i].HasMember(&user) {
			own = append(own, all[i])
		}
	}
	return own, err
}

// OwnProject returns a project of which the actor's user is a member; any other is
// NotFound. It needs keyward:self or a session.
func (p *Projects) OwnProject(ctx context.Context, a access.Actor, name string) (store.Project, error) {
	own, err := p.OwnProjects(ctx, a)
	for i := range own {
		if own[i].Name == name {
			return own[i], nil
		}
	}
	if err == nil {
		err = fault.Of(store.ErrNotFound)
	}
	return store.Project{}, err
}

// DefaultProject returns a project of which the actor's user is a member, and makes one
// of its own if there is none. Nothing else changes projects meanwhile: two calls make
// one.
func (p *Projects) DefaultProject(ctx context.Context, a access.Actor) (store.Project, error) {
	id, err := apikey.NewID(rand.Reader)
	if err != nil {
		return store.Project{}, fault.Of(err)
	}
	name := "p_" + strings.TrimPrefix(id.String(), apikey.IDPrefix)
	c := change{action: audit.ProjectCreate, id: name, refused: mayHaveProjects(a)}
	if c.refused == nil && p.records.Edit == nil {
		c.refused = p.records.notConfigured()
	}
	return p.records.edit(ctx, a, c, func(tx store.Tx[store.Project]) (*store.Project, error) {
		own, err := p.ownProjects(ctx, a)
		if err != nil {
			return nil, err
		}
		if len(own) > 0 {
			return &own[0], nil
		}
		now := p.records.Now().UTC()
		made := store.Project{Name: name, Description: defaultProject, Members: []string{a.User()}, CreatedBy: a.Creator(), Created: now, At: now}
		tx.Put(&made, a.Entry(c.action, name, audit.ChangesOf(&store.Project{}, &made, p.records.shown)))
		return &made, nil
	})
}
