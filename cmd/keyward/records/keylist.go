package records

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/store"
)

type keyList struct {
	User      string `placeholder:"NAME" help:"Only keys of that user."`
	Project   string `placeholder:"NAME" help:"Only keys of that project."`
	State     string `placeholder:"STATE" help:"Only keys in that state: active, not_yet_valid, paused, expired, revoked, unsupported."`
	Query     string `placeholder:"TEXT" help:"Only keys with that in the name, or with that id or hint."`
	OlderThan string `placeholder:"TIME" help:"Only keys created, or last rotated, longer ago than this, such as 90d."`
	UnusedFor string `placeholder:"TIME" help:"Only keys created, last rotated and last used longer ago than this, such as 90d. Needs a usage file."`
	Expiring  string `placeholder:"TIME" help:"Only keys that have not ended and expire within this time, such as 14d."`
	location.UsedKeys
	command.Output
}

// Run lists the keys in the order of their creation.
func (c *keyList) Run(env *command.Env) error {
	wanted, err := c.filter()
	if err != nil {
		return err
	}
	k, err := c.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	found, err := k.ListKeys(env.Context, wanted)
	if err != nil {
		return k.Explain(err, "")
	}
	views := make([]keyView, len(found))
	for i := range found {
		views[i].KeyView = found[i]
	}
	return c.Print(env, views, func(w io.Writer) { writeKeys(w, views) })
}

// filter is what the flags select.
func (c *keyList) filter() (store.KeyFilter, error) {
	wanted := store.KeyFilter{User: c.User, Project: c.Project, Text: c.Query, State: store.KeyState(c.State)}
	if c.State != "" && !slices.Contains(store.KeyStates(), wanted.State) {
		return wanted, command.Usagef("--state %q: want one of %s", c.State, strings.Trim(fmt.Sprint(store.KeyStates()), "[]"))
	}
	for _, flag := range []struct {
		name, text string
		into       *time.Duration
	}{{"--older-than", c.OlderThan, &wanted.OlderThan}, {"--unused-for", c.UnusedFor, &wanted.UnusedFor}, {"--expiring", c.Expiring, &wanted.Expiring}} {
		var err error
		if *flag.into, err = span(flag.name, flag.text); err != nil {
			return wanted, err
		}
	}
	return wanted, nil
}

type keyShow struct {
	ID string `arg:"" help:"Key id (k_…)."`
	location.UsedKeys
	command.Output
}

// Run shows one record, and the key's usage if that is recorded.
func (c *keyShow) Run(env *command.Env) error {
	k, err := c.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	found, err := k.Key(env.Context, c.ID)
	if err != nil {
		return k.Explain(err, c.ID)
	}
	view := keyView{KeyView: found}
	used, failed := k.KeyUsage(env.Context, c.ID)
	if used != nil {
		view.Usage, view.LastUse = used, used.Last
	}
	return errors.Join(c.Print(env, view, view.write), failed)
}
