package records

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"keyward/config"
	"keyward/store"
	"keyward/usage"

	"keyward/cmd/keyward/command"
)

// usageFile has the flag that names the usage file.
type usageFile struct {
	Usage string `placeholder:"FILE" help:"Usage file (default: the one that --config names, if any)."`
}

// of returns the path of the usage file for the keys; "" is none.
func (f usageFile) of(k *keys) string {
	if f.Usage != "" {
		return f.Usage
	}
	return k.usage
}

type keyList struct {
	User      string `placeholder:"NAME" help:"Only keys of that user."`
	Project   string `placeholder:"NAME" help:"Only keys of that project."`
	State     string `placeholder:"STATE" help:"Only keys in that state: active, not_yet_valid, paused, expired, revoked, unsupported."`
	Query     string `placeholder:"TEXT" help:"Only keys with that in the name, or with that id or hint."`
	OlderThan string `placeholder:"TIME" help:"Only keys created, or last rotated, longer ago than this, such as 90d."`
	UnusedFor string `placeholder:"TIME" help:"Only keys created, last rotated and last used longer ago than this, such as 90d. Needs a usage file."`
	Expiring  string `placeholder:"TIME" help:"Only keys that have not ended and expire within this time, such as 14d."`
	usageFile
	keyFile
	command.Output
}

// Run lists the keys in the order of their creation.
func (c *keyList) Run(env *command.Env) error {
	wanted, err := c.filter()
	if err != nil {
		return err
	}
	k, err := c.openWithUsers(env)
	if err != nil {
		return err
	}
	var uses map[string]time.Time
	if wanted.UnusedFor > 0 {
		uses, err = lastUses(env, c.of(k), wanted.UnusedFor)
	} else {
		uses, err = c.uses(k)
	}
	if err != nil {
		return err
	}
	now := env.Now()
	wanted.Rules, wanted.Now = k.rules, now
	wanted.LastUse = func(id string) time.Time { return uses[id] }
	records, _, err := k.List(env.Context, wanted, store.Page{})
	if err != nil {
		return k.explain(err, "")
	}
	if len(records) == 0 && isMissing(k.path) {
		env.Note("note: there is no file %s", k.path)
	}
	views := []keyView{}
	for i := range records {
		view := k.view(&records[i], now)
		view.LastUse = uses[records[i].ID]
		views = append(views, view)
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

// uses returns when each key was last used, as far as there is a usage file.
func (c *keyList) uses(k *keys) (map[string]time.Time, error) {
	file := c.of(k)
	if file == "" {
		return nil, nil
	}
	last, _, err := usage.LastUses(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	return last, nil
}

// span reads the duration in a flag; "" is none.
func span(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, command.Usagef("%s %q: want a time as 24h or 90d, above zero", flag, text)
	}
	return d, nil
}

// lastUses reads when each key was last used. Without a usage file every key
// would look unused, so there must be one.
func lastUses(env *command.Env, file string, unusedFor time.Duration) (map[string]time.Time, error) {
	if file == "" {
		return nil, command.Usagef("--unused-for needs a usage file: give --usage, or a --config with usage.file")
	}
	last, since, err := usage.LastUses(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no usage file %s", file)
	case err != nil:
		return nil, fmt.Errorf("reading usage: %w", err)
	case env.Now().Sub(since) < unusedFor:
		env.Note("note: %s has no record of uses before %s", file, command.Instant(since))
	}
	return last, nil
}

type keyShow struct {
	ID string `arg:"" help:"Key id (k_…)."`
	usageFile
	keyFile
	command.Output
}

// Run shows one record, and the key's usage if there is a usage file.
func (c *keyShow) Run(env *command.Env) error {
	k, err := c.openWithUsers(env)
	if err != nil {
		return err
	}
	r, err := k.Get(env.Context, c.ID)
	if err != nil {
		return k.explain(err, c.ID)
	}
	view := k.view(&r, env.Now())
	failed := view.addUsage(env, c.of(k))
	return errors.Join(c.Print(env, view, view.write), failed)
}

// addUsage adds the key's usage from the file. A file that does not exist yet
// has none.
func (v *keyView) addUsage(env *command.Env, file string) error {
	if file == "" {
		return nil
	}
	used, err := usage.Read(file, v.ID, env.Now())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		env.Note("note: there is no usage file %s", file)
		return nil
	case err != nil:
		return fmt.Errorf("reading usage: %w", err)
	}
	v.Usage, v.LastUse = &used, used.Last
	return nil
}
