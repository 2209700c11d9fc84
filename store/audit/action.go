package audit

import (
	"slices"
	"strings"
)

// Action is what an actor did or tried to do. The actions are a closed set, which
// docs/managing.md lists: KIND.VERB, where KIND is the kind of the record.
type Action string

// The actions.
const (
	KeyCreate   Action = "key.create"
	KeyImport   Action = "key.import"
	KeyUpdate   Action = "key.update"
	KeyRotate   Action = "key.rotate"
	KeyEndGrace Action = "key.end_grace"
	KeyPause    Action = "key.pause"
	KeyResume   Action = "key.resume"
	KeyRevoke   Action = "key.revoke"
	KeyDelete   Action = "key.delete"

	UserCreate   Action = "user.create"
	UserImport   Action = "user.import"
	UserUpdate   Action = "user.update"
	UserPassword Action = "user.password"
	UserDisable  Action = "user.disable"
	UserEnd      Action = "user.end"
	UserDelete   Action = "user.delete"

	ProjectCreate Action = "project.create"
	ProjectUpdate Action = "project.update"
	ProjectDelete Action = "project.delete"

	ClientCreate  Action = "client.create"
	ClientUpdate  Action = "client.update"
	ClientRotate  Action = "client.rotate"
	ClientDisable Action = "client.disable"
	ClientDelete  Action = "client.delete"

	RevocationCreate Action = "revocation.create"

	LinkCreate Action = "link.create"
	SessionEnd Action = "session.end"

	ConsentGive     Action = "consent.give"
	ConsentWithdraw Action = "consent.withdraw"

	SigningKeyRotate Action = "signing_key.rotate"
	SigningKeyRevoke Action = "signing_key.revoke" // all but a new one

	StoreAcceptRestore Action = "store.accept_restore"

	LimitReset Action = "limit.reset"
	Read       Action = "read"
	Request    Action = "request" // that was refused before it came to another action

	// What clients do that are not authenticated.
	UnknownCredential Action = "unknown.credential"
	UnknownRequest    Action = "unknown.request" // that cannot be understood
)

// Actions are all actions.
func Actions() []Action {
	return []Action{
		KeyCreate, KeyImport, KeyUpdate, KeyRotate, KeyEndGrace, KeyPause, KeyResume, KeyRevoke, KeyDelete,
		UserCreate, UserImport, UserUpdate, UserPassword, UserDisable, UserEnd, UserDelete,
		ProjectCreate, ProjectUpdate, ProjectDelete, ClientCreate, ClientUpdate, ClientRotate, ClientDisable, ClientDelete,
		RevocationCreate, LinkCreate, SessionEnd, ConsentGive, ConsentWithdraw, SigningKeyRotate, SigningKeyRevoke, StoreAcceptRestore, LimitReset, Read, Request, UnknownCredential, UnknownRequest,
	}
}

func (a Action) valid() bool { return slices.Contains(Actions(), a) }

// Kind is the kind of record that the action is about, such as key.
func (a Action) Kind() string {
	kind, _, _ := strings.Cut(string(a), ".")
	return kind
}

// Changes reports whether the action, when it is done, changes a record, a session, a
// link or a consent, which keeps the number of the entry. Others change counters, or nothing.
func (a Action) Changes() bool {
	return slices.Contains([]string{"key", "user", "project", "client", "revocation", "link", "session", "consent"}, a.Kind())
}

// Ends reports whether the action only takes away what a credential may do. It goes
// on when the audit log cannot be written: a leaked key must not stay in force for
// the want of an entry.
func (a Action) Ends() bool {
	switch a {
	case KeyEndGrace, KeyPause, KeyRevoke, KeyDelete, UserDisable, UserEnd, UserDelete, ClientDisable, ClientDelete, RevocationCreate, SessionEnd, SigningKeyRevoke:
		return true
	default:
		return false
	}
}
