package stores

import (
	"fmt"
	"io"

	"keyward/cmd/keyward/command"
	"keyward/store/postgres/database"
)

type storeMigrate struct {
	Config string `placeholder:"FILE" help:"Configuration that names the database and the pepper."`
	Roles  bool   `help:"Print the SQL that makes the roles of the database, and do nothing else."`
	command.Output
}

// Run migrates, or prints the statements.
func (c *storeMigrate) Run(env *command.Env) error {
	switch {
	case c.Roles && (c.Config != "" || c.JSON):
		return command.Usagef("--roles prints SQL, which is the same for each database: give it alone")
	case c.Roles:
		_, err := fmt.Fprint(env.Stdout, database.RolesSQL())
		return err
	case c.Config == "":
		return command.Usagef("which database? Give --config")
	}
	cfg, hasher, err := load(env, c.Config)
	if err != nil {
		return err
	}
	if cfg.Store.URL == nil {
		return errNoURL(c.Config)
	}
	db := databaseOf(cfg, hasher)
	before, err := database.Version(env.Context, db)
	if err != nil {
		return err
	}
	if err := database.Migrate(env.Context, db); err != nil {
		return err
	}
	after, err := database.Version(env.Context, db)
	if err != nil {
		return err
	}
	return c.Print(env, struct {
		Before int `json:"before"` // zero: the database had no schema
		After  int `json:"after"`
	}{before, after}, func(w io.Writer) { writeVersions(w, before, after) })
}

func writeVersions(w io.Writer, before, after int) {
	switch before {
	case after:
		fmt.Fprintf(w, "the schema has version %d: there was nothing to do\n", after)
	case 0:
		fmt.Fprintf(w, "made the schema, of version %d\n", after)
	default:
		fmt.Fprintf(w, "migrated the schema from version %d to %d\n", before, after)
	}
}
