package filestore

import (
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// ClientFileConfig is which file of OAuth clients a ClientFile writes, and with what.
type ClientFileConfig struct {
	Path      string
	Hasher    *apikey.Hasher // of the clients' secrets
	StartOver bool           // begin a new file in place of a damaged one
	FS        filesystem.FS  // nil: the operating system's
}

// ClientFile is a file of OAuth clients. It is a store.Reader, and its Editor changes the
// clients.
type ClientFile struct {
	recordFile[store.Client, store.ClientFilter]
}

// NewClientFile touches nothing; the file is made when the first client is.
func NewClientFile(cfg ClientFileConfig) *ClientFile {
	return &ClientFile{recordFile[store.Client, store.ClientFilter]{
		lines:      journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Clients(cfg.Hasher).Journal()},
		kind:       "client",
		newDecoder: func() decoder[store.Client] { return &store.ClientDecoder{} },
		position:   func(r *store.Client) store.Position { return store.Position{Made: r.Created, ID: r.ID} },
		deleted:    func(r *store.Client) time.Time { return r.Deleted },
		clone:      (*store.Client).Clone,
		match:      (*store.ClientFilter).Match,
		line: func(r *store.Client, seq int64) ([]byte, error) {
			r.Seq = seq
			return r.Line()
		},
	}}
}
