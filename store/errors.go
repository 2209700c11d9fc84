package store

import "errors"

// What a store refuses; each is matched by errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrRevoked   = errors.New("revoked")
	ErrDuplicate = errors.New("there already")
	ErrInvalid   = errors.New("invalid")
	// ErrChanged is a record that has another version than the caller wants to change.
	ErrChanged = errors.New("changed meanwhile")
	// ErrAudit is a change that was not made because its audit entry cannot be written.
	ErrAudit = errors.New("the audit log cannot be written")
)
