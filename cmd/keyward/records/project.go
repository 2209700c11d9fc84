package records

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/confusable"
)

// ProjectCommands are the commands `keyward project`.
type ProjectCommands struct {
	Create projectCreate `cmd:"" help:"Create a project."`
	List   projectList   `cmd:"" help:"List the projects."`
	Show   projectShow   `cmd:"" help:"Show a project."`
	Delete projectDelete `cmd:"" help:"Delete projects that have no keys in force."`
}

func writeProjects(w io.Writer, views []registry.ProjectView) {
	command.Table(w, func(row func(...any)) {
		row("NAME", "MEMBERS", "CREATED", "DESCRIPTION")
		for i := range views {
			v := &views[i]
			row(confusable.Shown(v.Name), command.OrDash(strings.Join(v.Members, " ")), command.Instant(v.Created), command.OrDash(v.Description))
		}
	})
}

type projectCreate struct {
	Name        string   `arg:"" help:"Name of the project."`
	Description string   `placeholder:"TEXT" help:"What the project is for, in up to 1024 bytes."`
	Member      []string `sep:"none" placeholder:"NAME" help:"User who may put the project on its own keys. Repeatable."`
	location.WrittenProjects
	command.Output
}

// Run creates the project.
func (c *projectCreate) Run(env *command.Env) error {
	p, err := c.Open(env)
	if err != nil {
		return err
	}
	defer p.Close()
	made, err := p.CreateProject(env.Context, registry.ProjectInput{Name: c.Name, Description: c.Description, Members: c.Member})
	if err != nil {
		return location.AsUsage(p.Explain(err, c.Name))
	}
	env.WarnOfScripts("project", made.Name)
	return c.Print(env, made, func(w io.Writer) { writeProjects(w, []registry.ProjectView{made}) })
}

type projectList struct {
	Member string `placeholder:"NAME" help:"Only projects of which that user is a member."`
	Query  string `placeholder:"TEXT" help:"Only projects with that in the name."`
	location.Projects
	command.Output
}

// Run lists the projects in the order of their creation.
func (c *projectList) Run(env *command.Env) error {
	p, err := c.Open(env)
	if err != nil {
		return err
	}
	defer p.Close()
	all, err := p.ListProjects(env.Context, store.ProjectFilter{Member: c.Member, Text: c.Query})
	if err != nil {
		return p.Explain(err, "")
	}
	return c.Print(env, all, func(w io.Writer) { writeProjects(w, all) })
}

type projectShow struct {
	Name string `arg:"" help:"Name of the project."`
	location.Projects
	command.Output
}

// Run shows one project.
func (c *projectShow) Run(env *command.Env) error {
	p, err := c.Open(env)
	if err != nil {
		return err
	}
	defer p.Close()
	found, err := p.Project(env.Context, c.Name)
	if err != nil {
		return p.Explain(err, c.Name)
	}
	return c.Print(env, found, func(w io.Writer) { writeProjects(w, []registry.ProjectView{found}) })
}

type projectDelete struct {
	Names []string `arg:"" name:"name" help:"Names of the projects."`
	location.WrittenProjects
	command.Output
}

// Run deletes as many of the projects as it can.
func (c *projectDelete) Run(env *command.Env) error {
	p, err := c.Open(env)
	if err != nil {
		return err
	}
	defer p.Close()
	return deleteEach(c.Output, env, c.Names, func(name string) error {
		return p.Explain(p.DeleteProject(env.Context, name), name)
	})
}

// deleteEach deletes as many of the named records as it can, and prints their names.
func deleteEach(o command.Output, env *command.Env, names []string, remove func(name string) error) error {
	deleted := []string{}
	var failures []error
	for _, name := range names {
		if err := remove(name); err != nil {
			failures = append(failures, err)
			continue
		}
		deleted = append(deleted, name)
	}
	result := struct {
		Deleted []string `json:"deleted"`
	}{deleted}
	err := o.Print(env, result, func(w io.Writer) {
		for _, name := range deleted {
			fmt.Fprintln(w, "deleted", confusable.Shown(name))
		}
	})
	return errors.Join(append(failures, err)...)
}
