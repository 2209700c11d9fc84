package filestore

import (
	"time"

	"keyward/store"
	"keyward/store/journal"
)

// ProjectFile reads a projects file.
type ProjectFile struct {
	recordReader[store.Project, store.ProjectFilter]
}

// NewProjectFile touches nothing. fsys nil is the operating system's. A file that is
// missing has no projects.
func NewProjectFile(path string, fsys journal.FS) *ProjectFile {
	return &ProjectFile{recordReader[store.Project, store.ProjectFilter]{
		lines: journal.Lines{Writer: journal.Writer{Path: path, FS: fsys}, Header: projectsHeader().of()}, what: "project",
		newDecoder: newProjectDecoder,
		position:   func(r *store.Project) store.Position { return store.Position{Made: r.Created, ID: r.Name} },
		deleted:    func(r *store.Project) time.Time { return r.Deleted },
		clone:      (*store.Project).Clone,
		match:      (*store.ProjectFilter).Match,
	}}
}

// ProjectFeed feeds a sink from a projects file.
type ProjectFeed struct{ journal.FollowConfig }

// Follow implements Feed.
func (f ProjectFeed) Follow(into store.Sink[store.Project]) (store.Follower, error) {
	return follow(f.FollowConfig, projectsHeader(), into, newProjectDecoder)
}

func newProjectDecoder() decoder[store.Project] { return &store.ProjectDecoder{} }
