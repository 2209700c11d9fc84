package location

import (
	"context"
	"io"
	"time"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/importer"
	"keyward/usage"
)

// KeyService is the keys that the commands show and change: those of a file, or those
// of a running Keyward. Its errors are the store's, or fault.Error.
type KeyService interface {
	CreateKey(ctx context.Context, k client.NewKey) (manage.KeyView, authz.Secret, error)
	// ImportKeys imports all keys of the input, or none. It returns their ids and
	// parameters in the order of the input.
	ImportKeys(ctx context.Context, in io.Reader, f importer.KeyFormat, common client.NewKey) ([]string, []*store.KeyParams, error)
	Key(ctx context.Context, id string) (manage.KeyView, error)
	// ListKeys returns keys in the order of their creation.
	ListKeys(ctx context.Context, f store.KeyFilter) ([]manage.KeyView, error)
	// KeyUsage returns nil if there is nothing that records use.
	KeyUsage(ctx context.Context, id string) (*usage.Usage, error)
	// FindKey returns the key with that secret, in the state revoked if it has a new one.
	FindKey(ctx context.Context, secret authz.Secret) (manage.KeyView, error)
	UpdateKey(ctx context.Context, id string, patch manage.KeyPatch) (manage.KeyView, error)
	RotateKey(ctx context.Context, id string, grace time.Duration) (manage.KeyView, authz.Secret, error)
	ChangeKey(ctx context.Context, id string, change client.KeyChange, reason string) (manage.KeyView, error)

	// Location returns where the keys are, as it stands in messages behind "in" or "at".
	Location() string
	// Explain adds to an error about the key what is known of its cause. "" is any key.
	Explain(err error, id string) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// Keys has the flags that name the keys: those of a file, or those of a server.
type Keys struct {
	KeyFile
	Server
}

// Open returns the keys: of the file, or of the server that the flags name.
func (p *Keys) Open(env *command.Env) (KeyService, error) {
	return p.openWith(env, StartOver{}, UsageFile{})
}

func (p *Keys) openWith(env *command.Env, begin StartOver, used UsageFile) (KeyService, error) {
	c, err := p.Connect(env, append(p.flags(), begin.flag(), used.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteKeys{c}, nil
	}
	k, err := p.openFile(env, begin)
	if err != nil {
		return nil, err
	}
	if used.Usage != "" {
		k.usage = used.Usage
	}
	return k, nil
}

// WrittenKeys is a Keys whose keys the command changes.
type WrittenKeys struct {
	Keys
	StartOver
}

// Open returns the keys, to be changed: of the file, or of the server that the flags name.
func (p *WrittenKeys) Open(env *command.Env) (KeyService, error) {
	return p.openWith(env, p.StartOver, UsageFile{})
}

// UsedKeys is a Keys with the use of its keys.
type UsedKeys struct {
	Keys
	UsageFile
}

// Open returns the keys, with their use: of the file, or of the server that the flags name.
func (p *UsedKeys) Open(env *command.Env) (KeyService, error) {
	return p.openWith(env, StartOver{}, p.UsageFile)
}

// UsageFile has the flag that names the usage file.
type UsageFile struct {
	Usage string `placeholder:"FILE" help:"Usage file (default: the one that --config names, if any)."`
}
