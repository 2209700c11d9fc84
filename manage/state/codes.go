package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
)

// Purpose says what a code may be used for. The zero Purpose is none.
type Purpose string

// The purposes of codes.
const (
	PurposeSetup    Purpose = "setup"    // to become the first administrator
	PurposePassword Purpose = "password" // to set the password of the subject
)

// purposeUsed is that of the mark that something was used, which no code finds.
const purposeUsed Purpose = "used"

func (p Purpose) valid() bool { return p == PurposeSetup || p == PurposePassword }

// Code is a one-time code that was not consumed.
type Code struct {
	Subject string // the user, or empty
	Version string // of the subject's record when the code was issued, or empty
	Expires time.Time
}

// Codes are one-time codes, which stand in links. There is at most one for each
// purpose and subject.
type Codes struct{ db *DB }

// Issue returns a new code for the subject in that version of its record. An older one
// for the same purpose and subject is no longer valid. entry is the number of its entry in
// the audit log, zero for none.
func (c Codes) Issue(ctx context.Context, entry int64, purpose Purpose, subject, version string, ttl time.Duration) (authz.Secret, Code, error) {
	if !purpose.valid() || ttl <= 0 {
		return authz.Secret{}, Code{}, fmt.Errorf("issuing a code: %w: purpose %q for %s", ErrInvalid, purpose, ttl)
	}
	token, hash, err := newToken(c.db.rand)
	if err != nil {
		return authz.Secret{}, Code{}, fmt.Errorf("issuing a code: %w", err)
	}
	expires := toMillis(c.db.now().Add(ttl))
	_, err = c.db.changeOne(ctx, powerCut, entry, `INSERT INTO state_code (hash, purpose, subject, version, expires) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (purpose, subject) DO UPDATE SET hash = excluded.hash, version = excluded.version, expires = excluded.expires`,
		hash, string(purpose), subject, version, expires)
	if err != nil {
		return authz.Secret{}, Code{}, fmt.Errorf("issuing a code: %w", err)
	}
	return token, Code{Subject: subject, Version: version, Expires: toTime(expires)}, nil
}

// Peek returns a code that is valid now, and leaves it valid.
func (c Codes) Peek(ctx context.Context, purpose Purpose, token authz.Secret) (Code, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Code{}, fmt.Errorf("reading a code: %w", ErrNotFound)
	}
	q, done := c.db.storage.reader(ctx)
	defer done()
	code, err := scanCode(q.row(`SELECT subject, version, expires FROM state_code
		WHERE hash = ?1 AND purpose = ?2 AND expires > ?3`, hash, string(purpose), toMillis(c.db.now())))
	if err != nil {
		return Code{}, fmt.Errorf("reading a code: %w", err)
	}
	return code, nil
}

// Consume returns a code that is valid now, and ends it. One of several calls
// with the same code succeeds, in all processes and across a power cut. The
// caller checks everything else before: a code that was consumed for nothing must
// be issued again.
func (c Codes) Consume(ctx context.Context, purpose Purpose, token authz.Secret) (code Code, err error) {
	hash, ok := hashToken(token)
	if !ok {
		return Code{}, fmt.Errorf("consuming a code: %w", ErrNotFound)
	}
	err = c.db.write(ctx, powerCut, func(tx *transaction) error {
		code, err = scanCode(tx.row(`DELETE FROM state_code
			WHERE hash = ?1 AND purpose = ?2 AND expires > ?3 RETURNING subject, version, expires`, hash, string(purpose), toMillis(c.db.now())))
		return err
	})
	if err != nil {
		return Code{}, fmt.Errorf("consuming a code: %w", err)
	}
	return code, nil
}

func scanCode(row *sql.Row) (code Code, err error) {
	var expires int64
	err = row.Scan(&code.Subject, &code.Version, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Code{}, err
	}
	code.Expires = toTime(expires)
	return code, nil
}

// Cancel ends the code for this purpose and subject, if there is one: its subject
// was deleted, or has what the code was for.
func (c Codes) Cancel(ctx context.Context, purpose Purpose, subject string) error {
	_, err := c.db.changeOne(ctx, powerCut, 0, `DELETE FROM state_code WHERE purpose = ?1 AND subject = ?2`, string(purpose), subject)
	if err != nil {
		return fmt.Errorf("canceling a code: %w", err)
	}
	return nil
}

// MarkUsed marks as used, until that time, what has the id: a hash of a secret of at
// least 128 random bits. It reports whether it was not marked yet. Of several calls with
// the same id one is the first, in all processes and across a power cut.
func (c Codes) MarkUsed(ctx context.Context, id [sha256.Size]byte, until time.Time) (first bool, err error) {
	n, err := c.db.changeOne(ctx, powerCut, 0, `INSERT INTO state_code (hash, purpose, subject, version, expires) VALUES (?1, ?2, ?3, '', ?4)
		ON CONFLICT DO NOTHING`, id[:], string(purposeUsed), hex.EncodeToString(id[:]), toMillis(until))
	if err != nil {
		return false, fmt.Errorf("marking as used: %w", err)
	}
	return n == 1, nil
}
