package records

import (
	"fmt"
	"io"
	"time"

	"keyward/store"
	"keyward/store/importer"

	"keyward/cmd/keyward/command"
)

type keyImport struct {
	Name   *string `help:"Name of the keys, such as what they are for."`
	Hashed bool    `help:"The input has hashes instead of keys: sha256:HEX, or hmac-sha256:HEX with the pepper."`
	CSV    string  `name:"csv" placeholder:"COLUMN,…" help:"The input is CSV with a header row. Import these columns: key, name, user, project, scopes, expires; write key=Token if the column has another name."`
	newKeys
}

// Run imports all the keys, or none.
func (c *keyImport) Run(env *command.Env) error {
	k, p, err := c.begin(env, c.Name)
	if err != nil {
		return err
	}
	format, err := c.format(env, k)
	if err != nil {
		return command.UsageError(err)
	}
	if err := p.Check(); err != nil {
		return asUsage(err) // an error without a line number is about the flags
	}
	given, err := format.Read(env.Stdin, p, k.hasher)
	if err != nil {
		return err
	}
	records, err := k.records.ImportKeys(env.Context, k.records.operator, given)
	if err != nil {
		return k.explain(err, "")
	}
	warnOfKeys(env, records)
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = records[i].ID
	}
	return c.Print(env, ids, func(w io.Writer) {
		for _, id := range ids {
			fmt.Fprintln(w, id)
		}
	})
}

func (c *keyImport) format(env *command.Env, k *keys) (importer.KeyFormat, error) {
	format := importer.KeyFormat{Hashed: c.Hashed, InBasic: k.inBasic, Expires: func(text string) (time.Time, error) {
		return expiry(text, env.Now())
	}}
	if c.CSV == "" {
		return format, nil
	}
	var err error
	if format.Columns, err = importer.ParseColumns(c.CSV); err != nil {
		return format, fmt.Errorf("--csv: %w", err)
	}
	return format, nil
}

// warnOfKeys warns, once per name, of the names of new keys that may be taken
// for others.
func warnOfKeys(env *command.Env, records []store.KeyRecord) {
	told := map[string]bool{}
	for i := range records {
		r := &records[i]
		for _, named := range [...]struct{ what, name string }{{"name", r.Name}, {"user", r.User}, {"project", r.Project}} {
			if !told[named.name] {
				told[named.name] = true
				env.WarnOfScripts(named.what, named.name)
			}
		}
	}
}
