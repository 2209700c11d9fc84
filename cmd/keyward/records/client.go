package records

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage/client"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/confusable"
	"keyward/store/oauth"
)

// ClientCommands are the commands `keyward client`.
type ClientCommands struct {
	Create  clientCreate  `cmd:"" help:"Create an OAuth client and print its secret once."`
	List    clientList    `cmd:"" help:"List the OAuth clients."`
	Show    clientShow    `cmd:"" help:"Show an OAuth client."`
	Rotate  clientRotate  `cmd:"" help:"Give an OAuth client a new secret and print it once."`
	Disable clientDisable `cmd:"" help:"Disable an OAuth client and end its tokens."`
	Enable  clientEnable  `cmd:"" help:"Enable an OAuth client again. Tokens that ended stay so."`
	Delete  clientDelete  `cmd:"" help:"Delete OAuth clients. Their secrets and tokens end."`
}

type clientCreate struct {
	Name        string        `arg:"" help:"Name of the client, which users see when they are asked for their consent."`
	RedirectURI []string      `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where codes are sent to: https, or http on a loopback host. With the grant authorization_code. Repeatable."`
	Scope       []string      `sep:"none" placeholder:"SCOPE" help:"Scope that the client's tokens may have. Repeatable; default: none."`
	Grant       []oauth.Grant `required:"" sep:"none" placeholder:"GRANT" help:"How the client gets tokens: authorization_code, refresh_token or client_credentials. Repeatable."`
	Public      bool          `help:"The client cannot keep a secret, as a program on a user's device, and gets none."`
	location.WrittenOAuthClients
	command.Output
}

// Run creates the client.
func (c *clientCreate) Run(env *command.Env) error {
	if strings.TrimSpace(c.Name) == "" {
		return command.Usagef("want a name, which users see when they are asked for their consent")
	}
	if err := checkGrants(c.Grant...); err != nil {
		return err
	}
	s, err := c.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	view, secret, err := s.CreateOAuthClient(env.Context, registry.ClientInput{
		Name: c.Name, RedirectURIs: c.RedirectURI, Scopes: c.Scope, Grants: c.Grant, Public: c.Public,
	})
	if errors.Is(err, client.ErrSecretLost) {
		return clientSecret(&view, "created").lost()
	}
	if err != nil {
		return location.AsUsage(s.Explain(err, ""))
	}
	env.WarnOfScripts("client", view.Name)
	if view.Public {
		return c.Print(env, view, func(w io.Writer) { writeClient(w, &view) })
	}
	return handOutClient(c.Output, env, s, view, secret, "created")
}

// checkGrants returns why the values of --grant are not all grants.
func checkGrants(grants ...oauth.Grant) error {
	for _, g := range grants {
		if !slices.Contains(oauth.Grants(), g) {
			return command.Usagef("--grant %q: want one of %s", string(g), strings.Trim(fmt.Sprint(oauth.Grants()), "[]"))
		}
	}
	return nil
}

// clientSecret is the secret of a client that was created or rotated.
func clientSecret(view *registry.ClientView, done string) newSecret {
	return newSecret{fmt.Sprintf("%s client %s", done, confusable.Shown(view.ID)), "rotate or delete the client"}
}

// handOutClient prints the secret of a client.
func handOutClient(o command.Output, env *command.Env, s location.OAuthClientService, view registry.ClientView, secret authz.Secret, done string) error {
	made := clientSecret(&view, done)
	view.Secret = secret.Reveal()
	return made.print(o, env, view, secret, s.Location())
}

type clientRotate struct {
	ID    string `arg:"" help:"Client id (c_…)."`
	Grace string `placeholder:"TIME" help:"How long the old secret stays valid, such as 24h. Without it every earlier secret and the client's tokens end at once."`
	location.WrittenOAuthClients
	command.Output
}

// Run replaces the client's secret.
func (c *clientRotate) Run(env *command.Env) error {
	grace, err := graceOf(c.Grace)
	if err != nil {
		return err
	}
	s, err := c.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	view, secret, err := s.RotateOAuthClient(env.Context, c.ID, grace)
	if errors.Is(err, client.ErrSecretLost) {
		return clientSecret(&view, "rotated").lost()
	}
	if err != nil {
		return s.Explain(err, c.ID)
	}
	noteOfGraces(env, view.Previous)
	return handOutClient(c.Output, env, s, view, secret, "rotated")
}

type clientList struct {
	Grant oauth.Grant `placeholder:"GRANT" help:"Only clients with that grant."`
	Query string      `placeholder:"TEXT" help:"Only clients with that in the name, or with that id."`
	location.OAuthClients
	command.Output
}

// Run lists the clients in the order of their creation.
func (c *clientList) Run(env *command.Env) error {
	if c.Grant != "" {
		if err := checkGrants(c.Grant); err != nil {
			return err
		}
	}
	s, err := c.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.ListOAuthClients(env.Context, store.ClientFilter{Grant: c.Grant, Text: c.Query})
	if err != nil {
		return s.Explain(err, "")
	}
	return c.Print(env, all, func(w io.Writer) { writeClients(w, all) })
}

type clientShow struct {
	ID string `arg:"" help:"Client id (c_…)."`
	location.OAuthClients
	command.Output
}

// Run shows one client.
func (c *clientShow) Run(env *command.Env) error {
	s, err := c.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	found, err := s.OAuthClient(env.Context, c.ID)
	if err != nil {
		return s.Explain(err, c.ID)
	}
	return c.Print(env, found, func(w io.Writer) { writeClient(w, &found) })
}

type clientDisable struct {
	ID string `arg:"" help:"Client id (c_…)."`
	location.WrittenOAuthClients
	command.Output
}

// Run disables the client.
func (c *clientDisable) Run(env *command.Env) error {
	return setDisabled(&c.WrittenOAuthClients, c.Output, env, c.ID, true, "disabled")
}

type clientEnable struct {
	ID string `arg:"" help:"Client id (c_…)."`
	location.WrittenOAuthClients
	command.Output
}

// Run enables the client.
func (c *clientEnable) Run(env *command.Env) error {
	return setDisabled(&c.WrittenOAuthClients, c.Output, env, c.ID, false, "enabled")
}

// setDisabled disables or enables one client and prints its record, or what was done.
func setDisabled(place *location.WrittenOAuthClients, o command.Output, env *command.Env, id string, disabled bool, done string) error {
	s, err := place.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	after, err := s.DisableOAuthClient(env.Context, id, disabled)
	if err != nil {
		return s.Explain(err, id)
	}
	return o.Print(env, after, func(w io.Writer) { fmt.Fprintln(w, done, confusable.Shown(after.ID)) })
}

type clientDelete struct {
	IDs []string `arg:"" name:"id" help:"Client ids (c_…)."`
	location.WrittenOAuthClients
	command.Output
}

// Run deletes as many of the clients as it can.
func (c *clientDelete) Run(env *command.Env) error {
	s, err := c.Open(env)
	if err != nil {
		return err
	}
	defer s.Close()
	return deleteEach(c.Output, env, c.IDs, func(id string) error {
		return s.Explain(s.DeleteOAuthClient(env.Context, id), id)
	})
}
