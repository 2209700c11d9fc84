package stores

import (
	"fmt"
	"io"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/store/audit"
	"keyward/store/postgres"
)

type storeAcceptRestore struct {
	Config string `required:"" placeholder:"FILE" help:"Configuration that names the database and the pepper, with the login of its owner."`
	command.Output
}

// Run gives the database a new epoch.
func (c *storeAcceptRestore) Run(env *command.Env) error {
	db, err := open(env, c.Config)
	if err != nil {
		return err
	}
	defer db.Close()
	e := location.Operator().Entry(audit.StoreAcceptRestore, "", nil)
	if err := postgres.New(postgres.Config{DB: db, Now: env.Now}).AcceptRestore(env.Context, e); err != nil {
		return err
	}
	return c.Print(env, struct {
		Seq int64 `json:"seq"`
	}{e.Seq}, func(w io.Writer) {
		fmt.Fprintln(w, "accepted: replicas follow the database in all that it says")
	})
}
