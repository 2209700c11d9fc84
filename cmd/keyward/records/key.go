package records

import (
	"errors"
	"fmt"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/cmd/keyward/location"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/confusable"
)

// KeyCommands are the commands `keyward key`.
type KeyCommands struct {
	Create   keyCreate   `cmd:"" help:"Create a key and print it once."`
	List     keyList     `cmd:"" help:"List the keys."`
	Show     keyShow     `cmd:"" help:"Show the record of a key."`
	Update   keyUpdate   `cmd:"" help:"Change the given settings of a key."`
	Pause    keyPause    `cmd:"" help:"Have the checks refuse a key until it is resumed."`
	Resume   keyResume   `cmd:"" help:"End the pause of a key."`
	Revoke   keyRevoke   `cmd:"" help:"Revoke keys. Records are kept."`
	Delete   keyDelete   `cmd:"" help:"Revoke keys and erase their records at the next compact."`
	Rotate   keyRotate   `cmd:"" help:"Give a key a new secret and print it once."`
	EndGrace keyEndGrace `cmd:"" help:"End the secrets of a key that rotations replaced."`
	Import   keyImport   `cmd:"" help:"Import existing keys, one per line on standard input."`
	Verify   keyVerify   `cmd:"" help:"Read a key from standard input and print its record."`
	Compact  keyCompact  `cmd:"" help:"Rewrite the key file without superseded and deleted records."`
}

// keyFlags has the flags that say what a new key may do.
type keyFlags struct {
	User        string   `help:"User that the key acts for."`
	Project     string   `help:"Project that the key belongs to."`
	Path        []string `sep:"none" placeholder:"PATH" help:"Path that the key may access, with all below it; =PATH for that path alone. Repeatable; default: any path."`
	Scope       []string `sep:"none" xor:"scopes" placeholder:"SCOPE" help:"Scope of the key. Repeatable; default: the scopes of its user."`
	NoScopes    bool     `xor:"scopes" help:"Give the key no scopes, regardless of its user's."`
	Prefix      *string  `placeholder:"PREFIX" help:"Prefix of the key (default kw_, or the first in the configuration)."`
	Expires     string   `placeholder:"WHEN" help:"When the key expires: after 90d or 12h, or at an RFC 3339 time."`
	Rate        string   `placeholder:"N/UNIT" help:"Rate limit of the key, such as 1000/h."`
	Description string   `placeholder:"TEXT" help:"What the key is for, in up to 1024 bytes."`
	Owner       string   `placeholder:"TEXT" help:"Who answers for the key. Permission does not depend on it."`
	NotBefore   string   `placeholder:"WHEN" help:"When the key begins to be valid: after 7d, or at an RFC 3339 time."`
	CIDR        []string `name:"cidr" sep:"none" placeholder:"NETWORK" help:"Network of the key's clients, such as 192.0.2.0/24. Repeatable; default: any address."`
}

// newKeys has the flags of the commands that add keys.
type newKeys struct {
	keyFlags
	location.WrittenKeys
	command.Output
}

// begin finds the keys and reads what the new ones may do. If a name is given it must
// not be empty.
func (n *newKeys) begin(env *command.Env, name *string) (location.KeyService, client.NewKey, error) {
	if name != nil && strings.TrimSpace(*name) == "" {
		return nil, client.NewKey{}, command.Usagef("--name: want a text that says what the key is for")
	}
	k, err := n.Open(env)
	if err != nil {
		return nil, client.NewKey{}, err
	}
	p, err := n.params(env)
	if name != nil {
		p.Name = *name
	}
	return k, p, err
}

func (f *keyFlags) params(env *command.Env) (client.NewKey, error) {
	p := store.KeyParams{User: f.User, Project: f.Project, Paths: f.Path, Rate: f.Rate, Description: f.Description, Owner: f.Owner}
	if f.Prefix != nil {
		p.Prefix = *f.Prefix
	}
	if len(f.Scope) > 0 || f.NoScopes {
		scopes := append([]string{}, f.Scope...) // not nil: that would be its user's
		p.Scopes = &scopes
	}
	err := checkRate(f.Rate)
	if err == nil {
		p.Expires, err = expiry(f.Expires, env.Now())
	}
	if err == nil {
		p.NotBefore, err = beginning(f.NotBefore, env.Now())
	}
	if err == nil {
		p.CIDRs, err = networks(f.CIDR)
	}
	if err != nil {
		err = command.UsageError(err)
	}
	return client.NewKey{KeyParams: p, DefaultPrefix: f.Prefix == nil}, err
}

type keyCreate struct {
	Name *string `required:"" help:"Name of the key, such as what it is for."`
	newKeys
	Format string `enum:"keyward,hex" default:"keyward" help:"keyward, or hex: 44 hexadecimal characters without a prefix."`
}

// Run creates the key.
func (c *keyCreate) Run(env *command.Env) error {
	k, p, err := c.begin(env, c.Name)
	if err != nil {
		return err
	}
	defer k.Close()
	if p.Format = apikey.Format(c.Format); p.Format == apikey.FormatHex {
		if c.Prefix != nil && *c.Prefix != "" {
			return command.Usagef("--prefix: a hex key has none")
		}
		p.Prefix = ""
	}
	view, secret, err := k.CreateKey(env.Context, p)
	if errors.Is(err, client.ErrSecretLost) {
		return keySecret(&view, "created").lost()
	}
	if err != nil {
		return location.AsUsage(k.Explain(err, ""))
	}
	warnOfKeys(env, []*store.KeyParams{&p.KeyParams})
	return handOut(c.Output, env, k, view, secret, "created")
}

// keySecret is the secret of a key that was created or rotated.
func keySecret(view *manage.KeyView, done string) newSecret {
	return newSecret{fmt.Sprintf("%s key %s", done, confusable.Shown(view.ID)), "rotate or revoke the key"}
}

// handOut prints the secret of a key.
func handOut(o command.Output, env *command.Env, k location.KeyService, shown manage.KeyView, secret authz.Secret, done string) error {
	view := keyView{KeyView: shown}
	view.Key = secret.Reveal()
	if !view.UserGone.IsZero() {
		env.Note("note: %s ended when its user was deleted and is denied with any secret; create another key", view.ID)
	}
	return keySecret(&shown, done).print(o, env, view, secret, k.Location())
}

type keyRotate struct {
	ID    string `arg:"" help:"Key id (k_…)."`
	Grace string `placeholder:"TIME" help:"How long the old secret stays valid, such as 24h. Without it every earlier secret is revoked at once."`
	location.WrittenKeys
	command.Output
}

// Run replaces the key's secret.
func (c *keyRotate) Run(env *command.Env) error {
	grace, err := graceOf(c.Grace)
	if err != nil {
		return err
	}
	k, err := c.Open(env)
	if err != nil {
		return err
	}
	defer k.Close()
	view, secret, err := k.RotateKey(env.Context, c.ID, grace)
	switch {
	case errors.Is(err, client.ErrSecretLost):
		return keySecret(&view, "rotated").lost()
	case errors.Is(err, store.ErrRevoked):
		return fmt.Errorf("key %s is revoked and stays so; create another with `keyward key create`", c.ID)
	case err != nil:
		return k.Explain(err, c.ID)
	}
	noteOfGraces(env, view.Previous)
	return handOut(c.Output, env, k, view, secret, "rotated")
}
