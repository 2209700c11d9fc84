package store

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/store/audit"
)

// Keys are the keys of a store.
type Keys interface {
	KeyReader
	KeyWriter
}

// Users are the users of a store.
type Users interface {
	UserReader
	UserWriter
}

// Revocations are the revocations of a store.
type Revocations interface {
	RevocationReader
	RevocationWriter
}

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
}

// KeyWriter changes keys. Every method is one durable step: if it returns nil,
// what it did survives a power cut; if it returns an error, nothing has changed.
// A change of a key whose version is not ifMatch is ErrChanged; ifMatch may be
// [AnyVersion].
type KeyWriter interface {
	// Create makes a key. The secret is only in what is returned.
	Create(ctx context.Context, p KeyParams) (KeyRecord, authz.Secret, error)
	// Import adds keys of another system: all of them, or none. A key that is
	// twice among them, or in the store already, is ErrDuplicate; parameters that no
	// new key can have are ErrInvalid.
	Import(ctx context.Context, keys []ImportedKey) ([]KeyRecord, error)
	// Rotate gives a key a new secret. The old one stays valid for the grace, and
	// earlier ones for what is left of theirs; without a grace, all of them end in
	// the same step in which the new one begins. A key that has ended is ErrRevoked.
	Rotate(ctx context.Context, id string, ifMatch Version, grace time.Duration) (KeyRecord, authz.Secret, error)
	// Revoke ends a key, its secrets in a grace included. Revoking a key that has
	// ended changes nothing and is not an error.
	Revoke(ctx context.Context, id string, ifMatch Version) (KeyRecord, error)
	// Delete ends a key as Revoke does, and hides it from Get and List.
	Delete(ctx context.Context, id string, ifMatch Version) (KeyRecord, error)
}

// UserReader reads users. Their password hashes are left out.
type UserReader interface {
	Reader[UserRecord, UserFilter]
	// Ended returns when the last user of each name was deleted, also where there is
	// another one now.
	Ended(ctx context.Context) (EndedUsers, error)
}

// UserWriter changes users, with the guarantees of [KeyWriter].
type UserWriter interface {
	// Set makes a user, or changes what the patch gives of one. A new user has no
	// scopes, may go anywhere and has no password; its name must pass
	// [CheckUserName]. Keys and tokens of a deleted user of that name are not the new
	// one's.
	Set(ctx context.Context, name string, ifMatch Version, patch UserPatch) (UserRecord, error)
	// Import takes over users of another system: all of them, or none. Of those who
	// are there already only the password changes.
	Import(ctx context.Context, users []ImportedUser) ([]UserRecord, error)
	// Delete ends a user, and with it, in the same step, all keys made and all tokens
	// issued for the name until now, or until latestKey if that is later: the time of
	// the user's latest key may be that of a clock that is ahead of this one. They
	// stay ended when a user of that name is made again. A user who is not there is
	// ErrNotFound.
	Delete(ctx context.Context, name string, ifMatch Version, latestKey time.Time) error
}

// RevocationReader reads revocations.
type RevocationReader interface {
	Lister[Revocation, RevocationFilter]
}

// RevocationWriter revokes tokens, with the guarantees of [KeyWriter]. A
// revocation is final.
type RevocationWriter interface {
	// RevokeToken ends the token with that id (its jti claim). An id with which no
	// token is accepted is ErrInvalid: nothing would be revoked.
	RevokeToken(ctx context.Context, jti string) (Revocation, error)
	// RevokeSubject ends the subject's tokens that were issued before that time. A
	// subject with which no token is accepted is ErrInvalid.
	RevokeSubject(ctx context.Context, subject string, before time.Time) (Revocation, error)
	// RevokeIssuedBefore ends all tokens that were issued before that time.
	RevokeIssuedBefore(ctx context.Context, before time.Time) (Revocation, error)
}

// Editor changes records of one kind, R. Every change comes with its entry in the
// audit log.
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
	// Append adds entries of what is not a change of a record, such as a refusal: see
	// [audit.Action.ChangesRecord]. It gives them their number and time. If it returns
	// nil they are durable; the error is [ErrAudit]. Before it adds them, none too, it
	// closes entries of changes that a writer that died did not make.
	Append(ctx context.Context, entries ...*audit.Entry) error
	Lister[audit.Entry, AuditFilter]
}
