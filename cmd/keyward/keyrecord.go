package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyward/config"
	"keyward/keystore"
)

// keyView is what is shown of a key: its record without the hashes.
type keyView struct {
	ID       string          `json:"id"`
	Key      string          `json:"key,omitempty"` // only where it is handed out
	Name     string          `json:"name,omitempty"`
	State    string          `json:"state"` // active, expired or revoked
	User     string          `json:"user,omitempty"`
	Project  string          `json:"project,omitempty"`
	Paths    []string        `json:"paths,omitempty"`
	Scopes   *[]string       `json:"scopes,omitempty"`
	Rate     string          `json:"rate,omitempty"`
	Prefix   string          `json:"prefix"`
	Hint     string          `json:"hint"`
	Format   keystore.Format `json:"format"`
	Created  time.Time       `json:"created"`
	Expires  time.Time       `json:"expires,omitzero"`
	Revoked  time.Time       `json:"revoked,omitzero"`
	Deleted  time.Time       `json:"deleted,omitzero"`
	Previous []time.Time     `json:"previous_until,omitempty"` // ends of graces
}

func (k *keys) view(r *keystore.Record, now time.Time) keyView {
	v := keyView{
		ID: r.ID, Name: r.Name, State: k.state(r, now), User: r.User, Project: r.Project, Paths: r.Paths, Scopes: r.Scopes,
		Rate: r.Rate, Prefix: r.Prefix, Hint: r.Hint, Format: r.Format,
		Created: r.Created.UTC(), Expires: r.Expires.UTC(), Revoked: r.Revoked.UTC(), Deleted: r.Deleted.UTC(),
	}
	for _, p := range r.Previous {
		if p.Until.After(now) {
			v.Previous = append(v.Previous, p.Until.UTC())
		}
	}
	return v
}

// state is what a server by the same configuration makes of the key.
func (k *keys) state(r *keystore.Record, now time.Time) string {
	switch {
	case r.Ended():
		return "revoked"
	case !r.Expires.IsZero() && !now.Before(r.Expires), k.maxAge > 0 && !now.Before(r.Created.Add(k.maxAge)):
		return "expired"
	default:
		return "active"
	}
}

// write prints the view as lines of name and value.
func (v *keyView) write(w io.Writer) {
	table(w, func(row func(...any)) {
		row("id", v.ID)
		row("name", orDash(v.Name))
		row("state", v.State)
		row("key", orDash(v.Hint)+"…")
		row("user", orDash(v.User))
		row("project", orDash(v.Project))
		row("paths", pathList(v.Paths))
		row("scopes", v.scopes())
		row("rate", orDash(v.Rate))
		row("created", instant(v.Created))
		row("expires", instant(v.Expires))
		row("revoked", instant(v.Revoked))
		for _, until := range v.Previous {
			row("old secret until", instant(until))
		}
	})
}

func pathList(paths []string) string {
	if len(paths) == 0 {
		return "anywhere"
	}
	return strings.Join(paths, " ")
}

func (v *keyView) scopes() string {
	switch {
	case v.Scopes == nil && v.User != "":
		return "its user's"
	case v.Scopes == nil || len(*v.Scopes) == 0:
		return "none"
	default:
		return strings.Join(*v.Scopes, " ")
	}
}

type keyList struct {
	OlderThan string `placeholder:"TIME" help:"Only keys made longer ago, as 90d."`
	keyFile
	output
}

// Run lists the keys in the order in which they were made.
func (c *keyList) Run(env *environment) error {
	age := time.Duration(0)
	if c.OlderThan != "" {
		var err error
		if age, err = config.ParseDuration(c.OlderThan); err != nil || age < 0 {
			return usagef("--older-than %q: want a time as 24h or 90d", c.OlderThan)
		}
	}
	k, err := c.open(env)
	if err != nil {
		return err
	}
	records, err := k.List()
	if err != nil {
		return k.explain(err, "")
	}
	if len(records) == 0 && isMissing(k.path) {
		env.note("note: there is no file %s", k.path)
	}
	now := env.now()
	views := []keyView{}
	for i := range records {
		if age == 0 || now.Sub(records[i].Created) > age {
			views = append(views, k.view(&records[i], now))
		}
	}
	return c.print(env, views, func(w io.Writer) { writeKeys(w, views) })
}

func writeKeys(w io.Writer, views []keyView) {
	table(w, func(row func(...any)) {
		row("ID", "KEY", "STATE", "NAME", "USER", "PROJECT", "SCOPES", "PATHS", "CREATED", "EXPIRES")
		for i := range views {
			v := &views[i]
			row(v.ID, orDash(v.Hint)+"…", v.State, orDash(v.Name), orDash(v.User), orDash(v.Project), v.scopes(),
				pathList(v.Paths), instant(v.Created), instant(v.Expires))
		}
	})
}

type keyShow struct {
	ID string `arg:"" help:"The key's id, as k_…."`
	keyFile
	output
}

// Run shows one record.
func (c *keyShow) Run(env *environment) error {
	k, err := c.open(env)
	if err != nil {
		return err
	}
	r, err := k.Get(c.ID)
	if err != nil {
		return k.explain(err, c.ID)
	}
	view := k.view(&r, env.now())
	return c.print(env, view, view.write)
}

type keyVerify struct {
	keyFile
	output
}

// Run looks up whose key stands on standard input.
func (c *keyVerify) Run(env *environment) error {
	k, err := c.open(env)
	if err != nil {
		return err
	}
	secret, err := env.readSecret("Key")
	if err != nil {
		return err
	}
	if secret.Empty() {
		return usagef("no key on standard input")
	}
	r, err := k.FindBySecret(secret)
	rotated := errors.Is(err, keystore.ErrRevoked)
	if err != nil && !rotated {
		if errors.Is(err, keystore.ErrNotFound) && !isMissing(k.path) {
			return fmt.Errorf("unknown: %s has no such key", k.path)
		}
		return k.explain(err, "")
	}
	view := k.view(&r, env.now())
	if rotated {
		view.State = "revoked"
	}
	if err := c.print(env, view, view.write); err != nil {
		return err
	}
	switch {
	case rotated:
		return fmt.Errorf("revoked: %s has another secret now", r.ID)
	case view.State != "active":
		return fmt.Errorf("%s: %s may not be used any more", view.State, r.ID)
	default:
		return nil
	}
}
