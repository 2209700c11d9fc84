package filestore

import (
	"time"

	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// ProjectFileConfig is which projects file a ProjectFile writes, and with what.
type ProjectFileConfig struct {
	Path      string
	StartOver bool          // begin a new file in place of a damaged one
	FS        filesystem.FS // nil: the operating system's
}

// ProjectFile is a projects file. It is a store.Reader, and its Editor changes the
// projects.
type ProjectFile struct {
	recordFile[store.Project, store.ProjectFilter]
}

// NewProjectFile touches nothing; the file is made when the first project is.
func NewProjectFile(cfg ProjectFileConfig) *ProjectFile {
	return &ProjectFile{recordFile[store.Project, store.ProjectFilter]{
		lines:      journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Projects().Journal()},
		kind:       "project",
		newDecoder: func() decoder[store.Project] { return &store.ProjectDecoder{} },
		position:   func(r *store.Project) store.Position { return store.Position{Made: r.Created, ID: r.Name} },
		deleted:    func(r *store.Project) time.Time { return r.Deleted },
		clone:      (*store.Project).Clone,
		match:      (*store.ProjectFilter).Match,
		line: func(r *store.Project, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}}
}
