package state

import (
	"errors"
	"sync"
)

// maxUnreleased bounds the attempts that are remembered. Others are taken over when their
// lease, or this process, ends.
const maxUnreleased = 10_000

// unreleased has the attempts of this process that have ended while the database did not
// answer. Without it, a client that sends its request again would wait for an attempt that
// is not carried out, until its lease is over.
type unreleased struct {
	mu       sync.Mutex
	attempts []Attempt
}

// keep remembers an attempt whose end failed with err.
func (u *unreleased) keep(a Attempt, err error) {
	if err == nil || errors.Is(err, ErrNotFound) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.attempts) < maxUnreleased {
		u.attempts = append(u.attempts, a)
	}
}

// release releases the attempts in a transaction. done is to be called if that is
// committed.
func (u *unreleased) release(tx *transaction) (done func(), err error) {
	u.mu.Lock()
	attempts := u.attempts
	u.mu.Unlock()
	for _, a := range attempts {
		if _, err := tx.exec(releaseAttempt+thisAttempt, a.hash, a.number); err != nil {
			return nil, err
		}
	}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.attempts = u.attempts[len(attempts):] // none but this removes any, within db.write
	}, nil
}
