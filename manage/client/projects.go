package client

import (
	"context"
	"net/http"
	"net/url"

	"keyward/manage/registry"
	"keyward/store"
)

func projectPath(name string) string { return "/projects/" + url.PathEscape(name) }

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, in registry.ProjectInput) (registry.ProjectView, error) {
	body := members{}.put("name", in.Name, "description", in.Description)
	if len(in.Members) > 0 {
		body["members"] = in.Members
	}
	var made registry.ProjectView
	err := c.call(ctx, request{method: http.MethodPost, path: "/projects", body: body, once: true}, &made)
	return made, err
}

// Project returns a project.
func (c *Client) Project(ctx context.Context, name string) (registry.ProjectView, error) {
	var found registry.ProjectView
	err := c.call(ctx, request{method: http.MethodGet, path: projectPath(name)}, &found)
	return found, err
}

// ListProjects returns the projects that the filter selects, in the order of their
// creation.
func (c *Client) ListProjects(ctx context.Context, f store.ProjectFilter) ([]registry.ProjectView, error) {
	return oldestFirst[registry.ProjectView](ctx, c, "/projects", set("member", f.Member, "q", f.Text))
}

// DeleteProject ends a project.
func (c *Client) DeleteProject(ctx context.Context, name string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: projectPath(name)}, nil)
}
