package manage

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

func keyChanges(before, after *store.KeyRecord) []audit.Change {
	return audit.ChangesOf(before, after, shownOfKeys)
}

// userChanges says that a password was set, not which.
func userChanges(before, after *store.UserRecord) []audit.Change {
	changes := audit.ChangesOf(before, after, shownOfUsers)
	if after.Password != before.Password && after.Deleted.IsZero() {
		changes = append(changes, audit.Change{Field: "password"})
	}
	return changes
}

func revocationChanges(r *store.Revocation) []audit.Change {
	return audit.ChangesOf(&store.Revocation{}, r, shownOfRevocations)
}
