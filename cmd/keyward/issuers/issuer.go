package issuers

import (
	"fmt"
	"io"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/config"
	"keyward/manage/signingkeys"
)

// Commands are the commands `keyward issuer`.
type Commands struct {
	Rotate rotate `cmd:"" help:"Make a new signing key, which is published before it signs. With --revoke-old all earlier keys end at once."`
	Status status `cmd:"" help:"Show the signing keys."`
}

type rotate struct {
	Config    string `required:"" placeholder:"FILE" help:"Configuration of the server."`
	RevokeOld bool   `help:"Remove all earlier keys and have the new one sign at once, since a key has leaked. Every access token ends: clients must refresh, or log in again, and servers elsewhere that verify the tokens must read the public keys again before they accept a new one. This cannot be undone."`
	command.Output
}

// Run makes the key. Running servers follow when they read the keys next.
func (c *rotate) Run(env *command.Env) error {
	keys, err := open(env, c.Config)
	if err != nil {
		return err
	}
	defer keys.Close()
	made, err := keys.Rotate(env.Context, c.RevokeOld)
	if err != nil {
		return err
	}
	if !made.New {
		env.Note("note: there is a next key already, which was made %s: nothing changed", command.Instant(made.Since))
	}
	return c.Print(env, newView(&made.Status), func(w io.Writer) {
		if made.State == signingkeys.Signing {
			fmt.Fprintf(w, "%s signs: all earlier keys and the tokens that they signed have ended\n", made.ID)
			return
		}
		fmt.Fprintf(w, "%s is published, and signs from %s\n", made.ID, command.Instant(made.Until))
	})
}

type status struct {
	Config string `required:"" placeholder:"FILE" help:"Configuration of the server."`
	command.Output
}

// view is what is shown of a key.
type view struct {
	ID        string     `json:"kid"`
	Algorithm string     `json:"algorithm"`
	State     string     `json:"state"`
	Since     time.Time  `json:"since"`
	Until     *time.Time `json:"until"`          // when its next state is due; null: not known
	Lost      string     `json:"lost,omitempty"` // why it is not published
}

func newView(s *signingkeys.Status) view {
	v := view{ID: s.ID, Algorithm: string(s.Algorithm), State: string(s.State), Since: s.Since.UTC()}
	if !s.Until.IsZero() {
		until := s.Until.UTC().Truncate(time.Second)
		v.Until = &until
	}
	if s.Lost != nil {
		v.Lost = s.Lost.Error()
	}
	return v
}

// Run prints the keys, and changes nothing.
func (c *status) Run(env *command.Env) error {
	keys, err := open(env, c.Config)
	if err != nil {
		return err
	}
	defer keys.Close()
	all, err := keys.Status(env.Context)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		env.Note("note: there are no keys yet: the server makes the first one when it starts")
	}
	views := make([]view, len(all))
	for i := range all {
		views[i] = newView(&all[i])
	}
	return c.Print(env, views, func(w io.Writer) {
		command.Table(w, func(row func(cells ...any)) {
			row("KID", "ALGORITHM", "STATE", "SINCE", "UNTIL")
			for i := range all {
				state := views[i].State
				if all[i].Lost != nil {
					state = "lost"
				}
				row(command.OrDash(all[i].ID), command.OrDash(views[i].Algorithm), state, command.Instant(all[i].Since), command.Instant(all[i].Until))
			}
		})
		for i := range all {
			if all[i].Lost != nil {
				fmt.Fprintf(w, "%s is lost, and the tokens that it signed have ended: %s\n", command.OrDash(all[i].ID), command.OrDash(views[i].Lost))
			}
		}
	})
}

func open(env *command.Env, file string) (*location.SigningKeys, error) {
	cfg, err := config.Load(file, env.Getenv)
	if err != nil {
		return nil, err
	}
	return location.OpenSigningKeys(env, cfg)
}
