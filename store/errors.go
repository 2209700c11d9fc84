package store

import (
	"errors"
	"fmt"
)

// What a store refuses; each is matched by errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrRevoked   = errors.New("revoked")
	ErrDuplicate = errors.New("there already")
	ErrInvalid   = errors.New("invalid")
	// ErrChanged is a record that has another version than the caller wants to change.
	ErrChanged = errors.New("changed meanwhile")
	// ErrUncertain is a change of which the store did not say whether it was made.
	ErrUncertain = errors.New("it is not known whether the change was made")
	// ErrAudit is a change that was not made because its audit entry cannot be written.
	ErrAudit = errors.New("the audit log cannot be written")
	// ErrUnsupported is a record that a newer version of Keyward wrote and that this
	// one must not interpret. It denies, and of its changes only those are possible
	// that end it.
	ErrUnsupported = errors.New("written by a newer version of Keyward, which this one does not support")
)

// DuplicateKeyError is ErrDuplicate of a key that was put: another one has its secret.
type DuplicateKeyError struct {
	Put   int    // the number of the put in its edit, from 0
	Owner string // the id of the key that has the secret
}

// Error implements error.
func (e *DuplicateKeyError) Error() string { return fmt.Sprintf("key %s: %v", e.Owner, ErrDuplicate) }

// Unwrap returns ErrDuplicate.
func (e *DuplicateKeyError) Unwrap() error { return ErrDuplicate }
