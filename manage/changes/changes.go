// Package changes says what the audit log shows of a change of a record: never a digest
// or the hash of a password.
package changes

import (
	"keyward/store"
	"keyward/store/audit"
)

// The members of a record that the audit log shows when they change. What is not
// here is not shown: a digest, a password's hash, and what a later version adds.
var (
	shownOfKeys = []string{
		"name", "user", "project", "paths", "scopes", "rate", "prefix", "format", "hint", "expires", "revoked", "deleted",
		"not_before", "paused", "cidrs", "description", "owner",
	}
	shownOfUsers       = []string{"paths", "scopes", "disabled", "service", "must_change", "oidc_issuer", "oidc_subject", "deleted", "valid_since", "sessions_since"}
	shownOfRevocations = []string{"jti", "sid", "subject", "issued_before", "until", "reason"}
)

// Key returns what changed of a key.
func Key(before, after *store.KeyRecord) []audit.Change {
	return audit.ChangesOf(before, after, shownOfKeys)
}

// User returns what changed of a user, and says that a password was set, not which.
func User(before, after *store.UserRecord) []audit.Change {
	changes := audit.ChangesOf(before, after, shownOfUsers)
	if after.Password != before.Password && after.Deleted.IsZero() {
		changes = append(changes, audit.Change{Field: "password"})
	}
	return changes
}

// Revocation returns what a revocation says.
func Revocation(r *store.Revocation) []audit.Change {
	return audit.ChangesOf(&store.Revocation{}, r, shownOfRevocations)
}
