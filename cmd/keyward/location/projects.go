package location

import (
	"context"
	"errors"
	"fmt"

	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/client"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/journal"
)

// ProjectService is the projects that the commands show and change: those of a file, or
// those of a running Keyward. Its errors are the store's, or fault.Error.
type ProjectService interface {
	CreateProject(ctx context.Context, in registry.ProjectInput) (registry.ProjectView, error)
	Project(ctx context.Context, name string) (registry.ProjectView, error)
	// ListProjects returns projects in the order of their creation.
	ListProjects(ctx context.Context, f store.ProjectFilter) ([]registry.ProjectView, error)
	DeleteProject(ctx context.Context, name string) error

	// Explain adds to an error about the project what is known of its cause. "" is any
	// project.
	Explain(err error, name string) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// Projects has the flags that name the projects: those of a file, or those of a
// server.
type Projects struct {
	File   string `placeholder:"FILE" help:"Projects file (default projects.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the projects file."`
	Server
}

// Open returns the projects: of the file, or of the server that the flags name.
func (l *Projects) Open(env *command.Env) (ProjectService, error) {
	return l.openWith(env, StartOver{})
}

func (l *Projects) openWith(env *command.Env, begin StartOver) (ProjectService, error) {
	c, err := l.Connect(env, append(filePair(l.File, l.Config), begin.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteProjects{c}, nil
	}
	cfg, err := configOf(env, "projects", l.File, l.Config, func(cfg *config.Config) *string { return &cfg.Projects.File })
	if err != nil {
		return nil, err
	}
	hasher, err := hasherOf(cfg, "") // a project with keys in force is not deleted
	if err != nil {
		return nil, err
	}
	r, err := openRecords(env, cfg, hasher, begin)
	return &fileProjects{r, env, cfg.Projects.File}, err
}

// WrittenProjects is a Projects whose projects the command changes.
type WrittenProjects struct {
	Projects
	StartOver
}

// Open returns the projects, to be changed: of the file, or of the server that the flags name.
func (l *WrittenProjects) Open(env *command.Env) (ProjectService, error) {
	return l.openWith(env, l.StartOver)
}

// remoteProjects is the projects of a running Keyward.
type remoteProjects struct{ *client.Client }

func (p remoteProjects) Explain(err error, name string) error {
	return explainProject(CauseOf(err), name, "at "+p.Server())
}

// fileProjects is a projects file.
type fileProjects struct {
	*records
	env  *command.Env
	path string
}

// CreateProject implements ProjectService.
func (p *fileProjects) CreateProject(ctx context.Context, in registry.ProjectInput) (registry.ProjectView, error) {
	return viewProject(p.Service.CreateProject(ctx, p.operator, in))
}

// Project implements ProjectService.
func (p *fileProjects) Project(ctx context.Context, name string) (registry.ProjectView, error) {
	return viewProject(p.Service.Project(ctx, p.operator, name))
}

func viewProject(r store.Project, err error) (registry.ProjectView, error) {
	if err != nil {
		return registry.ProjectView{}, err
	}
	return registry.ViewProject(&r), nil
}

// ListProjects implements ProjectService.
func (p *fileProjects) ListProjects(ctx context.Context, f store.ProjectFilter) ([]registry.ProjectView, error) {
	all, _, err := p.Service.ListProjects(ctx, p.operator, f, store.Page{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && p.missing(p.path) {
		p.env.Note("note: there is no file %s", p.path)
	}
	views := make([]registry.ProjectView, len(all))
	for i := range all {
		views[i] = registry.ViewProject(&all[i])
	}
	return views, nil
}

// DeleteProject implements ProjectService.
func (p *fileProjects) DeleteProject(ctx context.Context, name string) error {
	return p.Service.DeleteProject(ctx, p.operator, registry.ProjectRef{Name: name})
}

// Close warns of changes that are not in the audit log.
func (p *fileProjects) Close() { p.close(p.env) }

func (p *fileProjects) Explain(err error, name string) error {
	switch cause := CauseOf(err); {
	case errors.Is(cause, journal.ErrDamaged):
		return explainDamaged(cause)
	case errors.Is(cause, store.ErrNotFound) && p.missing(p.path):
		return fmt.Errorf("no projects file %s", p.path)
	default:
		return explainProject(cause, name, p.in(p.path))
	}
}

// explainProject adds to an error about a project which one it is, and where that was
// looked for.
func explainProject(err error, name, place string) error {
	switch {
	case errors.Is(err, store.ErrNotFound) && name != "":
		return fmt.Errorf("no project %s %s", command.Quoted(name), place)
	case errors.Is(err, store.ErrUnsupported) && name != "":
		return fmt.Errorf("project %s: %w", command.Quoted(name), err)
	default:
		return err
	}
}
