package manage

import (
	"bytes"
	"encoding/json"
	"slices"

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
	shownOfUsers       = []string{"paths", "scopes", "disabled", "service", "must_change", "deleted", "valid_since", "sessions_since"}
	shownOfRevocations = []string{"jti", "sid", "subject", "issued_before", "until", "reason"}
)

func keyChanges(before, after *store.KeyRecord) []audit.Change {
	return changesOf(before, after, shownOfKeys)
}

// userChanges says that a password was set, not which.
func userChanges(before, after *store.UserRecord) []audit.Change {
	changes := changesOf(before, after, shownOfUsers)
	if after.Password != before.Password && after.Deleted.IsZero() {
		changes = append(changes, audit.Change{Field: "password"})
	}
	return changes
}

func revocationChanges(r *store.Revocation) []audit.Change {
	return changesOf(&store.Revocation{}, r, shownOfRevocations)
}

// changesOf are the shown members that differ between two records.
func changesOf(before, after any, shown []string) []audit.Change {
	from, to := membersOf(before), membersOf(after)
	var changes []audit.Change
	for _, field := range shown {
		if c := (audit.Change{Field: field, From: orNothing(from[field]), To: orNothing(to[field])}); !bytes.Equal(c.From, c.To) {
			changes = append(changes, c)
		}
	}
	return changes
}

// orNothing returns nil for the value that a member has in a zero record.
func orNothing(value json.RawMessage) json.RawMessage {
	if slices.Contains([]string{`""`, "null", "false"}, string(value)) {
		return nil
	}
	return value
}

func membersOf(record any) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	text, err := json.Marshal(record)
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		return nil // a record that cannot be encoded is not written either
	}
	return members
}
