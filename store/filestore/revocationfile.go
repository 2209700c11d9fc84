package filestore

import (
	"context"
	"fmt"
	"time"

	"keyward/store"
	"keyward/store/journal"
)

// RevocationFileConfig is which revocations file a RevocationFile writes, and with what.
type RevocationFileConfig struct {
	Path      string
	StartOver bool             // begin a new file in place of a damaged one
	FS        journal.FS       // nil: the operating system's
	Now       func() time.Time // nil: time.Now
}

// RevocationFile writes a revocations file, with the guarantees of [KeyFile].
// It never removes a line: a revocation is final.
type RevocationFile struct {
	lines journal.Lines
	now   func() time.Time
}

// NewRevocationFile touches nothing; the file is made by the first revocation.
func NewRevocationFile(cfg RevocationFileConfig) *RevocationFile {
	f := &RevocationFile{now: cfg.Now}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: revocationsHeader().of()}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// RevokeToken implements store.RevocationWriter.
func (f *RevocationFile) RevokeToken(ctx context.Context, jti string) (store.Revocation, error) {
	r, err := store.RevocationOfToken(jti)
	return f.append(ctx, r, err)
}

// RevokeSubject implements store.RevocationWriter.
func (f *RevocationFile) RevokeSubject(ctx context.Context, subject string, before time.Time) (store.Revocation, error) {
	r, err := store.RevocationOfSubject(subject, before)
	return f.append(ctx, r, err)
}

// RevokeIssuedBefore implements store.RevocationWriter.
func (f *RevocationFile) RevokeIssuedBefore(ctx context.Context, before time.Time) (store.Revocation, error) {
	r, err := store.RevocationOfAll(before)
	return f.append(ctx, r, err)
}

// append appends the revocation, unless it is invalid, also if the file has it
// already: to find that out would cost reading the file.
func (f *RevocationFile) append(ctx context.Context, r store.Revocation, invalid error) (store.Revocation, error) {
	if invalid != nil {
		return store.Revocation{}, invalid
	}
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		r.At = f.now().UTC()
		return appendLines(t, 1, func(int) ([]byte, error) { return r.Line() })
	})
	if err != nil {
		return store.Revocation{}, err
	}
	return r, nil
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *RevocationFile) List(ctx context.Context, filter store.RevocationFilter, page store.Page) ([]store.Revocation, store.Cursor, error) {
	all, err := allRevocations(unlocked(ctx, &f.lines))
	if err != nil {
		return nil, "", err
	}
	made := func(r *store.Revocation) store.Position {
		return store.Position{Made: r.At, ID: fmt.Sprintf("%q %q %d", r.TokenID, r.Subject, r.IssuedBefore.UnixNano())}
	}
	return store.Paginate(all, made, filter.Match, page)
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
