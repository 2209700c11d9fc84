package location

import (
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/store"
	"keyward/store/audit"
)

// AuditLog has the flags that name the audit log: a file, or that of a server.
type AuditLog struct {
	File   string `placeholder:"FILE" help:"Audit log (default audit.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the audit log."`
	Server
}

// Entries returns the entries that the filter selects, with the newest first.
func (c *AuditLog) Entries(env *command.Env, filter store.AuditFilter) ([]audit.Entry, error) {
	remote, err := c.Connect(env, filePair(c.File, c.Config)...)
	if err != nil {
		return nil, err
	}
	if remote != nil {
		defer remote.Close()
		entries, err := remote.AuditLog(env.Context, filter)
		return entries, CauseOf(err)
	}
	// Any file can be read, also one that is not the configuration's.
	cfg, err := configOf(env, "audit", "", c.Config, func(cfg *config.Config) *string {
		if c.File != "" {
			cfg.Audit.File, cfg.Store.URL = c.File, nil
		}
		return &cfg.Audit.File
	})
	if err != nil {
		return nil, err
	}
	r, err := openRecords(env, cfg, nil, StartOver{})
	if err != nil {
		return nil, err
	}
	defer r.close(env)
	entries, _, err := r.AuditLog(env.Context, r.operator, filter, store.Page{NewestFirst: true})
	if err == nil && len(entries) == 0 && r.missing(cfg.Audit.File) {
		env.Note("note: there is no file %s", cfg.Audit.File)
	}
	return entries, explainFile(err)
}
