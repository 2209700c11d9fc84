package filestore

import (
	"slices"
	"time"

	"keyward/store"
	"keyward/store/journal"
)

// ProjectFile is a projects file.
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

// Editor returns the editor of the file's projects, whose changes are in the log, if
// there is one.
func (f *ProjectFile) Editor(log *AuditFile) store.Editor[store.Project] {
	log.watch("project", &f.lines)
	return &editor[store.Project]{
		lines: &f.lines, log: log,
		get: func(name string, each eachLine) (store.Project, error) {
			all, err := f.latest(each, false)
			if err != nil {
				return store.Project{}, err
			}
			return f.find(all, name)
		},
		all: func(each eachLine) ([]store.Project, error) {
			all, err := f.latest(each, false)
			return slices.DeleteFunc(all, func(r store.Project) bool { return !r.Deleted.IsZero() }), err
		},
		line: func(r *store.Project, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}
}

func newProjectDecoder() decoder[store.Project] { return &store.ProjectDecoder{} }
