package access

import (
	"strings"

	"keyward/manage/denials"
	"keyward/store"
	"keyward/store/audit"
)

// maxText is the length in bytes of what a caller can put in an audit entry as one
// text.
const maxText = 255

// Entry returns the audit entry of what the actor does to a record.
func (a Actor) Entry(action audit.Action, record string, changes []audit.Change) *audit.Entry {
	return &audit.Entry{
		Actor: a.name, ActorKey: a.key, Action: action, Record: record, Via: a.via, Address: a.address,
		RequestID: a.requestID, Operation: a.operation, Outcome: audit.Done, Changes: changes,
	}
}

// Act returns what a record keeps of what the actor did to it, with the reason that the
// actor gave.
func (a Actor) Act(reason string) *store.Act {
	return &store.Act{By: a.name, Via: a.via, Reason: reason}
}

// Refused returns the audit entry of what the actor was refused. The record is as the
// caller named it, who may have put a credential where an id or a name belongs.
func (a Actor) Refused(action audit.Action, record, reason string) *audit.Entry {
	e := a.Entry(action, bounded(denials.Redact(record)), nil)
	e.Outcome, e.Reason = audit.Refused, reason
	return e
}

// bounded returns what an audit entry has of a text that a caller chose: valid UTF-8,
// and not more than maxText bytes.
func bounded(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}
