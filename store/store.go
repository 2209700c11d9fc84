package store

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/store/audit"
)

// Lister lists records of one kind, R, of which a filter, F, selects some.
type Lister[R, F any] interface {
	// List returns a page of the records by [Position], without those that were
	// deleted, and where the next page begins: "" if there is none. A cursor that no
	// List returned is ErrInvalid.
	List(ctx context.Context, filter F, page Page) ([]R, Cursor, error)
}

// Reader reads records of one kind.
type Reader[R, F any] interface {
	Lister[R, F]
	// Get returns the record with that id. One that was deleted is ErrNotFound.
	Get(ctx context.Context, id string) (R, error)
}

// KeyReader reads keys.
type KeyReader interface {
	Reader[KeyRecord, KeyFilter]
	// FindBySecret returns the record of the key whose secret this is. A secret of
	// no key is ErrNotFound. One that was rotated away and whose grace is over is
	// ErrRevoked, with the record. Whether the key itself was revoked or has expired
	// the record says.
	FindBySecret(ctx context.Context, secret authz.Secret) (KeyRecord, error)
	// Deleted returns the record of a key that was deleted. Any other key is ErrNotFound.
	Deleted(ctx context.Context, id string) (KeyRecord, error)
	// LatestKeys returns when the latest key of each of the users was made, also if it
	// was deleted; the zero time for a user without keys.
	LatestKeys(ctx context.Context, users []string) (map[string]time.Time, error)
}

// UserReader reads users. Their password hashes are left out.
type UserReader interface {
	Reader[UserRecord, UserFilter]
	// Ended returns when the last user of each name was deleted, also where there is
	// another one now.
	Ended(ctx context.Context) (EndedUsers, error)
}

// RevocationReader reads revocations.
type RevocationReader interface {
	Lister[Revocation, RevocationFilter]
}

// Editor changes records of one kind, R. Every change comes with its entry in the
// audit log. An import of a key whose secret another key has is a [DuplicateKeyError].
// What ended with a deleted user stays ended for the next one of that name.
type Editor[R any] interface {
	// Edit calls edit while no one else changes records of the kind. If edit returns
	// nil, all that it put is durable together with the entries, or nothing is and the
	// error says why. If edit returns an error, nothing has changed, and Edit returns
	// it. edit may be called again, with another Tx. ctx ends the wait for others.
	//
	// Where the entries cannot be written the error is [ErrAudit], unless all of them
	// are of actions that end something: see [audit.Action.Ends].
	Edit(ctx context.Context, edit func(Tx[R]) error) error
}

// Tx is the transaction of one Edit.
type Tx[R any] interface {
	// Get returns the record as it is now. One that is not there is ErrNotFound, and
	// so is one that was deleted.
	Get(id string) (R, error)
	// Each calls visit with every record that Get would return. The record is valid
	// until visit returns.
	Each(visit func(*R) error) error
	// Put adds the record to what is written, and the entry, whose number and time the
	// store gives: the record gets the same number.
	Put(r *R, e *audit.Entry)
}

// AuditLog is the audit log of a store.
type AuditLog interface {
	// Append adds entries of what changes nothing that is kept, such as a refusal: see
	// [audit.Action.Changes]. It gives them their number and time. If it returns
	// nil they are durable; the error is [ErrAudit]. Before it adds them, none too, it
	// closes entries of changes that a writer that died did not make.
	Append(ctx context.Context, entries ...*audit.Entry) error
	// Change writes the entry of a change that is not one of a record, and calls change
	// with its number, which what is changed is to keep: so an entry whose change was not
	// made can be closed, as those of records are. What only ends something goes on
	// although the log cannot be written, with the number zero.
	Change(ctx context.Context, e *audit.Entry, change func(seq int64) error) error
	// Note is Append without waiting until the entries are durable: they become so with
	// the next that is waited for.
	Note(ctx context.Context, entries ...*audit.Entry) error
	Lister[audit.Entry, AuditFilter]
}

// AllRecords is a store of the records of all kinds.
type AllRecords interface {
	Keys() KeyReader
	KeyEditor() Editor[KeyRecord]
	Users() UserReader
	UserEditor() Editor[UserRecord]
	Revocations() RevocationReader
	RevocationEditor() Editor[Revocation]
	Projects() Reader[Project, ProjectFilter]
	ProjectEditor() Editor[Project]
	Clients() Reader[Client, ClientFilter]
	ClientEditor() Editor[Client]
}
