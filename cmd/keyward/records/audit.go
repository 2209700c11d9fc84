package records

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/confusable"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
)

// AuditCommands are the commands `keyward audit`.
type AuditCommands struct {
	List auditList `cmd:"" help:"List the entries of the audit log, newest first."`
}

type auditList struct {
	Actor  string `placeholder:"A" help:"Only what this actor did: a user, the id of a key, or cli:USER@HOST."`
	Target string `placeholder:"ID" help:"Only what was done to the record with this id or name."`
	Action string `placeholder:"A" help:"Only this action, such as key.revoke."`
	Since  string `placeholder:"TIME" help:"Only entries of this last time, such as 7d."`
	location.AuditLog
	command.Output
}

// Run lists the entries.
func (c *auditList) Run(env *command.Env) error {
	filter := store.AuditFilter{Actor: c.Actor, Record: c.Target, Action: audit.Action(c.Action)}
	if c.Action != "" && !slices.Contains(audit.Actions(), filter.Action) {
		return command.Usagef("--action %s: no such action; docs/managing.md lists them", command.Quoted(c.Action))
	}
	last, err := span("--since", c.Since)
	if err != nil {
		return err
	}
	if last > 0 {
		filter.Since = env.Now().Add(-last)
	}
	entries, err := c.Entries(env, filter)
	if err != nil {
		return err
	}
	entries = append([]audit.Entry{}, entries...) // an empty list is []
	return c.Print(env, entries, func(w io.Writer) { writeEntries(w, entries) })
}

func writeEntries(w io.Writer, entries []audit.Entry) {
	command.Table(w, func(row func(...any)) {
		row("TIME", "ACTOR", "VIA", "ACTION", "TARGET", "OUTCOME", "CHANGES")
		for i := range entries {
			e := &entries[i]
			row(command.Instant(e.Time), command.OrDash(actorOf(e)), command.OrDash(string(e.Via)), command.OrDash(string(e.Action)), command.OrDash(e.Record), outcomeOf(e), changesOf(e))
		}
	})
}

// actorOf is the actor, or the address of a client that is not authenticated.
func actorOf(e *audit.Entry) string {
	if e.Actor == "" {
		return e.Address
	}
	return e.Actor
}

func outcomeOf(e *audit.Entry) string {
	text := string(e.Outcome)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	return command.OrDash(text)
}

func changesOf(e *audit.Entry) string {
	fields := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		fields[i] = confusable.Shown(c.Field)
	}
	return command.OrDash(strings.Join(fields, " "))
}
