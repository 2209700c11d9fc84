package location

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage/client"
	"keyward/manage/registry"
	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
)

// OAuthClientService is the OAuth clients that the commands show and change: those of a
// file, or those of a running Keyward. Its errors are the store's, or fault.Error.
type OAuthClientService interface {
	// CreateOAuthClient returns no secret for a public client.
	CreateOAuthClient(ctx context.Context, in registry.ClientInput) (registry.ClientView, authz.Secret, error)
	OAuthClient(ctx context.Context, id string) (registry.ClientView, error)
	// ListOAuthClients returns clients in the order of their creation.
	ListOAuthClients(ctx context.Context, f store.ClientFilter) ([]registry.ClientView, error)
	RotateOAuthClient(ctx context.Context, id string, grace time.Duration) (registry.ClientView, authz.Secret, error)
	// DisableOAuthClient disables a client, or enables it again.
	DisableOAuthClient(ctx context.Context, id string, disabled bool) (registry.ClientView, error)
	DeleteOAuthClient(ctx context.Context, id string) error

	// Location returns where the clients are, as it stands in messages behind "in" or
	// "at".
	Location() string
	// Explain adds to an error about the client what is known of its cause. "" is any
	// client.
	Explain(err error, id string) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// OAuthClients has the flags that name the OAuth clients: those of a file, or those of a
// server.
type OAuthClients struct {
	File       string `placeholder:"FILE" help:"Clients file (default clients.jsonl, or what --config names)."`
	Config     string `placeholder:"FILE" help:"Configuration that names the clients file and the pepper."`
	PepperFile string `placeholder:"FILE" help:"Pepper with which the secrets in the file are hashed."`
	Server
}

// Open returns the clients: of the file, or of the server that the flags name.
func (l *OAuthClients) Open(env *command.Env) (OAuthClientService, error) {
	return l.openWith(env, StartOver{})
}

func (l *OAuthClients) openWith(env *command.Env, begin StartOver) (OAuthClientService, error) {
	c, err := l.Connect(env, append(filePair(l.File, l.Config), pepperFlag(l.PepperFile), begin.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteOAuthClients{c}, nil
	}
	cfg, err := configOf(env, "clients", l.File, l.Config, func(cfg *config.Config) *string { return &cfg.Clients.File })
	if err != nil {
		return nil, err
	}
	hasher, err := hasherOf(cfg, l.PepperFile)
	if err != nil {
		return nil, err
	}
	r, err := openRecords(env, cfg, hasher, begin)
	return &fileOAuthClients{r, env, cfg.Clients.File}, err
}

// WrittenOAuthClients is an OAuthClients whose clients the command changes.
type WrittenOAuthClients struct {
	OAuthClients
	StartOver
}

// Open returns the clients, to be changed: of the file, or of the server that the flags name.
func (l *WrittenOAuthClients) Open(env *command.Env) (OAuthClientService, error) {
	return l.openWith(env, l.StartOver)
}

// remoteOAuthClients is the OAuth clients of a running Keyward.
type remoteOAuthClients struct{ *client.Client }

func (c remoteOAuthClients) Location() string { return "at " + c.Server() }

func (c remoteOAuthClients) Explain(err error, id string) error {
	return explainOAuthClient(CauseOf(err), id, c.Location())
}

// fileOAuthClients is a clients file.
type fileOAuthClients struct {
	*records
	env  *command.Env
	path string
}

// CreateOAuthClient implements OAuthClientService.
func (c *fileOAuthClients) CreateOAuthClient(ctx context.Context, in registry.ClientInput) (registry.ClientView, authz.Secret, error) {
	r, secret, err := c.CreateClient(ctx, c.operator, in)
	return c.view(&r, err), secret, err
}

// OAuthClient implements OAuthClientService.
func (c *fileOAuthClients) OAuthClient(ctx context.Context, id string) (registry.ClientView, error) {
	r, err := c.Client(ctx, c.operator, id)
	return c.view(&r, err), err
}

// view returns what is shown of the record, unless there is an error in its place.
func (c *fileOAuthClients) view(r *store.Client, err error) registry.ClientView {
	if err != nil {
		return registry.ClientView{}
	}
	return registry.ViewClient(r, c.env.Now())
}

// ListOAuthClients implements OAuthClientService.
func (c *fileOAuthClients) ListOAuthClients(ctx context.Context, f store.ClientFilter) ([]registry.ClientView, error) {
	all, _, err := c.ListClients(ctx, c.operator, f, store.Page{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && c.missing(c.path) {
		c.env.Note("note: there is no file %s", c.path)
	}
	views := make([]registry.ClientView, len(all))
	for i := range all {
		views[i] = c.view(&all[i], nil)
	}
	return views, nil
}

// RotateOAuthClient implements OAuthClientService.
func (c *fileOAuthClients) RotateOAuthClient(ctx context.Context, id string, grace time.Duration) (registry.ClientView, authz.Secret, error) {
	r, secret, err := c.RotateClient(ctx, c.operator, registry.ClientRef{ID: id}, grace)
	return c.view(&r, err), secret, err
}

// DisableOAuthClient implements OAuthClientService.
func (c *fileOAuthClients) DisableOAuthClient(ctx context.Context, id string, disabled bool) (registry.ClientView, error) {
	r, err := c.UpdateClient(ctx, c.operator, registry.ClientRef{ID: id}, registry.ClientPatch{Disabled: &disabled})
	return c.view(&r, err), err
}

// DeleteOAuthClient implements OAuthClientService.
func (c *fileOAuthClients) DeleteOAuthClient(ctx context.Context, id string) error {
	return c.DeleteClient(ctx, c.operator, registry.ClientRef{ID: id})
}

// Location implements OAuthClientService.
func (c *fileOAuthClients) Location() string { return c.in(c.path) }

// Close warns of changes that are not in the audit log.
func (c *fileOAuthClients) Close() { c.close(c.env) }

func (c *fileOAuthClients) Explain(err error, id string) error {
	switch cause := CauseOf(err); {
	case errors.Is(cause, journal.ErrDamaged):
		return explainDamaged(cause)
	case errors.Is(cause, fileheader.ErrPepper):
		return explainPepper(cause)
	case errors.Is(cause, store.ErrNotFound) && c.missing(c.path):
		return fmt.Errorf("no clients file %s", c.path)
	default:
		return explainOAuthClient(cause, id, c.Location())
	}
}

// explainOAuthClient adds to an error about an OAuth client which one it is, and where
// that was looked for. What is not an id may be a secret, which must not be printed.
func explainOAuthClient(err error, id, place string) error {
	switch {
	case errors.Is(err, store.ErrNotFound) && id != "" && !store.ValidClientID(id):
		return fmt.Errorf("no such client %s: an id is c_ and 12 characters; `keyward client list` has the ids", place)
	case errors.Is(err, store.ErrNotFound) && id != "":
		return fmt.Errorf("no client %s %s", id, place)
	case errors.Is(err, store.ErrUnsupported) && id != "":
		return fmt.Errorf("client %s: %w", id, err)
	default:
		return err
	}
}
