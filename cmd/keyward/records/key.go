package records

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/manage"
	"keyward/store"

	"keyward/cmd/keyward/command"
)

// KeyCommands are the commands `keyward key`.
type KeyCommands struct {
	Create  keyCreate  `cmd:"" help:"Create a key and print it once."`
	List    keyList    `cmd:"" help:"List the keys."`
	Show    keyShow    `cmd:"" help:"Show the record of a key."`
	Revoke  keyRevoke  `cmd:"" help:"Revoke keys. Records are kept."`
	Delete  keyDelete  `cmd:"" help:"Revoke keys and erase their records at the next compact."`
	Rotate  keyRotate  `cmd:"" help:"Give a key a new secret and print it once."`
	Import  keyImport  `cmd:"" help:"Import existing keys, one per line on standard input."`
	Verify  keyVerify  `cmd:"" help:"Read a key from standard input and print its record."`
	Compact keyCompact `cmd:"" help:"Rewrite the key file without superseded and deleted records."`
}

// keyFlags has the flags that say what a key may do.
type keyFlags struct {
	User     string   `help:"User that the key acts for."`
	Project  string   `help:"Project that the key belongs to."`
	Path     []string `sep:"none" placeholder:"PATH" help:"Path that the key may access, with all below it; =PATH for that path alone. Repeatable; default: any path."`
	Scope    []string `sep:"none" xor:"scopes" placeholder:"SCOPE" help:"Scope of the key. Repeatable; default: the scopes of its user."`
	NoScopes bool     `xor:"scopes" help:"Give the key no scopes, regardless of its user's."`
	Prefix   *string  `placeholder:"PREFIX" help:"Prefix of the key (default kw_, or the first in the configuration)."`
	Expires  string   `placeholder:"WHEN" help:"When the key expires: after 90d or 12h, or at an RFC 3339 time."`
	Rate     string   `placeholder:"N/UNIT" help:"Rate limit of the key, such as 1000/h."`
}

// newKeys has the flags of the commands that add keys to a file.
type newKeys struct {
	keyFlags
	writtenKeyFile
	command.Output
}

// begin opens the file and reads what the new keys may do. If a name is given
// it must not be empty.
func (n *newKeys) begin(env *command.Env, name *string) (*keys, store.KeyParams, error) {
	if name != nil && strings.TrimSpace(*name) == "" {
		return nil, store.KeyParams{}, command.Usagef("--name: want a text that says what the key is for")
	}
	k, err := n.open(env)
	if err != nil {
		return nil, store.KeyParams{}, err
	}
	p, err := n.params(env, k)
	if name != nil {
		p.Name = *name
	}
	return k, p, err
}

func (f *keyFlags) params(env *command.Env, k *keys) (store.KeyParams, error) {
	p := store.KeyParams{User: f.User, Project: f.Project, Paths: f.Path, Rate: f.Rate, Prefix: k.prefix()}
	if f.Prefix != nil {
		p.Prefix = *f.Prefix
	}
	if len(f.Scope) > 0 || f.NoScopes {
		scopes := append([]string{}, f.Scope...) // not nil: that would be its user's
		p.Scopes = &scopes
	}
	if f.Rate != "" {
		if _, err := authz.ParseRate(f.Rate); err != nil {
			return p, command.Usagef("--rate %q: %v", f.Rate, err)
		}
	}
	var err error
	if p.Expires, err = expiry(f.Expires, env.Now()); err != nil {
		return p, command.UsageError(err)
	}
	return p, nil
}

// prefix returns the default prefix of a new key: the first one by which the
// server recognises a key.
func (k *keys) prefix() string {
	if len(k.prefixes) == 0 {
		return config.Default().Keys.Prefixes[0]
	}
	for _, prefix := range k.prefixes {
		if prefix != "" {
			return prefix
		}
	}
	return ""
}

// expiry reads a future time: a duration from now, or an RFC 3339 time. "" is never.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := config.ParseDuration(text)
		if err != nil {
			return time.Time{}, fmt.Errorf("--expires %q: want a time from now as 90d or 12h, or an RFC 3339 time as 2030-01-31T00:00:00Z", text)
		}
		at = now.Add(d)
	}
	at = at.UTC().Truncate(time.Second)
	if !at.After(now) {
		return time.Time{}, fmt.Errorf("--expires %q: that is not in the future", text)
	}
	return at, nil
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
	if p.Format = apikey.Format(c.Format); p.Format == apikey.FormatHex {
		if c.Prefix != nil && *c.Prefix != "" {
			return command.Usagef("--prefix: a hex key has none")
		}
		p.Prefix = ""
	}
	if len(k.prefixes) > 0 && !slices.Contains(k.prefixes, p.Prefix) {
		env.Note("note: keys.prefixes in %s does not have %q: as a bearer token this key will be refused", c.Config, p.Prefix)
	}
	r, secret, err := k.records.CreateKey(env.Context, k.records.operator, p)
	if err != nil {
		return asUsage(k.explain(err, ""))
	}
	warnOfKeys(env, []store.KeyRecord{r})
	return handOut(c.Output, env, k, &r, secret, "created")
}

// handOut prints a secret, which is not stored and cannot be printed again.
func handOut(o command.Output, env *command.Env, k *keys, r *store.KeyRecord, secret authz.Secret, done string) error {
	view := k.view(r, env.Now())
	view.Key = secret.Reveal()
	err := o.Print(env, view, func(w io.Writer) { fmt.Fprintln(w, secret.Reveal()) })
	if err != nil {
		return fmt.Errorf("%s key %s, but could not print its secret, which cannot be shown again; rotate or revoke the key: %w", done, r.ID, err)
	}
	if !view.UserGone.IsZero() {
		env.Note("note: %s ended when its user was deleted and is denied with any secret; create another key", r.ID)
	}
	if !o.JSON {
		env.Note("%s key %s in %s; the secret will not be shown again", done, r.ID, k.path)
	}
	return nil
}

type keyRotate struct {
	ID    string `arg:"" help:"Key id (k_…)."`
	Grace string `placeholder:"TIME" help:"How long the old secret stays valid, such as 24h. Without it every earlier secret is revoked at once."`
	writtenKeyFile
	command.Output
}

// Run replaces the key's secret.
func (c *keyRotate) Run(env *command.Env) error {
	grace := time.Duration(0)
	if c.Grace != "" && c.Grace != "0" {
		var err error
		if grace, err = config.ParseDuration(c.Grace); err != nil || grace < 0 {
			return command.Usagef("--grace %q: want a time as 90s, 24h or 7d", c.Grace)
		}
	}
	k, err := c.openWithUsers(env)
	if err != nil {
		return err
	}
	r, secret, err := k.records.RotateKey(env.Context, k.records.operator, manage.KeyRef{ID: c.ID}, grace)
	if errors.Is(err, store.ErrRevoked) {
		return fmt.Errorf("key %s is revoked and stays so; create another with `keyward key create`", c.ID)
	}
	if err != nil {
		return k.explain(err, c.ID)
	}
	if earlier := k.view(&r, env.Now()).Previous; len(earlier) > 1 {
		last := slices.MaxFunc(earlier, time.Time.Compare)
		env.Note("note: earlier secrets stay valid until their grace ends, the last until %s; rotate without --grace to end them", command.Instant(last))
	}
	return handOut(c.Output, env, k, &r, secret, "rotated")
}
