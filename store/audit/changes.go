package audit

import (
	"bytes"
	"encoding/json"
	"slices"
)

// ChangesOf returns the shown members that differ between two records. What is not
// shown is not in the log: a digest, a password's hash, and what a later version adds.
func ChangesOf(before, after any, shown []string) []Change {
	from, to := membersOf(before), membersOf(after)
	var changes []Change
	for _, field := range shown {
		if c := (Change{Field: field, From: orNothing(from[field]), To: orNothing(to[field])}); !bytes.Equal(c.From, c.To) {
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
