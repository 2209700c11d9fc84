package filestore

import (
	"context"
	"fmt"
	"io"
	"time"

	"keyward/chars"
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
	if !chars.IsClaim(jti) {
		return store.Revocation{}, fmt.Errorf("%w: a token's id is %s", store.ErrInvalid, claimText)
	}
	return f.append(ctx, store.Revocation{TokenID: jti})
}

const claimText = "1 to 255 bytes of UTF-8 without spaces at the ends, control and format characters"

// RevokeSubject implements store.RevocationWriter.
func (f *RevocationFile) RevokeSubject(ctx context.Context, subject string, before time.Time) (store.Revocation, error) {
	if !chars.IsClaim(subject) {
		return store.Revocation{}, fmt.Errorf("%w: a subject is %s", store.ErrInvalid, claimText)
	}
	return f.revokeBefore(ctx, subject, before)
}

// RevokeIssuedBefore implements store.RevocationWriter.
func (f *RevocationFile) RevokeIssuedBefore(ctx context.Context, before time.Time) (store.Revocation, error) {
	return f.revokeBefore(ctx, "", before)
}

func (f *RevocationFile) revokeBefore(ctx context.Context, subject string, before time.Time) (store.Revocation, error) {
	if before = before.UTC(); before.Year() < 1971 || before.Year() > 9999 {
		return store.Revocation{}, fmt.Errorf("%w: the time before which tokens were issued must be in the years 1971 to 9999", store.ErrInvalid)
	}
	return f.append(ctx, store.Revocation{Subject: subject, IssuedBefore: before})
}

// append appends the revocation also if the file has it already: to find that
// out would cost reading the file.
func (f *RevocationFile) append(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		r.At = f.now().UTC()
		line, err := r.Line()
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		return t.Append(func(w io.Writer) error {
			_, err := w.Write(line)
			return err
		})
	})
	if err != nil {
		return store.Revocation{}, err
	}
	return r, nil
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *RevocationFile) List(ctx context.Context, filter store.RevocationFilter, page store.Page) ([]store.Revocation, store.Cursor, error) {
	var all []store.Revocation
	var d store.RevocationDecoder
	err := f.lines.Read(ctx, func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		all = append(all, *r)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	made := func(r *store.Revocation) store.Position {
		return store.Position{Made: r.At, ID: fmt.Sprintf("%q %q %q %d", r.TokenID, r.SessionID, r.Subject, r.IssuedBefore.UnixNano())}
	}
	return store.Paginate(all, made, filter.Match, page)
}
