package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	// idempotencyTTL is how long an idempotency key is kept.
	idempotencyTTL = 24 * time.Hour
	// Bounds of what one caller can have stored.
	maxKeysPerCaller   = 10_000
	maxBytesPerCaller  = 64 << 20
	maxAnswer          = 1 << 20
	maxIdempotencyText = 255 // of the caller, its key and the record's id, each
)

// Operation is a request with an Idempotency-Key.
type Operation struct {
	Caller string            // whose key it is: other callers may use the same
	Since  time.Time         // when the caller was made: one of the same name from another time is another
	Key    string            // the header's value
	Digest [sha256.Size]byte // of the request, without its password
	// RecordID is the id that the request's record will get, if it makes one.
	RecordID string
}

// Attempt is the right to carry out an operation, or the answer if that was done.
// One that has no answer must end with Finish, Abandon or Release.
type Attempt struct {
	// RecordID is the id that the record gets, or may have already.
	RecordID string
	// Resumed means that an earlier attempt ended without a result. The caller asks
	// whether the record exists: if it does, the operation was done and the attempt
	// is finished; if not, the operation is carried out, with this RecordID.
	Resumed bool
	// Answer is the stored answer if the operation was done, else nil.
	Answer []byte

	hash   []byte
	number int64
}

// Idempotency remembers operations, so that a client that did not receive the
// answer may send its request again.
type Idempotency struct{ db *DB }

// Begin starts an operation, before anything is changed, or returns the answer
// that it had. ErrRunning: another request is carrying it out. ErrReused: the key
// belongs to another request of this caller. ErrFull: the caller has too many.
func (i Idempotency) Begin(ctx context.Context, op Operation) (Attempt, error) {
	attempt, err := i.begin(ctx, op)
	if err != nil {
		return Attempt{}, fmt.Errorf("beginning an idempotent request: %w", err)
	}
	return attempt, nil
}

func (i Idempotency) begin(ctx context.Context, op Operation) (attempt Attempt, err error) {
	for _, text := range []string{op.Caller, op.Key} {
		if text == "" || len(text) > maxIdempotencyText || len(op.RecordID) > maxIdempotencyText {
			return Attempt{}, fmt.Errorf("%w: caller, key or record id is empty or too long", ErrInvalid)
		}
	}
	number, err := randomNumber(i.db.rand)
	if err != nil {
		return Attempt{}, err
	}
	hash := op.hash()
	// An answer needs no change. Whatever else this finds is read again below, where
	// nothing else changes it.
	if attempt, err := i.find(ctx, i.db.reading, op, hash); err != nil || attempt.Answer != nil {
		return attempt, err
	}
	err = i.db.write(ctx, powerCut, func(tx *sql.Tx) error {
		attempt, err = i.find(ctx, tx, op, hash)
		switch {
		case err != nil || attempt.Answer != nil:
			return err
		case attempt.Resumed:
			_, err = tx.ExecContext(ctx, `UPDATE idempotency SET owner = ?, attempt = ? WHERE hash = ?`, i.db.owner.number, number, hash)
		default:
			attempt.RecordID = op.RecordID
			err = i.insert(ctx, tx, op, hash, number)
		}
		attempt.hash, attempt.number = hash, number
		return err
	})
	if err == nil {
		return attempt, nil
	}
	if attempt.number == number {
		// The context may have ended during a commit that took place after all. An
		// attempt that is not known to its caller would be running for a day.
		_ = i.Release(context.WithoutCancel(ctx), attempt)
	}
	return Attempt{}, err
}

// hash returns the primary key of an operation. The caller's length separates its name
// from what follows.
func (op Operation) hash() []byte {
	text := binary.BigEndian.AppendUint32(nil, uint32(len(op.Caller)))
	text = binary.BigEndian.AppendUint64(append(text, op.Caller...), uint64(op.Since.UnixMicro()))
	text = append(text, op.Key...)
	sum := sha256.Sum256(text)
	return sum[:]
}

// find returns what is stored of an operation: its answer, that it can be
// resumed, or nothing. It returns an error if the operation must not begin.
func (i Idempotency) find(ctx context.Context, q queryer, op Operation, hash []byte) (Attempt, error) {
	var attempt Attempt
	var digest []byte
	var owner int64
	err := q.QueryRowContext(ctx, `SELECT record, digest, owner, answer FROM idempotency WHERE hash = ? AND expires > ?`,
		hash, toMillis(i.db.now())).Scan(&attempt.RecordID, &digest, &owner, &attempt.Answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Attempt{}, nil
	case err != nil:
		return Attempt{}, err
	case string(digest) != string(op.Digest[:]):
		return Attempt{}, ErrReused
	case attempt.Answer != nil:
		return attempt, nil
	case !i.db.owner.ended(owner):
		return Attempt{}, ErrRunning
	}
	attempt.Resumed = true
	return attempt, nil
}

// insert stores a new operation, in place of one that has expired.
func (i Idempotency) insert(ctx context.Context, tx *sql.Tx, op Operation, hash []byte, number int64) error {
	var keys, size int
	err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM idempotency WHERE caller = ?`, op.Caller).Scan(&keys, &size)
	if err != nil {
		return err
	}
	if keys >= maxKeysPerCaller || size >= maxBytesPerCaller {
		return ErrFull
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO idempotency (hash, caller, digest, record, owner, attempt, answer, size, expires)
		VALUES (?, ?, ?, ?, ?, ?, NULL, 0, ?)`,
		hash, op.Caller, op.Digest[:], op.RecordID, i.db.owner.number, number, toMillis(i.db.now().Add(idempotencyTTL)))
	return err
}

// Finish stores the answer of an operation that was done. The answer has no
// secret: the caller makes it without. It may be lost in a power cut, after which
// the operation is resumed.
func (i Idempotency) Finish(ctx context.Context, a Attempt, answer []byte) error {
	if len(answer) == 0 || len(answer) > maxAnswer {
		return fmt.Errorf("finishing an idempotent request: %w: an answer of %d bytes", ErrInvalid, len(answer))
	}
	return i.endAttempt(ctx, "finishing", `UPDATE idempotency SET answer = ?, size = ? WHERE `, a, answer, len(answer))
}

// Abandon forgets an operation that was refused and changed nothing: the same key
// may be used for another request.
func (i Idempotency) Abandon(ctx context.Context, a Attempt) error {
	return i.endAttempt(ctx, "abandoning", `DELETE FROM idempotency WHERE `, a)
}

// Release ends an attempt of which it is not known whether it changed something.
// The next request with the key resumes it.
func (i Idempotency) Release(ctx context.Context, a Attempt) error {
	return i.endAttempt(ctx, "releasing", `UPDATE idempotency SET owner = 0, attempt = 0 WHERE `, a)
}

// endAttempt changes the row of an attempt. ErrNotFound: it has ended already.
func (i Idempotency) endAttempt(ctx context.Context, doing, statement string, a Attempt, args ...any) error {
	n, err := i.db.changeOne(ctx, processExit, 0, statement+`hash = ? AND attempt = ? AND answer IS NULL`, append(args, a.hash, a.number)...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s an idempotent request: %w", doing, err)
	}
	return nil
}

// Interrupted takes over the attempts of processes that have ended, and those
// that were released. The caller asks for each whether its record exists, and
// then calls Finish or Abandon.
func (i Idempotency) Interrupted(ctx context.Context) ([]Attempt, error) {
	number, err := randomNumber(i.db.rand)
	if err != nil {
		return nil, fmt.Errorf("taking over interrupted requests: %w", err)
	}
	var attempts []Attempt
	err = i.db.write(ctx, powerCut, func(tx *sql.Tx) error {
		owners, err := unfinishedOwners(ctx, tx)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			if !i.db.owner.ended(owner) {
				continue
			}
			taken, err := i.takeOver(ctx, tx, owner, number)
			if err != nil {
				return err
			}
			attempts = append(attempts, taken...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("taking over interrupted requests: %w", err)
	}
	return attempts, nil
}

func unfinishedOwners(ctx context.Context, tx *sql.Tx) ([]int64, error) {
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT owner FROM idempotency WHERE answer IS NULL`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	var owners []int64
	for rows.Next() {
		var owner int64
		if err := rows.Scan(&owner); err != nil {
			return nil, err
		}
		owners = append(owners, owner)
	}
	return owners, rows.Err()
}

// takeOver makes the unfinished attempts of an owner those of this DB. They have a
// new number: whatever else of the earlier attempt is still under way ends nothing.
func (i Idempotency) takeOver(ctx context.Context, tx *sql.Tx, owner, number int64) ([]Attempt, error) {
	rows, err := tx.QueryContext(ctx, `UPDATE idempotency SET owner = ?, attempt = ? WHERE answer IS NULL AND owner = ? RETURNING hash, record`,
		i.db.owner.number, number, owner)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	var attempts []Attempt
	for rows.Next() {
		a := Attempt{Resumed: true, number: number}
		if err := rows.Scan(&a.hash, &a.RecordID); err != nil {
			return nil, err
		}
		attempts = append(attempts, a)
	}
	return attempts, rows.Err()
}
