package config

import (
	"time"

	"keyward/config/strictyaml"
	"keyward/store/postgres/pgurl"
)

// Store names the database that has the records of all machines, and what depends on it.
type Store struct {
	URL          *pgurl.URL    // nil: the files are the store
	PasswordFile string        // "": the environment of libpq
	MaxStaleness time.Duration // 0: copies of the records are used however old they are
	Keep         time.Duration // of the journal
}

// defaultKeep is how long the journal is kept: a replica that was down for longer reads
// all records again.
const defaultKeep = 30 * 24 * time.Hour

func (d *decoder) store(v strictyaml.Value, s *Store) {
	d.Mapping(v, strictyaml.Fields{
		{"url", func(v strictyaml.Value) { d.databaseURL(v, &s.URL) }},
		{"password_file", d.filename(&s.PasswordFile)},
		{"max_staleness", d.Duration(&s.MaxStaleness, true)},
		{"keep", d.Duration(&s.Keep, false)},
	})
	if s.URL == nil && (s.PasswordFile != "" || s.MaxStaleness != 0) {
		d.Warn(v.Line, "store: of no effect without url")
	}
}

// databaseURL reads the URL of a database. No error repeats it: it may have a password.
func (d *decoder) databaseURL(v strictyaml.Value, to **pgurl.URL) {
	text, ok := d.ReadText(v)
	if !ok || text == "" {
		return
	}
	u, err := pgurl.Parse(text)
	if err != nil {
		d.Report(v.Line, "store.url: %v", err)
		return
	}
	*to = &u
}

// minKeep is what a database keeps at least: what was done in it must not be erased by
// those who did it.
const minKeep = 24 * time.Hour

// storeFiles checks which files are named beside a database. The records in them are its
// copies; what has no copies is in the database alone.
func (d *decoder) storeFiles(root strictyaml.Value, cfg *Config) {
	if cfg.Store.URL == nil {
		return
	}
	for _, c := range []struct{ key, file string }{
		{"keys.file", cfg.Keys.File}, {"users.file", cfg.Users.File}, {"revocations.file", cfg.Revocations.File},
	} {
		if c.file == "" {
			d.Report(root.Line, "store.url needs %s, which has this machine's copy", c.key)
		}
	}
	for _, c := range []struct{ key, file string }{
		{"projects.file", cfg.Projects.File}, {"audit.file", cfg.Audit.File}, {"state.file", cfg.State.File}, {"usage.file", cfg.Usage.File},
	} {
		if c.file != "" {
			d.Report(root.Line, "%s and store.url can't be used together: the database has what would be in the file", c.key)
		}
	}
	for _, c := range []struct {
		key  string
		keep time.Duration
	}{{"store.keep", cfg.Store.Keep}, {"audit.keep", cfg.Audit.Keep}} {
		if 0 < c.keep && c.keep < minKeep {
			d.Report(root.Line, "%s must be at least a day with store.url", c.key)
		}
	}
}
