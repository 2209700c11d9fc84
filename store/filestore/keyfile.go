package filestore

import (
	"bytes"
	"fmt"
	"time"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// KeyFileConfig is which key file a KeyFile writes, and with what.
type KeyFileConfig struct {
	Path      string
	Hasher    *apikey.Hasher
	StartOver bool             // begin a new file in place of a damaged one
	Catalog   *CatalogConfig   // nil: each call reads the file
	FS        filesystem.FS    // nil: the operating system's
	Now       func() time.Time // nil: time.Now
}

// KeyFile is a key file. Its Editor changes the keys; every change is one durable step:
// if it returns nil, what it did survives a power cut; if it returns an error, the file
// says what it said before. Any number of processes may write one file.
//
// Every method may return [fileheader.ErrPepper] or journal.ErrWrongFile for a file that must not be
// written with this Hasher or by this program, journal.ErrDamaged for one that has lost
// its content, and journal.ErrReplaced if other programs keep replacing the file.
type KeyFile struct {
	lines   journal.Lines
	hasher  *apikey.Hasher
	now     func() time.Time
	catalog *catalog // nil: each call reads the file
}

// NewKeyFile touches nothing; the file is made by the first change.
func NewKeyFile(cfg KeyFileConfig) *KeyFile {
	f := &KeyFile{hasher: cfg.Hasher, now: cfg.Now}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Keys(cfg.Hasher).Journal()}
	if cfg.Catalog != nil {
		f.catalog = newCatalog(&f.lines, *cfg.Catalog)
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// latest is what the last valid line about the key says.
func (f *KeyFile) latest(id string, in reading) (store.KeyRecord, error) {
	wanted, ok := apikey.ParseID([]byte(id))
	if !ok {
		return store.KeyRecord{}, fmt.Errorf("%w: a key's id is k_ and 12 characters", store.ErrNotFound)
	}
	if f.catalog != nil {
		// A last line that can be read and is not valid leaves an earlier one in force,
		// which the catalog does not have. No Keyward writes such a line.
		if r, err := f.catalog.get(wanted, in); err != nil || r.AccessValid() {
			return r, err
		}
	}
	var d store.KeyDecoder
	var last store.KeyRecord
	found, quoted := false, []byte(`"`+id+`"`)
	err := in.each(func(line []byte, _ int) error {
		// An id has one spelling, so most lines need no more than this.
		if !bytes.Contains(line, quoted) {
			return nil
		}
		// A line that cannot be read is skipped, as servers do: it must not keep
		// anyone from revoking a key.
		if r, err := d.Decode(line); err == nil && d.ID() == wanted && r.AccessValid() {
			last, found = r.Clone(), true
		}
		return nil
	})
	if err != nil {
		return store.KeyRecord{}, err
	}
	if !found {
		return store.KeyRecord{}, fmt.Errorf("key %s: %w", id, store.ErrNotFound)
	}
	return last, nil
}

// appendLines appends the lines of n records. What cannot be a line is ErrInvalid.
func appendLines(t *journal.LineTransaction, n int, line func(i int) ([]byte, error)) error {
	return t.AppendBatch(n, func(i int) ([]byte, error) {
		text, err := line(i)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		return text, nil
	})
}
