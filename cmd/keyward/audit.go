package main

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
)

type auditCommands struct {
	List auditList `cmd:"" help:"List the entries of the audit log, newest first."`
}

type auditList struct {
	Actor  string `placeholder:"A" help:"Only what this actor did: a user, the id of a key, or cli:USER@HOST."`
	Target string `placeholder:"ID" help:"Only what was done to the record with this id or name."`
	Action string `placeholder:"A" help:"Only this action, such as key.revoke."`
	Since  string `placeholder:"TIME" help:"Only entries of this last time, such as 7d."`
	File   string `placeholder:"FILE" help:"Audit log (default audit.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the audit log."`
	output
}

// Run lists the entries.
func (c *auditList) Run(env *environment) error {
	filter := store.AuditFilter{Actor: c.Actor, Record: c.Target, Action: audit.Action(c.Action)}
	if c.Action != "" && !slices.Contains(audit.Actions(), filter.Action) {
		return usagef("--action %s: no such action; docs/managing.md lists them", quoted(c.Action))
	}
	last, err := span("--since", c.Since)
	if err != nil {
		return err
	}
	if last > 0 {
		filter.Since = env.now().Add(-last)
	}
	// Any file can be read, also one that is not the configuration's.
	cfg, err := env.configOf("audit", "", c.Config, func(cfg *config.Config) *string {
		if c.File != "" {
			cfg.Audit.File = c.File
		}
		return &cfg.Audit.File
	})
	if err != nil {
		return err
	}
	r := env.records(cfg, apikey.NewHasher(authz.Secret{}), startOver{})
	entries, _, err := r.AuditLog(env.ctx, r.operator, filter, store.Page{NewestFirst: true})
	if err = causeOf(err); errors.Is(err, journal.ErrDamaged) {
		return explainDamaged(err)
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 && isMissing(cfg.Audit.File) {
		env.note("note: there is no file %s", cfg.Audit.File)
	}
	entries = append([]audit.Entry{}, entries...) // an empty list is []
	return c.print(env, entries, func(w io.Writer) { writeEntries(w, entries) })
}

func writeEntries(w io.Writer, entries []audit.Entry) {
	table(w, func(row func(...any)) {
		row("TIME", "ACTOR", "VIA", "ACTION", "TARGET", "OUTCOME", "CHANGES")
		for i := range entries {
			e := &entries[i]
			row(instant(e.Time), orDash(e.Actor), orDash(string(e.Via)), orDash(string(e.Action)), orDash(e.Record), outcomeOf(e), changesOf(e))
		}
	})
}

func outcomeOf(e *audit.Entry) string {
	if e.Reason == "" {
		return orDash(string(e.Outcome))
	}
	return fmt.Sprintf("%s: %s", store.Shown(string(e.Outcome)), store.Shown(e.Reason))
}

func changesOf(e *audit.Entry) string {
	fields := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		fields[i] = store.Shown(c.Field)
	}
	return orDash(strings.Join(fields, " "))
}
