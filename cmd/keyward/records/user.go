package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyward/authz"
	"keyward/manage"
	"keyward/store"
	"keyward/store/importer"

	"keyward/cmd/keyward/command"
)

// UserCommands are the commands `keyward user`.
type UserCommands struct {
	Set    userSet    `cmd:"" help:"Create a user, or change the given settings of one."`
	List   userList   `cmd:"" help:"List the users."`
	Delete userDelete `cmd:"" help:"Delete users. Their keys and tokens are revoked, even if a user of the same name is created later."`
	Import userImport `cmd:"" help:"Import names and bcrypt passwords from an htpasswd file on standard input."`
}

// userView is what is printed of a user.
type userView struct{ manage.UserView }

func (v *userView) state() string {
	if v.Unsupported {
		return "unsupported"
	}
	if v.Disabled {
		return "disabled"
	}
	return "enabled"
}

func writeUsers(w io.Writer, views []userView) {
	command.Table(w, func(row func(...any)) {
		row("NAME", "STATE", "SCOPES", "PATHS", "CREATED")
		for i := range views {
			v := &views[i]
			row(store.Shown(v.Name), v.state(), command.OrDash(strings.Join(v.Scopes, " ")), pathList(v.Paths), command.Instant(v.Created))
		}
	})
}

type userSet struct {
	Name     string   `arg:"" help:"Name of the user."`
	Scope    []string `sep:"none" xor:"scopes" placeholder:"SCOPE" help:"Scope of the user; replaces the earlier scopes. Repeatable."`
	NoScopes bool     `xor:"scopes" help:"Remove all scopes of the user."`
	Path     []string `sep:"none" xor:"paths" placeholder:"PATH" help:"Path that the user may access; replaces the earlier paths. Repeatable."`
	AnyPath  bool     `xor:"paths" help:"Allow the user every path again."`
	Disabled bool     `xor:"state" help:"Disable the user and its keys."`
	Enabled  bool     `xor:"state" help:"Enable the user and its keys again."`
	writtenUserFile
	command.Output
}

// Run changes the given settings, and the password if standard input has one.
func (c *userSet) Run(env *command.Env) error {
	u, err := c.open(env)
	if err != nil {
		return err
	}
	var patch manage.UserPatch
	if len(c.Scope) > 0 || c.NoScopes {
		patch.Scopes = &c.Scope
	}
	if len(c.Path) > 0 || c.AnyPath {
		patch.Paths = &c.Path
	}
	if c.Disabled || c.Enabled {
		patch.Disabled = &c.Disabled
	}
	password, err := env.ReadSecret("Password (empty leaves it)")
	if err != nil {
		return err
	}
	var given *authz.Secret
	if !password.Empty() {
		given = &password
	}
	r, err := u.records.SetUser(env.Context, u.records.operator, manage.UserRef{Name: c.Name}, patch, given)
	if err != nil {
		return asUsage(u.explain(err, c.Name))
	}
	u.records.noteUnwritten(env)
	warnOfUsers(env, []store.UserRecord{r})
	view := userView{manage.ViewUser(&r)}
	return c.Print(env, view, func(w io.Writer) { writeUsers(w, []userView{view}) })
}

type userList struct {
	userFile
	command.Output
}

// Run lists the users in the order of their creation.
func (c *userList) Run(env *command.Env) error {
	u, err := c.open(env)
	if err != nil {
		return err
	}
	records, _, err := u.List(env.Context, store.UserFilter{}, store.Page{})
	if err != nil {
		return u.explain(err, "")
	}
	if len(records) == 0 && isMissing(u.path) {
		env.Note("note: there is no file %s", u.path)
	}
	return printUsers(c.Output, env, records)
}

// warnOfUsers warns of the users just created whose names may be taken for
// others.
func warnOfUsers(env *command.Env, records []store.UserRecord) {
	for i := range records {
		if r := &records[i]; r.Created.Equal(r.At) {
			env.WarnOfScripts("user", r.Name)
		}
	}
}

func printUsers(o command.Output, env *command.Env, records []store.UserRecord) error {
	views := []userView{}
	for i := range records {
		views = append(views, userView{manage.ViewUser(&records[i])})
	}
	return o.Print(env, views, func(w io.Writer) { writeUsers(w, views) })
}

type userDelete struct {
	Names []string `arg:"" name:"name" help:"Names of the users."`
	writtenUserFile
	command.Output
}

// Run deletes as many of the users as it can.
func (c *userDelete) Run(env *command.Env) error {
	u, err := c.open(env)
	if err != nil {
		return err
	}
	deleted := []string{}
	var failures []error
	made := c.latestKeys(env)
	u.records.LatestKey = func(_ context.Context, name string) (time.Time, error) { return made[name], nil }
	defer u.records.noteUnwritten(env)
	for _, name := range c.Names {
		if err := u.records.DeleteUser(env.Context, u.records.operator, manage.UserRef{Name: name}); err != nil {
			failures = append(failures, u.explain(err, name))
			continue
		}
		deleted = append(deleted, name)
	}
	result := struct {
		Deleted []string `json:"deleted"`
	}{deleted}
	err = c.Print(env, result, func(w io.Writer) {
		for _, name := range deleted {
			fmt.Fprintln(w, "deleted", store.Shown(name))
		}
	})
	return errors.Join(append(failures, err)...)
}

// latestKeys returns when the newest key of each user was created, if the key
// file of the configuration can be read. A time in the future comes from a clock
// that is ahead of this one; that key must be revoked with the others.
func (c *userDelete) latestKeys(env *command.Env) map[string]time.Time {
	if c.Config == "" {
		return nil
	}
	k, err := keyFile{Config: c.Config}.open(env)
	var made map[string]time.Time
	if err == nil {
		made, err = k.LatestKeys(env.Context, c.Names)
	}
	if err != nil && !errors.Is(err, errNoKeyFile) {
		env.Note("note: a key that was made by a clock ahead of this one may outlive its user: %v", err)
	}
	for name, at := range made {
		if at.After(env.Now()) {
			env.Note("note: a key of %s was made at %s, which is in the future: keys made for that name until then end too", command.Quoted(name), command.Instant(at))
		}
	}
	return made
}

type userImport struct {
	writtenUserFile
	command.Output
}

// Run imports all the users, or none.
func (c *userImport) Run(env *command.Env) error {
	u, err := c.open(env)
	if err != nil {
		return err
	}
	given, err := importer.ReadHtpasswd(env.Stdin)
	if err != nil {
		return err
	}
	records, err := u.records.ImportUsers(env.Context, u.records.operator, given)
	if err != nil {
		return u.explain(err, "")
	}
	warnOfUsers(env, records)
	return printUsers(c.Output, env, records)
}
