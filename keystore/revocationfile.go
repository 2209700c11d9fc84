package keystore

import (
	"fmt"
	"io"
	"time"

	"keyward/authz"
	"keyward/store/journal"
)

// RevocationFileConfig is which revocations file a RevocationFile writes, and with what.
type RevocationFileConfig struct {
	Path      string
	StartOver bool             // begin a new file in place of a damaged one
	FS        journal.FS       // nil: the operating system's
	Now       func() time.Time // nil: time.Now
}

// RevocationFile writes a revocations file, with the guarantees of [Journal].
// It never removes a line: a revocation is final.
type RevocationFile struct {
	store journal.Lines
	now   func() time.Time
}

// NewRevocationFile touches nothing; the file is made by the first revocation.
func NewRevocationFile(cfg RevocationFileConfig) *RevocationFile {
	f := &RevocationFile{now: cfg.Now}
	f.store = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: revocationsHeader().of()}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// RevokeToken ends the token with that id (its jti claim). An id with which no
// token is accepted is ErrInvalid: nothing would be revoked.
func (f *RevocationFile) RevokeToken(jti string) (Revocation, error) {
	if !authz.IsClaimText(jti) {
		return Revocation{}, fmt.Errorf("%w: a token's id is %s", ErrInvalid, claimText)
	}
	return f.append(Revocation{TokenID: jti})
}

const claimText = "1 to 255 bytes of UTF-8 without spaces at the ends, control and format characters"

// RevokeSubject ends the subject's tokens that were issued before that time. A
// subject with which no token is accepted is ErrInvalid.
func (f *RevocationFile) RevokeSubject(subject string, before time.Time) (Revocation, error) {
	if !authz.IsClaimText(subject) {
		return Revocation{}, fmt.Errorf("%w: a subject is %s", ErrInvalid, claimText)
	}
	return f.revokeBefore(subject, before)
}

// RevokeIssuedBefore ends all tokens that were issued before that time.
func (f *RevocationFile) RevokeIssuedBefore(before time.Time) (Revocation, error) {
	return f.revokeBefore("", before)
}

func (f *RevocationFile) revokeBefore(subject string, before time.Time) (Revocation, error) {
	if before = before.UTC(); before.Year() < 1971 || before.Year() > 9999 {
		return Revocation{}, fmt.Errorf("%w: the time before which tokens were issued must be in the years 1971 to 9999", ErrInvalid)
	}
	return f.append(Revocation{Subject: subject, IssuedBefore: before})
}

// append appends the revocation also if the file has it already: to find that
// out would cost reading the file.
func (f *RevocationFile) append(r Revocation) (Revocation, error) {
	err := f.store.Write(nil, func(t *journal.LineTransaction) error {
		r.At = f.now().UTC()
		line, err := r.Line()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return t.Append(func(w io.Writer) error {
			_, err := w.Write(line)
			return err
		})
	})
	if err != nil {
		return Revocation{}, err
	}
	return r, nil
}
