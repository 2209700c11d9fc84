package records

import (
	"fmt"
	"io"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/store"
	"keyward/store/confusable"
	"keyward/store/importer"
)

type keyImport struct {
	Name   *string `help:"Name of the keys, such as what they are for."`
	Hashed bool    `help:"The input has hashes instead of keys, one per line or in the column key: sha256:DIGEST, or hmac-sha256:DIGEST with the pepper; in hex or base64."`
	CSV    string  `name:"csv" placeholder:"COLUMN,…" help:"The input is CSV with a header row. Import these columns: key, name, user, project, scopes, expires; write key=Token if the column has another name."`
	newKeys
}

// Run imports all the keys, or none.
func (c *keyImport) Run(env *command.Env) error {
	k, p, err := c.begin(env, c.Name)
	if err != nil {
		return err
	}
	defer k.Close()
	format, err := c.format(env)
	if err != nil {
		return command.UsageError(err)
	}
	if err := p.Check(); err != nil {
		return location.AsUsage(err) // an error without a line number is about the flags
	}
	ids, params, err := k.ImportKeys(env.Context, env.Stdin, format, p)
	if err != nil {
		return err
	}
	warnOfKeys(env, params)
	return c.Print(env, ids, func(w io.Writer) {
		for _, id := range ids {
			fmt.Fprintln(w, confusable.Shown(id))
		}
	})
}

func (c *keyImport) format(env *command.Env) (importer.KeyFormat, error) {
	format := importer.KeyFormat{Hashed: c.Hashed, Expires: func(text string) (time.Time, error) {
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
func warnOfKeys(env *command.Env, keys []*store.KeyParams) {
	told := map[string]bool{}
	for _, k := range keys {
		for _, named := range [...]struct{ what, name string }{{"name", k.Name}, {"user", k.User}, {"project", k.Project}} {
			if !told[named.name] {
				told[named.name] = true
				env.WarnOfScripts(named.what, named.name)
			}
		}
	}
}
