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
	// Resumed means that an earlier attempt ended without a result, or has outlived its
	// lease. The caller asks whether it made its change: if it did, the attempt is
	// finished; if not, the operation is carried out, with this RecordID. Such an attempt
	// is not abandoned: the earlier one may be about to make the change.
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
	if found, err := i.look(ctx, op, hash); err != nil || found != nil && found.answer != nil {
		return found.attempt(), err
	}
	var released func()
	err = i.db.write(ctx, powerCut, func(tx *transaction) error {
		var err error
		if released, err = i.db.unreleased.release(tx); err != nil {
			return err
		}
		found, err := i.find(tx.queries, op, hash)
		switch {
		case err != nil:
			return err
		case found == nil:
			attempt = Attempt{RecordID: op.RecordID}
			err = i.insert(tx, op, hash, number)
		case found.answer != nil:
			attempt = found.attempt()
			return nil
		case !tx.ended(found.owner):
			return ErrRunning
		default:
			attempt = found.attempt()
			_, err = tx.exec(`UPDATE state_idempotency SET owner = ?1, attempt = ?2 WHERE hash = ?3`, tx.owner, number, hash)
		}
		if err == nil {
			attempt.hash, attempt.number = hash, number
		}
		return err
	})
	if err == nil {
		released()
		return attempt, nil
	}
	if attempt.number == number {
		// The commit may have taken place without an answer, or after the context
		// ended. An attempt that is not known to its caller would be running for a day,
		// or for its lease.
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

// stored is what is stored of an operation.
type stored struct {
	record string
	owner  int64  // of the attempt
	answer []byte // nil: the attempt is not finished
}

// attempt returns the answer, or the attempt that resumes the stored one.
func (s *stored) attempt() Attempt {
	if s == nil {
		return Attempt{}
	}
	return Attempt{RecordID: s.record, Answer: s.answer, Resumed: s.answer == nil}
}

// look is find without a transaction.
func (i Idempotency) look(ctx context.Context, op Operation, hash []byte) (*stored, error) {
	q, done := i.db.storage.reader(ctx)
	defer done()
	return i.find(q, op, hash)
}

// find returns what is stored of an operation, or nil. ErrReused: that is of another
// request.
func (i Idempotency) find(q queries, op Operation, hash []byte) (*stored, error) {
	var found stored
	var digest []byte
	err := q.row(`SELECT record, digest, owner, answer FROM state_idempotency WHERE hash = ?1 AND expires > ?2`,
		hash, toMillis(i.db.now())).Scan(&found.record, &digest, &found.owner, &found.answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case string(digest) != string(op.Digest[:]):
		return nil, ErrReused
	}
	return &found, nil
}

// insert stores a new operation, in place of one that has expired.
func (i Idempotency) insert(tx *transaction, op Operation, hash []byte, number int64) error {
	var keys, size int
	err := tx.row(`SELECT count(*), coalesce(sum(size), 0) FROM state_idempotency WHERE caller = ?1`, op.Caller).Scan(&keys, &size)
	if err != nil {
		return err
	}
	if keys >= maxKeysPerCaller || size >= maxBytesPerCaller {
		return ErrFull
	}
	_, err = tx.exec(`INSERT INTO state_idempotency (hash, caller, digest, record, owner, attempt, answer, size, expires)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, 0, ?7)
		ON CONFLICT (hash) DO UPDATE SET caller = excluded.caller, digest = excluded.digest, record = excluded.record, owner = excluded.owner,
			attempt = excluded.attempt, answer = excluded.answer, size = excluded.size, expires = excluded.expires`,
		hash, op.Caller, op.Digest[:], op.RecordID, tx.owner, number, toMillis(i.db.now().Add(idempotencyTTL)))
	return err
}

// Finish stores the answer of an operation that was done. The answer has no
// secret: the caller makes it without. It may be lost in a power cut, after which
// the operation is resumed.
func (i Idempotency) Finish(ctx context.Context, a Attempt, answer []byte) error {
	if len(answer) == 0 || len(answer) > maxAnswer {
		return fmt.Errorf("finishing an idempotent request: %w: an answer of %d bytes", ErrInvalid, len(answer))
	}
	return i.endAttempt(ctx, "finishing", `UPDATE state_idempotency SET answer = ?3, size = ?4 WHERE `, a, answer, len(answer))
}

// Abandon forgets an operation that was refused and changed nothing: the same key
// may be used for another request.
func (i Idempotency) Abandon(ctx context.Context, a Attempt) error {
	return i.endAttempt(ctx, "abandoning", `DELETE FROM state_idempotency WHERE `, a)
}

// Release ends an attempt of which it is not known whether it changed something.
// The next request with the key resumes it. If that fails, the next operation of this
// process that begins releases it.
func (i Idempotency) Release(ctx context.Context, a Attempt) error {
	err := i.endAttempt(ctx, "releasing", releaseAttempt, a)
	i.db.unreleased.keep(a, err)
	return err
}

const (
	releaseAttempt = `UPDATE state_idempotency SET owner = 0, attempt = 0 WHERE `
	thisAttempt    = `hash = ?1 AND attempt = ?2 AND answer IS NULL`
)

// endAttempt changes the row of an attempt. ErrNotFound: it has ended already, or was
// taken over.
func (i Idempotency) endAttempt(ctx context.Context, doing, statement string, a Attempt, args ...any) error {
	n, err := i.db.changeOne(ctx, processExit, 0, statement+thisAttempt, append([]any{a.hash, a.number}, args...)...)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s an idempotent request: %w", doing, err)
	}
	return nil
}

// Interrupted takes over the attempts of processes that have ended, those whose lease
// is over in a shared database, and those that were released. The caller asks for each whether its record exists, and
// then calls Finish or Abandon.
func (i Idempotency) Interrupted(ctx context.Context) ([]Attempt, error) {
	number, err := randomNumber(i.db.rand)
	if err != nil {
		return nil, fmt.Errorf("taking over interrupted requests: %w", err)
	}
	var attempts []Attempt
	err = i.db.write(ctx, powerCut, func(tx *transaction) error {
		owners, err := unfinishedOwners(tx)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			if !tx.ended(owner) {
				continue
			}
			taken, err := takeOver(tx, owner, number)
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

func unfinishedOwners(tx *transaction) ([]int64, error) {
	rows, err := tx.rows(`SELECT DISTINCT owner FROM state_idempotency WHERE answer IS NULL`)
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

// takeOver makes the unfinished attempts of an owner those of the transaction's. They have a
// new number: whatever else of the earlier attempt is still under way ends nothing.
func takeOver(tx *transaction, owner, number int64) ([]Attempt, error) {
	rows, err := tx.rows(`UPDATE state_idempotency SET owner = ?1, attempt = ?2 WHERE answer IS NULL AND owner = ?3 RETURNING hash, record`,
		tx.owner, number, owner)
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
