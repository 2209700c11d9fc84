package keystore

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"keyward/authz"
	"keyward/store/journal"
)

const errRevocation journal.LineError = "not one of: a jti, a subject with issued_before, issued_before alone"

// Revocation is one line of a revocations file. It names one token by its id,
// or one subject's tokens, or without a subject everyone's, by when they were issued.
type Revocation struct {
	TokenID      string    `json:"jti,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	At           time.Time `json:"at"`
}

// read takes a line apart and checks all that stands in it.
func (r *Revocation) read(line []byte) error {
	if !utf8.Valid(line) {
		return journal.ErrUTF8
	}
	*r = Revocation{}
	seen := map[string]bool{}
	s := journal.NewScanner(line)
	err := s.Object(func(name []byte) error {
		if seen[string(name)] {
			return journal.ErrTwice
		}
		seen[string(name)] = true
		switch string(name) {
		case "jti":
			return s.ReadTextString(&r.TokenID)
		case "subject":
			return s.ReadTextString(&r.Subject)
		case "issued_before":
			return s.ReadTime(&r.IssuedBefore)
		case "at":
			return s.ReadTime(&r.At)
		default:
			return journal.ErrUnknownMember
		}
	})
	switch {
	case err != nil:
		return err
	case !s.End():
		return journal.ErrSyntax
	case r.At.IsZero():
		return errNoTime
	// An empty name would be taken for one that is not there, and end everyone's tokens.
	case seen["jti"] && r.TokenID == "" || seen["subject"] && r.Subject == "":
		return errRevocation
	case seen["jti"] == seen["issued_before"] || seen["jti"] && seen["subject"]:
		return errRevocation
	}
	return nil
}

// line makes the revocation's line and reads it back, as Record.line does.
func (r *Revocation) line() ([]byte, error) {
	text, err := encodeLine(r)
	if err != nil {
		return nil, err
	}
	var back Revocation
	if err := back.read(text); err != nil {
		return nil, err
	}
	return text, nil
}

// RevocationFileConfig says which revocations file a RevocationFile writes, and with what.
type RevocationFileConfig struct {
	Path      string
	StartOver bool             // begin a new file in place of a damaged one
	FS        journal.FS       // nil: the operating system's
	Now       func() time.Time // nil: time.Now
}

// RevocationFile writes a revocations file, with the guarantees of [Journal].
// It never takes a line out: a revocation is for good.
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

// RevokeToken ends the token of that id (its jti claim). One that no token is
// accepted with is ErrInvalid: nothing would be revoked.
func (f *RevocationFile) RevokeToken(jti string) (Revocation, error) {
	if !authz.IsClaimText(jti) {
		return Revocation{}, fmt.Errorf("%w: a token's id is %s", ErrInvalid, claimText)
	}
	return f.append(Revocation{TokenID: jti})
}

const claimText = "1 to 255 bytes of UTF-8 without spaces at the ends, control and format characters"

// RevokeSubject ends the subject's tokens that were issued before that time. A
// subject that no token is accepted with is ErrInvalid.
func (f *RevocationFile) RevokeSubject(subject string, before time.Time) (Revocation, error) {
	if !authz.IsClaimText(subject) {
		return Revocation{}, fmt.Errorf("%w: a subject is %s", ErrInvalid, claimText)
	}
	return f.revokeBefore(subject, before)
}

// RevokeIssuedBefore ends everyone's tokens that were issued before that time.
func (f *RevocationFile) RevokeIssuedBefore(before time.Time) (Revocation, error) {
	return f.revokeBefore("", before)
}

func (f *RevocationFile) revokeBefore(subject string, before time.Time) (Revocation, error) {
	if before = before.UTC(); before.Year() < 1971 || before.Year() > 9999 {
		return Revocation{}, fmt.Errorf("%w: the time before which tokens were issued must be in the years 1971 to 9999", ErrInvalid)
	}
	return f.append(Revocation{Subject: subject, IssuedBefore: before})
}

// append says what the caller asked for also where the file says so already:
// finding that out would cost reading it.
func (f *RevocationFile) append(r Revocation) (Revocation, error) {
	err := f.store.Write(nil, func(t *journal.LineTransaction) error {
		r.At = f.now().UTC()
		line, err := r.line()
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
