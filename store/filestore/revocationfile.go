package filestore

import (
	"context"

	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// RevocationFileConfig is which revocations file a RevocationFile writes, and with what.
type RevocationFileConfig struct {
	Path      string
	StartOver bool          // begin a new file in place of a damaged one
	FS        filesystem.FS // nil: the operating system's
}

// RevocationFile is a revocations file, with the guarantees of [KeyFile].
// It never removes a line: a revocation is final.
type RevocationFile struct{ lines journal.Lines }

// NewRevocationFile touches nothing; the file is made by the first revocation.
func NewRevocationFile(cfg RevocationFileConfig) *RevocationFile {
	return &RevocationFile{journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Revocations().Journal()}}
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *RevocationFile) List(ctx context.Context, filter store.RevocationFilter, page store.Page) ([]store.Revocation, store.Cursor, error) {
	all, err := allRevocations(unlocked(ctx, &f.lines).each)
	if err != nil {
		return nil, "", err
	}
	return store.Paginate(all, (*store.Revocation).Position, filter.Match, page)
}

func allRevocations(each eachLine) ([]store.Revocation, error) {
	var all []store.Revocation
	var d store.RevocationDecoder
	err := each(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		all = append(all, *r)
		return nil
	})
	return all, err
}
