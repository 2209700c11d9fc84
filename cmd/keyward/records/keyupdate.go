package records

import (
	"errors"
	"fmt"
	"io"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/confusable"
)

// keyUpdate has the flags of what is to change. The empty text removes a setting.
type keyUpdate struct {
	ID          string   `arg:"" help:"Key id (k_…)."`
	Name        *string  `help:"Name of the key."`
	Project     *string  `help:"Project that the key belongs to; an empty one removes it."`
	Path        []string `sep:"none" xor:"paths" placeholder:"PATH" help:"Path that the key may access; replaces the earlier paths. Repeatable."`
	AnyPath     bool     `xor:"paths" help:"Allow the key every path."`
	Scope       []string `sep:"none" xor:"scopes" placeholder:"SCOPE" help:"Scope of the key; replaces the earlier scopes. Repeatable."`
	NoScopes    bool     `xor:"scopes" help:"Give the key no scopes, regardless of its user's."`
	UserScopes  bool     `xor:"scopes" help:"Give the key the scopes of its user."`
	Expires     *string  `placeholder:"WHEN" help:"When the key expires: after 90d or 12h, or at an RFC 3339 time; an empty one is never."`
	Rate        *string  `placeholder:"N/UNIT" help:"Rate limit of the key; an empty one is that of all keys."`
	Description *string  `placeholder:"TEXT" help:"What the key is for; an empty one removes it."`
	Owner       *string  `placeholder:"TEXT" help:"Who answers for the key; an empty one removes it."`
	NotBefore   *string  `placeholder:"WHEN" help:"When the key begins to be valid: after 7d, or at an RFC 3339 time; an empty one is at once."`
	CIDR        []string `name:"cidr" sep:"none" xor:"networks" placeholder:"NETWORK" help:"Network of the key's clients; replaces the earlier networks. Repeatable."`
	AnyAddress  bool     `xor:"networks" help:"Allow the key's clients any address."`
	location.WrittenKeys
	command.Output
}

// Run changes the key.
func (c *keyUpdate) Run(env *command.Env) error {
	patch, err := c.patch(env)
	if err != nil {
		return command.UsageError(err)
	}
	k, err := c.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	changed, err := k.UpdateKey(env.Context, c.ID, patch)
	if err != nil {
		return location.AsUsage(explainEnded(k, err, c.ID))
	}
	warnOfKeys(env, []*store.KeyParams{{Name: textOf(c.Name), Project: textOf(c.Project)}})
	view := keyView{KeyView: changed}
	return c.Print(env, view, view.write)
}

var errNothingToChange = errors.New("what is to change? Give at least one setting")

// patch is what the flags change.
func (c *keyUpdate) patch(env *command.Env) (manage.KeyPatch, error) {
	p := manage.KeyPatch{Name: c.Name, Project: c.Project, Rate: c.Rate, Description: c.Description, Owner: c.Owner}
	if len(c.Path) > 0 || c.AnyPath {
		p.Paths = &c.Path
	}
	if len(c.Scope) > 0 || c.NoScopes || c.UserScopes {
		var scopes *[]string // nil is its user's
		if !c.UserScopes {
			own := append([]string{}, c.Scope...)
			scopes = &own
		}
		p.Scopes = &scopes
	}
	err := checkRate(textOf(c.Rate))
	if err == nil && c.Expires != nil {
		at, wrong := expiry(*c.Expires, env.Now())
		p.Expires, err = &at, wrong
	}
	if err == nil && c.NotBefore != nil {
		at, wrong := beginning(*c.NotBefore, env.Now())
		p.NotBefore, err = &at, wrong
	}
	if err == nil && (len(c.CIDR) > 0 || c.AnyAddress) {
		all, wrong := networks(c.CIDR)
		p.CIDRs, err = &all, wrong
	}
	if err == nil && p == (manage.KeyPatch{}) {
		err = errNothingToChange
	}
	return p, err
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// explainEnded explains an error about a key, which may be that it has ended.
func explainEnded(k location.KeyService, err error, id string) error {
	if errors.Is(err, store.ErrRevoked) {
		return fmt.Errorf("key %s has ended and stays so", confusable.Shown(id))
	}
	return k.Explain(err, id)
}

type keyPause struct {
	ID     string `arg:"" help:"Key id (k_…)."`
	Reason string `placeholder:"TEXT" help:"Why, in up to 255 bytes; it is shown with the key and in the audit log."`
	location.WrittenKeys
	command.Output
}

// Run pauses the key.
func (c *keyPause) Run(env *command.Env) error {
	return changeOne(&c.WrittenKeys, c.Output, env, c.ID, client.Pause, c.Reason, "paused")
}

type keyResume struct {
	ID string `arg:"" help:"Key id (k_…)."`
	location.WrittenKeys
	command.Output
}

// Run resumes the key.
func (c *keyResume) Run(env *command.Env) error {
	return changeOne(&c.WrittenKeys, c.Output, env, c.ID, client.Resume, "", "resumed")
}

type keyEndGrace struct {
	ID string `arg:"" help:"Key id (k_…)."`
	location.WrittenKeys
	command.Output
}

// Run ends the key's earlier secrets.
func (c *keyEndGrace) Run(env *command.Env) error {
	return changeOne(&c.WrittenKeys, c.Output, env, c.ID, client.EndGrace, "", "ended the earlier secrets of")
}

// changeOne makes one change of one key and prints its record, or what was done.
func changeOne(place *location.WrittenKeys, o command.Output, env *command.Env, id string, change client.KeyChange, reason, done string) error {
	k, err := place.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	changed, err := k.ChangeKey(env.Context, id, change, reason)
	if err != nil {
		return location.AsUsage(explainEnded(k, err, id))
	}
	return o.Print(env, keyView{KeyView: changed}, func(w io.Writer) { fmt.Fprintln(w, done, confusable.Shown(changed.ID)) })
}
