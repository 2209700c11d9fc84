package stores

import (
	"fmt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/store/postgres/database"
)

// Commands are the commands `keyward store`.
type Commands struct {
	Migrate storeMigrate `cmd:"" help:"Bring the schema of the database to the version of this program."`
	Status  storeStatus  `cmd:"" help:"Show the replicas of the database, and what it lacks that they had seen."`
	Copy    storeCopy    `cmd:"" help:"Copy all records from files to an empty database, or from a database to empty files."`

	AcceptRestore storeAcceptRestore `cmd:"" help:"Have replicas follow a restored database in all that it says, also where they have seen the end of something."`
}

// load reads a configuration, and the hasher of its secrets.
func load(env *command.Env, file string) (*config.Config, *apikey.Hasher, error) {
	cfg, err := config.Load(file, env.Getenv)
	if err != nil {
		return nil, nil, err
	}
	var pepper authz.Secret
	if cfg.Keys.PepperFile != "" {
		if pepper, err = apikey.ReadPepper(cfg.Keys.PepperFile); err != nil {
			return nil, nil, cfg.HideEnv(err)
		}
	}
	return cfg, apikey.NewHasher(pepper), nil
}

// open opens the database that a configuration names.
func open(env *command.Env, file string) (*database.DB, error) {
	cfg, hasher, err := load(env, file)
	if err != nil {
		return nil, err
	}
	if cfg.Store.URL == nil {
		return nil, errNoURL(file)
	}
	return database.Open(databaseOf(cfg, hasher))
}

// databaseOf is the database that a configuration names.
func databaseOf(cfg *config.Config, hasher *apikey.Hasher) database.Config {
	return database.Config{URL: *cfg.Store.URL, PasswordFile: cfg.Store.PasswordFile, Hasher: hasher}
}

// errNoURL is a configuration without a database.
func errNoURL(file string) error {
	return fmt.Errorf("%s names no database: store.url is empty", file)
}
