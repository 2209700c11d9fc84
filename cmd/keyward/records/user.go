package records

import (
	"io"
	"strings"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage"
	"keyward/store/confusable"
	"keyward/store/importer"
)

// UserCommands are the commands `keyward user`.
type UserCommands struct {
	Set    userSet    `cmd:"" help:"Create a user, or change the given settings of one."`
	List   userList   `cmd:"" help:"List the users."`
	Delete userDelete `cmd:"" help:"Delete users. Their keys and tokens are revoked, even if a user of the same name is created later."`
	Import userImport `cmd:"" help:"Import names and passwords, hashed with bcrypt or argon2id, from an htpasswd file on standard input."`
}

// userState is what has become of a user.
func userState(v *manage.UserView) string {
	switch {
	case v.Unsupported:
		return "unsupported"
	case v.Disabled:
		return "disabled"
	default:
		return "enabled"
	}
}

func writeUsers(w io.Writer, views []manage.UserView) {
	command.Table(w, func(row func(...any)) {
		row("NAME", "STATE", "SCOPES", "PATHS", "CREATED")
		for i := range views {
			v := &views[i]
			row(confusable.Shown(v.Name), userState(v), command.OrDash(strings.Join(v.Scopes, " ")), pathList(v.Paths), command.Instant(v.Created))
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
	location.WrittenUsers
	command.Output
}

// Run changes the given settings, and the password if standard input has one.
func (c *userSet) Run(env *command.Env) error {
	u, err := c.Open(env)
	if err != nil {
		return err
	}
	defer u.Close()
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
	user, made, err := u.SetUser(env.Context, c.Name, patch, given)
	if err != nil {
		return location.AsUsage(u.Explain(err, c.Name))
	}
	if made {
		env.WarnOfScripts("user", user.Name)
		if strings.Contains(user.Name, ":") { // RFC 7617 section 2
			env.Note("note: user %s is for tokens and keys: Basic credentials cannot have a name with a colon", command.Quoted(user.Name))
		}
	}
	return c.Print(env, user, func(w io.Writer) { writeUsers(w, []manage.UserView{user}) })
}

type userList struct {
	location.Users
	command.Output
}

// Run lists the users in the order of their creation.
func (c *userList) Run(env *command.Env) error {
	u, err := c.Open(env)
	if err != nil {
		return err
	}
	defer u.Close()
	all, err := u.ListUsers(env.Context)
	if err != nil {
		return u.Explain(err, "")
	}
	return c.Print(env, all, func(w io.Writer) { writeUsers(w, all) })
}

type userDelete struct {
	Names []string `arg:"" name:"name" help:"Names of the users."`
	location.WrittenUsers
	command.Output
}

// Run deletes as many of the users as it can.
func (c *userDelete) Run(env *command.Env) error {
	u, err := c.Open(env)
	if err != nil {
		return err
	}
	defer u.Close()
	return deleteEach(c.Output, env, c.Names, func(name string) error {
		return u.Explain(u.DeleteUser(env.Context, name), name)
	})
}

type userImport struct {
	location.UserFile
	location.StartOver
	command.Output
}

// Run imports all the users, or none.
func (c *userImport) Run(env *command.Env) error {
	u, err := c.Open(env, c.StartOver)
	if err != nil {
		return err
	}
	defer u.Close()
	given, err := importer.ReadHtpasswd(env.Stdin)
	if err != nil {
		return err
	}
	views, err := u.ImportUsers(env.Context, given)
	if err != nil {
		return u.Explain(err, "")
	}
	return c.Print(env, views, func(w io.Writer) { writeUsers(w, views) })
}
