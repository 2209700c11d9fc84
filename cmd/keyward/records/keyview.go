package records

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage"
	"keyward/store"
	"keyward/store/confusable"
	"keyward/usage"
)

// keyView is what is printed of a key.
type keyView struct {
	manage.KeyView
	Usage *usage.Usage `json:"usage,omitempty"` // only if requested
}

// write prints the view as one name and value per line.
func (v *keyView) write(w io.Writer) {
	command.Table(w, func(row func(...any)) {
		row("id", confusable.Shown(v.ID))
		row("name", command.OrDash(v.Name))
		row("state", confusable.Shown(string(v.State)))
		row("key", command.OrDash(v.Hint)+"…")
		row("user", command.OrDash(v.User))
		row("project", command.OrDash(v.Project))
		row("paths", pathList(v.Paths))
		row("scopes", v.scopes())
		row("rate", command.OrDash(v.Rate))
		row("created", command.Instant(v.Created))
		row("expires", command.Instant(v.Expires))
		row("revoked", command.Instant(v.Revoked))
		if !v.UserGone.IsZero() {
			row("user deleted", command.Instant(v.UserGone))
		}
		v.writeOptional(row)
		for _, until := range v.Previous {
			row("old secret until", command.Instant(until))
		}
		if v.Usage != nil {
			for _, line := range v.Usage.Rows(len(v.Previous) > 0, confusable.Shown) {
				row(line.Name, line.Text)
			}
		}
	})
}

// writeOptional prints what few keys have.
func (v *keyView) writeOptional(row func(...any)) {
	text := func(name, value string) {
		if value != "" {
			row(name, confusable.Shown(value))
		}
	}
	moment := func(name string, at time.Time, act *store.Act) {
		if at.IsZero() {
			return
		}
		row(name, command.Instant(at))
		if act != nil {
			text("  by", act.By)
			text("  via", string(act.Via))
			text("  reason", act.Reason)
		}
	}
	if v.Ending != nil {
		moment("ended", store.Latest(v.Revoked, v.Deleted), v.Ending)
	}
	if v.Paused != nil {
		moment("paused", v.Paused.Since, &v.Paused.Act)
	}
	moment("rotated", v.Rotated, nil)
	moment("not before", v.NotBefore, nil)
	if len(v.CIDRs) > 0 {
		row("networks", strings.Trim(fmt.Sprint(v.CIDRs), "[]"))
	}
	text("description", v.Description)
	text("owner", v.Owner)
	text("created by", v.CreatedBy)
}

func pathList(paths []string) string {
	if len(paths) == 0 {
		return "anywhere"
	}
	shown := make([]string, len(paths))
	for i, path := range paths {
		shown[i] = confusable.Shown(path)
	}
	return strings.Join(shown, " ")
}

func (v *keyView) scopes() string {
	switch {
	case v.Scopes == nil && v.User != "":
		return "its user's"
	case v.Scopes == nil || len(*v.Scopes) == 0:
		return "none"
	default:
		return confusable.Shown(strings.Join(*v.Scopes, " "))
	}
}

func writeKeys(w io.Writer, views []keyView) {
	command.Table(w, func(row func(...any)) {
		row("ID", "KEY", "STATE", "NAME", "USER", "PROJECT", "SCOPES", "PATHS", "CREATED", "EXPIRES")
		for i := range views {
			v := &views[i]
			row(confusable.Shown(v.ID), command.OrDash(v.Hint)+"…", confusable.Shown(string(v.State)), command.OrDash(v.Name), command.OrDash(v.User), command.OrDash(v.Project), v.scopes(),
				pathList(v.Paths), command.Instant(v.Created), command.Instant(v.Expires))
		}
	})
}

type keyVerify struct {
	location.Keys
	command.Output
}

// Run finds the record of the key on standard input.
func (c *keyVerify) Run(env *command.Env) error {
	k, err := c.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	secret, err := env.ReadSecret("Key")
	if err != nil {
		return err
	}
	if secret.Empty() {
		return command.Usagef("no key on standard input")
	}
	found, err := k.FindKey(env.Context, secret)
	if err != nil {
		if err = k.Explain(err, ""); errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("unknown: no such key %s", k.Location())
		}
		return err
	}
	view := keyView{KeyView: found}
	if err := c.Print(env, view, view.write); err != nil {
		return err
	}
	switch {
	case view.rotatedAway():
		return fmt.Errorf("revoked: %s has a new secret", confusable.Shown(view.ID))
	case view.State != store.KeyActive:
		return fmt.Errorf("%s: %s is not valid", confusable.Shown(string(view.State)), confusable.Shown(view.ID))
	default:
		return nil
	}
}

// rotatedAway reports whether the state is that of a secret which was replaced: the key
// itself has not ended.
func (v *keyView) rotatedAway() bool {
	return v.State == store.KeyRevoked && v.Revoked.IsZero() && v.Deleted.IsZero() && v.UserGone.IsZero()
}
