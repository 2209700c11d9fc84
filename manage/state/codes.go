package state

import (
	"context"
	"database/sql"
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

func (p Purpose) valid() bool { return p == PurposeSetup || p == PurposePassword }

// Code is a one-time code that was not consumed.
type Code struct {
	Subject string // the user, or empty
	Issued  time.Time
	Expires time.Time
}

// Codes are one-time codes, which stand in links. There is at most one for each
// purpose and subject.
type Codes struct{ db *DB }

// Issue returns a new code, which is issued after that time, also by a clock that has
// gone back since. An older one for the same purpose and subject is no longer valid.
func (c Codes) Issue(ctx context.Context, purpose Purpose, subject string, ttl time.Duration, after time.Time) (authz.Secret, Code, error) {
	if !purpose.valid() || ttl <= 0 {
		return authz.Secret{}, Code{}, fmt.Errorf("issuing a code: %w: purpose %q for %s", ErrInvalid, purpose, ttl)
	}
	token, code, err := c.issue(ctx, purpose, subject, ttl, after)
	if err != nil {
		return authz.Secret{}, Code{}, fmt.Errorf("issuing a code: %w", err)
	}
	return token, code, nil
}

func (c Codes) issue(ctx context.Context, purpose Purpose, subject string, ttl time.Duration, after time.Time) (authz.Secret, Code, error) {
	token, hash, err := newToken(c.db.rand)
	if err != nil {
		return authz.Secret{}, Code{}, err
	}
	issued := toMillis(c.db.now())
	if floor := toMillis(after); !after.IsZero() && issued <= floor {
		issued = floor + 1
	}
	code := Code{Subject: subject, Issued: toTime(issued), Expires: toTime(issued + ttl.Milliseconds())}
	_, err = c.db.changeOne(ctx, powerCut, `INSERT INTO code (hash, purpose, subject, issued, expires) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (purpose, subject) DO UPDATE SET hash = excluded.hash, issued = excluded.issued, expires = excluded.expires`,
		hash, string(purpose), subject, issued, toMillis(code.Expires))
	return token, code, err
}

// Peek returns a code that is valid now, and leaves it valid.
func (c Codes) Peek(ctx context.Context, purpose Purpose, token authz.Secret) (Code, error) {
	hash, ok := hashToken(token)
	if !ok {
		return Code{}, fmt.Errorf("reading a code: %w", ErrNotFound)
	}
	code, err := scanCode(c.db.reading.QueryRowContext(ctx, `SELECT subject, issued, expires FROM code
		WHERE hash = ? AND purpose = ? AND expires > ?`, hash, string(purpose), toMillis(c.db.now())))
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
	err = c.db.write(ctx, powerCut, func(tx *sql.Tx) error {
		code, err = scanCode(tx.QueryRowContext(ctx, `DELETE FROM code
			WHERE hash = ? AND purpose = ? AND expires > ? RETURNING subject, issued, expires`, hash, string(purpose), toMillis(c.db.now())))
		return err
	})
	if err != nil {
		return Code{}, fmt.Errorf("consuming a code: %w", err)
	}
	return code, nil
}

func scanCode(row *sql.Row) (code Code, err error) {
	var issued, expires int64
	err = row.Scan(&code.Subject, &issued, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Code{}, err
	}
	code.Issued, code.Expires = toTime(issued), toTime(expires)
	return code, nil
}

// Cancel ends the code for this purpose and subject, if there is one: its subject
// was deleted, or has what the code was for.
func (c Codes) Cancel(ctx context.Context, purpose Purpose, subject string) error {
	_, err := c.db.changeOne(ctx, powerCut, `DELETE FROM code WHERE purpose = ? AND subject = ?`, string(purpose), subject)
	if err != nil {
		return fmt.Errorf("canceling a code: %w", err)
	}
	return nil
}
