package api

import (
	"context"
	"net/http"

	"keyward/manage/access"
	"keyward/manage/input"
	"keyward/manage/mergepatch"
	"keyward/manage/registry"
	"keyward/store"

	"github.com/danielgtaylor/huma/v2"
)

// ProjectBody is a project in a response.
type ProjectBody struct {
	registry.ProjectView
	ETag string `json:"etag" doc:"The version of the record, for If-Match."`
}

// projectOutput is the response with one project.
type projectOutput struct {
	ETag string `header:"ETag"`
	Body ProjectBody
}

// ProjectName is the name in the path of a request about one project.
type ProjectName struct {
	Name string `path:"name" maxLength:"255"`
}

// newProject is the body of a request for a project.
type newProject struct {
	Name        string   `json:"name" minLength:"1" maxLength:"255"`
	Description string   `json:"description,omitempty" maxLength:"1024"`
	Members     []string `json:"members,omitempty" maxItems:"1000" doc:"The users who may put the project on their own keys."`
}

// ProjectPatch is a merge patch (RFC 7396) of a project.
type ProjectPatch struct {
	ProjectName
	IfMatch
	Body struct {
		Description mergepatch.Removable[string]   `json:"description,omitempty"`
		Members     mergepatch.Removable[[]string] `json:"members,omitempty" doc:"All members, in place of those before; null: none."`
	}
}

func (p *ProjectPatch) patch() registry.ProjectPatch {
	var patch registry.ProjectPatch
	if p.Body.Description.Sent {
		patch.Description = &p.Body.Description.Value
	}
	if p.Body.Members.Sent {
		patch.Members = &p.Body.Members.Value
	}
	return patch
}

// registerProjects adds what is done to projects.
func (a *api) registerProjects(h huma.API) {
	missing := []int{http.StatusNotFound}
	add(h, operation{id: "create-project", method: http.MethodPost, path: "/projects", summary: "Create a project", status: http.StatusCreated, tag: "Projects", errors: missing},
		func(ctx context.Context, who access.Actor, in *struct{ Body newProject }) (*projectOutput, error) {
			return a.createProject(ctx, who, in.Body)
		})
	add(h, operation{id: "list-projects", method: http.MethodGet, path: "/projects", summary: "List projects", tag: "Projects", errors: missing},
		func(ctx context.Context, who access.Actor, in *struct {
			Paging
			Member string `query:"member" maxLength:"255" doc:"Of which that user is a member."`
			Q      string `query:"q" maxLength:"255" doc:"With that in the name."`
		}) (*listOutput[ProjectBody], error) {
			records, next, err := a.Service().ListProjects(ctx, who, store.ProjectFilter{Member: in.Member, Text: in.Q}, in.page())
			if err != nil {
				return nil, err
			}
			return &listOutput[ProjectBody]{listOf(records, next, viewProject)}, nil
		})
	add(h, operation{id: "get-project", method: http.MethodGet, path: "/projects/{name}", summary: "Show a project", tag: "Projects"},
		func(ctx context.Context, who access.Actor, in *struct{ ProjectName }) (*projectOutput, error) {
			r, err := a.Service().Project(ctx, who, in.Name)
			return asProjectOutput(&r, err)
		})
	add(h, operation{id: "update-project", method: http.MethodPatch, path: "/projects/{name}", summary: "Change a project", tag: "Projects", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *ProjectPatch) (*projectOutput, error) {
			r, err := a.Service().UpdateProject(ctx, who, registry.ProjectRef{Name: in.Name, IfMatch: in.version()}, in.patch())
			return asProjectOutput(&r, err)
		})
	add(h, operation{id: "delete-project", method: http.MethodDelete, path: "/projects/{name}", summary: "Delete a project that has no keys in force", status: http.StatusNoContent, tag: "Projects", errors: []int{http.StatusConflict}},
		func(ctx context.Context, who access.Actor, in *struct {
			ProjectName
			IfMatch
		}) (*struct{}, error) {
			return nil, a.Service().DeleteProject(ctx, who, registry.ProjectRef{Name: in.Name, IfMatch: in.version()})
		})
}

func (a *api) createProject(ctx context.Context, who access.Actor, in newProject) (*projectOutput, error) {
	made, err := a.madeBefore(ctx)
	if err == nil && len(made) > 0 {
		r, err := a.Service().Project(ctx, who, in.Name)
		return asProjectOutput(&r, err)
	}
	if err == nil {
		err = input.Addressable("project", in.Name)
	}
	if err != nil {
		return nil, err
	}
	r, err := a.Service().CreateProject(ctx, who, registry.ProjectInput{Name: in.Name, Description: in.Description, Members: in.Members})
	return asProjectOutput(&r, err)
}

func viewProject(r *store.Project) ProjectBody {
	return ProjectBody{registry.ViewProject(r), etag(r.Version())}
}

func asProjectOutput(r *store.Project, err error) (*projectOutput, error) {
	if err != nil {
		return nil, err
	}
	body := viewProject(r)
	return &projectOutput{body.ETag, body}, nil
}
