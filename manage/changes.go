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
		"not_before", "paused", "cidrs", "description", "owner", "ending",
	}
	shownOfUsers = []string{"paths", "scopes", "disabled", "deleted", "valid_since", "sessions_since"}
)

func keyChanges(before, after *store.KeyRecord) []audit.Change {
	return changesOf(before, after, shownOfKeys)
}

func userChanges(before, after *store.UserRecord) []audit.Change {
	return changesOf(before, after, shownOfUsers)
}

// changesOf are the shown members that differ between two records.
func changesOf(before, after any, shown []string) []audit.Change {
	from, to := membersOf(before), membersOf(after)
	var changes []audit.Change
	for _, field := range shown {
		if bytes.Equal(from[field], to[field]) || isNothing(from[field]) && isNothing(to[field]) {
			continue
		}
		changes = append(changes, audit.Change{Field: field, From: from[field], To: to[field]})
	}
	return changes
}

// isNothing reports whether the value is that of a record's zero value.
func isNothing(value json.RawMessage) bool {
	return slices.Contains([]string{"", `""`, "null", "false"}, string(value))
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
