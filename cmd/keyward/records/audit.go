package records

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"

	"keyward/cmd/keyward/command"
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
	File   string `placeholder:"FILE" help:"Audit log (default audit.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the audit log."`
	server
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
	entries, err := c.list(env, filter)
	if err = causeOf(err); errors.Is(err, journal.ErrDamaged) {
		return explainDamaged(err)
	}
	if err != nil {
		return err
	}
	entries = append([]audit.Entry{}, entries...) // an empty list is []
	return c.Print(env, entries, func(w io.Writer) { writeEntries(w, entries) })
}

// list returns the entries of the file or of the server.
func (c *auditList) list(env *command.Env, filter store.AuditFilter) ([]audit.Entry, error) {
	remote, err := c.connect(env, filePair(c.File, c.Config)...)
	if err != nil {
		return nil, err
	}
	if remote != nil {
		defer remote.Close()
		return remote.AuditLog(env.Context, filter)
	}
	// Any file can be read, also one that is not the configuration's.
	cfg, err := configOf(env, "audit", "", c.Config, func(cfg *config.Config) *string {
		if c.File != "" {
			cfg.Audit.File = c.File
		}
		return &cfg.Audit.File
	})
	if err != nil {
		return nil, err
	}
	r := openRecords(env, cfg, apikey.NewHasher(authz.Secret{}), startOver{})
	entries, _, err := r.AuditLog(env.Context, r.operator, filter, store.Page{NewestFirst: true})
	if err == nil && len(entries) == 0 && isMissing(cfg.Audit.File) {
		env.Note("note: there is no file %s", cfg.Audit.File)
	}
	return entries, err
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
		fields[i] = store.Shown(c.Field)
	}
	return command.OrDash(strings.Join(fields, " "))
}
