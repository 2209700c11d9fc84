package stores

import (
	"errors"
	"fmt"
	"io"

	"keyward/apikey"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/storecopy"
)

type storeCopy struct {
	From string `required:"" placeholder:"FILE" help:"Configuration of the files or the database to copy."`
	To   string `required:"" placeholder:"FILE" help:"Configuration of the database or the files to copy to, which must be empty."`
	command.Output
}

// Run copies.
func (c *storeCopy) Run(env *command.Env) error {
	from, fromHasher, err := load(env, c.From)
	if err != nil {
		return err
	}
	to, toHasher, err := load(env, c.To)
	if err != nil {
		return err
	}
	var copied storecopy.Copied
	switch {
	case from.Store.URL == nil && to.Store.URL == nil:
		return command.Usagef("both configurations name files: copy them with cp, while nothing writes them")
	case from.Store.URL != nil && to.Store.URL != nil:
		return command.Usagef("both configurations name a database: use pg_dump and pg_restore")
	case to.Store.URL != nil:
		copied, err = toDatabase(env, filesOf(from, fromHasher), databaseOf(to, toHasher))
	default:
		copied, err = toFiles(env, databaseOf(from, fromHasher), filesOf(to, toHasher))
	}
	if err != nil {
		return err
	}
	return c.Print(env, copied, func(w io.Writer) { writeCopied(w, copied) })
}

// filesOf are the files that a configuration names.
func filesOf(cfg *config.Config, hasher *apikey.Hasher) storecopy.Files {
	changes := state.File{Path: cfg.State.File}
	return storecopy.Files{
		Keys: cfg.Keys.File, Users: cfg.Users.File, Projects: cfg.Projects.File, Clients: cfg.Clients.File,
		Revocations: cfg.Revocations.File, Audit: cfg.Audit.File, Usage: cfg.Usage.File, Hasher: hasher,
		Changes: map[string]filestore.ChangeStore{"link": changes, "session": changes, "consent": changes},
	}
}

func toDatabase(env *command.Env, from storecopy.Files, to database.Config) (storecopy.Copied, error) {
	db, err := database.Open(to)
	if err != nil {
		return storecopy.Copied{}, err
	}
	defer db.Close()
	copied, err := storecopy.ToDatabase(env.Context, from, postgres.New(postgres.Config{DB: db, Now: env.Now}))
	switch {
	case errors.Is(err, store.ErrUncertain):
		err = fmt.Errorf("%w; copy again: if the database is not empty then, it has everything", err)
	case database.IsDenied(err):
		err = fmt.Errorf("only the owner of the database's tables can copy to it: connect as that role: %w", err)
	}
	return copied, err
}

func toFiles(env *command.Env, from database.Config, to storecopy.Files) (storecopy.Copied, error) {
	db, err := database.Open(from)
	if err != nil {
		return storecopy.Copied{}, err
	}
	defer db.Close()
	return storecopy.ToFiles(env.Context, postgres.New(postgres.Config{DB: db, Now: env.Now}), to)
}

func writeCopied(w io.Writer, n storecopy.Copied) {
	fmt.Fprintf(w, "copied %d keys, %d users, %d projects, %d clients, %d revocations, %d entries of the audit log and the use of %d keys\n",
		n.Keys, n.Users, n.Projects, n.Clients, n.Revocations, n.Audit, n.Usage)
}
