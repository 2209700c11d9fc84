package projectpages

import (
	"net/http"
	"net/url"

	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
)

// How many projects a page of the list has, and how many keys of each are counted.
const (
	pageSize   = 50
	countLimit = 100
)

// listPage is what the list gets.
type listPage struct {
	Projects    []listed
	All         bool // not the actor's own alone
	None        bool // the configuration has no projects
	Q           string
	Bad         string // what is wrong with the query
	First, Next string // queries of other pages; "" is none
	Make        bool   // the actor may make projects
	Keys        bool   // the actor sees keys
}

// listed is a project in the list.
type listed struct {
	project
	Keys int
	More bool
}

func (p pages) list(r *page.Request) error {
	data := listPage{All: r.Actor.Has(access.Read), Q: r.Query("q"), Make: r.Actor.Has(access.Admin), Keys: r.Actor.Has(keyReaders)}
	records, next, err := data.records(r)
	switch {
	case err == nil:
	case fault.CodeOf(err) == fault.NotFound:
		data.None, data.Make = true, false
	case fault.CodeOf(err) == fault.Invalid:
		data.Bad = "The page cannot be found: begin with the first one."
	default:
		return err
	}
	for i := range records {
		row := listed{project: viewOf(&records[i], !data.All)}
		if data.Keys {
			keys, more, err := r.Service().ListKeys(r.Context(), r.Actor, store.KeyFilter{Project: row.Name}, store.Page{Limit: countLimit})
			if err != nil {
				return err
			}
			row.Keys, row.More = len(keys), more != ""
		}
		data.Projects = append(data.Projects, row)
	}
	q := url.Values{}
	if data.Q != "" {
		q.Set("q", data.Q)
	}
	if r.Query("cursor") != "" {
		data.First = "?" + q.Encode()
	}
	if next != "" {
		q.Set("cursor", string(next))
		data.Next = "?" + q.Encode()
	}
	head := page.Head{Title: "Projects"}
	if data.Bad != "" {
		head.Status, head.Error = http.StatusUnprocessableEntity, true
	}
	return r.Render(p.Templates, "list.html", head, data)
}

// records are the projects that the actor may see.
func (l *listPage) records(r *page.Request) ([]store.Project, store.Cursor, error) {
	if l.All {
		return r.Service().ListProjects(r.Context(), r.Actor, store.ProjectFilter{Text: l.Q}, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
	}
	own, err := r.Service().OwnProjects(r.Context(), r.Actor)
	return own, "", err
}
