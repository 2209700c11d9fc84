package location

import (
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/state"
)

// Accounts is the accounts of people in the records of a configuration.
type Accounts struct {
	*account.Service
	env     *command.Env
	records *records
	state   *state.DB
}

// OpenAccounts opens the records of a configuration and the state beside them, and
// returns the actor that the command is.
func OpenAccounts(env *command.Env, cfg *config.Config) (*Accounts, access.Actor, error) {
	r, err := openRecords(env, cfg, nil, StartOver{})
	if err != nil {
		return nil, access.Actor{}, err
	}
	var db *state.DB
	if r.db != nil {
		db = state.OpenShared(state.SharedConfig{Database: r.db, Now: env.Now})
	} else if db, err = state.Open(env.Context, state.Config{Path: cfg.State.File, Now: env.Now}); err != nil {
		return nil, access.Actor{}, err
	}
	return &Accounts{account.New(account.Config{Records: r.Service, State: db}), env, r, db}, r.operator, nil
}

// Close ends the work. What was changed is durable already.
func (a *Accounts) Close() {
	_ = a.state.Close()
	a.records.close(a.env)
}
