package state

import "errors"

// What the storage refuses; each is matched by errors.Is. Every other error
// means that the storage is unavailable, never that the client may proceed. With
// database.ErrUncertain the change may have been made.
var (
	// ErrNotFound: there is no such session, code or attempt, or it has expired,
	// was used or was ended.
	ErrNotFound = errors.New("not found")
	// ErrInvalid is an argument that is not valid: an error in the program.
	ErrInvalid = errors.New("invalid argument")
	// ErrRunning: an attempt with this idempotency key has not ended yet.
	ErrRunning = errors.New("a request with this idempotency key is running")
	// ErrReused: the idempotency key belongs to another request.
	ErrReused = errors.New("idempotency key was used for another request")
	// ErrFull: the caller has as many idempotency keys as it may have in a day.
	ErrFull = errors.New("too many idempotency keys")
	// ErrWrongFile: the file is not a state file, and was not changed.
	ErrWrongFile = errors.New("not a state file")
	// ErrNewer: a newer version of Keyward changed the file's schema.
	ErrNewer = errors.New("written by a newer version of Keyward")
	// ErrNotPrivate: other users of the machine may open the file.
	ErrNotPrivate = errors.New("other users may access it; its mode must be 0600")
)
