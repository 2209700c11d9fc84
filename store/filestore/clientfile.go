package filestore

import (
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
)

// ClientFile reads a file of OAuth clients.
type ClientFile struct {
	recordReader[store.Client, store.ClientFilter]
}

// NewClientFile touches nothing. The clients' secrets were hashed as hasher does; fsys
// nil is the operating system's. A file that is missing has no clients.
func NewClientFile(path string, hasher *apikey.Hasher, fsys journal.FS) *ClientFile {
	return &ClientFile{recordReader[store.Client, store.ClientFilter]{
		lines: journal.Lines{Writer: journal.Writer{Path: path, FS: fsys}, Header: clientsHeader(hasher).of()}, what: "client",
		newDecoder: newClientDecoder,
		position:   func(r *store.Client) store.Position { return store.Position{Made: r.Created, ID: r.ID} },
		deleted:    func(r *store.Client) time.Time { return r.Deleted },
		clone:      (*store.Client).Clone,
		match:      (*store.ClientFilter).Match,
	}}
}

// ClientFeed feeds a sink from a file of OAuth clients whose secrets were hashed as
// Hasher does.
type ClientFeed struct {
	Hasher *apikey.Hasher
	journal.FollowConfig
}

// Follow implements Feed.
func (f ClientFeed) Follow(into store.Sink[store.Client]) (store.Follower, error) {
	return follow(f.FollowConfig, clientsHeader(f.Hasher), into, newClientDecoder)
}

func newClientDecoder() decoder[store.Client] { return &store.ClientDecoder{} }
