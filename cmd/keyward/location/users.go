package location

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/journal"
)

// UserService is the users that the commands show and change: those of a file, or those
// of a running Keyward. Its errors are the store's, or fault.Error.
type UserService interface {
	// SetUser makes the user, or changes what the patch gives, and the password unless
	// that is nil. made is whether it made the user.
	SetUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (user manage.UserView, made bool, err error)
	// ListUsers returns the users in the order of their creation.
	ListUsers(ctx context.Context) ([]manage.UserView, error)
	DeleteUser(ctx context.Context, name string) error

	// Explain adds to an error about the user what is known of its cause. "" is any user.
	Explain(err error, name string) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// UserFile has the flags that name the users file.
type UserFile struct {
	File   string `placeholder:"FILE" help:"Users file (default users.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the users file."`
}

// Users has the flags that name the users: those of a file, or those of a server.
type Users struct {
	UserFile
	Server
}

// Open returns the users: of the file, or of the server that the flags name.
func (p *Users) Open(env *command.Env) (UserService, error) {
	return p.openWith(env, StartOver{})
}

func (p *Users) openWith(env *command.Env, begin StartOver) (UserService, error) {
	c, err := p.Connect(env, append(filePair(p.File, p.Config), begin.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteUsers{c}, nil
	}
	return p.openFile(env, begin)
}

// WrittenUsers is a Users whose users the command changes.
type WrittenUsers struct {
	Users
	StartOver
}

// Open returns the users, to be changed: of the file, or of the server that the flags name.
func (p *WrittenUsers) Open(env *command.Env) (UserService, error) {
	return p.openWith(env, p.StartOver)
}

// remoteUsers is the users of a running Keyward.
type remoteUsers struct{ *client.Client }

func (u remoteUsers) Explain(err error, name string) error {
	return explainUser(err, name, "at "+u.Server())
}

// FileUsers is a users file.
type FileUsers struct {
	*records
	env    *command.Env
	path   string
	config string // the configuration; "" is none
}

// Open opens the file for a command that works on files alone.
func (f *UserFile) Open(env *command.Env, begin StartOver) (*FileUsers, error) {
	if err := onFiles(env, filePair(f.File, f.Config)...); err != nil {
		return nil, err
	}
	return f.openFile(env, begin)
}

func (f *UserFile) openFile(env *command.Env, begin StartOver) (*FileUsers, error) {
	cfg, err := configOf(env, "users", f.File, f.Config, func(cfg *config.Config) *string { return &cfg.Users.File })
	if err != nil {
		return nil, err
	}
	r, err := openRecords(env, cfg, nil, begin)
	return &FileUsers{r, env, cfg.Users.File, f.Config}, err
}

// SetUser implements UserService.
func (u *FileUsers) SetUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (manage.UserView, bool, error) {
	r, err := u.Service.SetUser(ctx, u.operator, manage.UserRef{Name: name}, patch, password)
	if err != nil {
		return manage.UserView{}, false, err
	}
	return manage.ViewUser(&r), r.Created.Equal(r.At), nil
}

// ListUsers implements UserService.
func (u *FileUsers) ListUsers(ctx context.Context) ([]manage.UserView, error) {
	all, _, err := u.users.List(ctx, store.UserFilter{}, store.Page{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && u.missing(u.path) {
		u.env.Note("note: there is no file %s", u.path)
	}
	return viewUsers(all), nil
}

func viewUsers(all []store.UserRecord) []manage.UserView {
	views := make([]manage.UserView, len(all))
	for i := range all {
		views[i] = manage.ViewUser(&all[i])
	}
	return views
}

// ImportUsers imports users of another system, and warns of the names of new ones that
// may be taken for others.
func (u *FileUsers) ImportUsers(ctx context.Context, given []store.ImportedUser) ([]manage.UserView, error) {
	records, err := u.Service.ImportUsers(ctx, u.operator, given)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if r := &records[i]; r.Created.Equal(r.At) { // made now
			u.env.WarnOfScripts("user", r.Name)
		}
	}
	return viewUsers(records), nil
}

// DeleteUser implements UserService.
func (u *FileUsers) DeleteUser(ctx context.Context, name string) error {
	u.LatestKey = u.latestKey
	return u.Service.DeleteUser(ctx, u.operator, manage.UserRef{Name: name})
}

// latestKey returns when the newest key of the user was created, if the key file of the
// configuration can be read. A time in the future comes from a clock that is ahead of
// this one; that key must be revoked with the others.
func (u *FileUsers) latestKey(ctx context.Context, name string) (time.Time, error) {
	if u.config == "" {
		return time.Time{}, nil
	}
	keys, err := u.keysOf()
	var made map[string]time.Time
	if err == nil {
		made, err = keys.LatestKeys(ctx, []string{name})
	}
	if err != nil && !errors.Is(err, errNoKeyFile) {
		u.env.Note("note: a key that was made by a clock ahead of this one may outlive its user: %v", err)
	}
	at := made[name]
	if at.After(u.env.Now()) {
		u.env.Note("note: a key of %s was made at %s, which is in the future: keys made for that name until then end too", command.Quoted(name), command.Instant(at))
	}
	return at, nil
}

// keysOf returns the keys of the configuration.
func (u *FileUsers) keysOf() (store.KeyReader, error) {
	if u.db != nil {
		return u.records.keys, nil
	}
	k, err := (&KeyFile{Config: u.config}).openFile(u.env, StartOver{})
	if err != nil {
		return nil, err
	}
	return k.keys, nil
}

// Close warns of changes that are not in the audit log.
func (u *FileUsers) Close() { u.close(u.env) }

// Explain adds to an error what is known of its cause.
func (u *FileUsers) Explain(err error, name string) error {
	switch cause := CauseOf(err); {
	case errors.Is(cause, journal.ErrDamaged):
		return explainDamaged(cause)
	case errors.Is(cause, store.ErrNotFound) && u.missing(u.path):
		return fmt.Errorf("no users file %s", u.path)
	default:
		return explainUser(cause, name, u.in(u.path))
	}
}

// explainUser adds to an error about a user who it is, and where that was looked for.
func explainUser(err error, name, place string) error {
	switch err = CauseOf(err); {
	case errors.Is(err, store.ErrNotFound) && name != "":
		return fmt.Errorf("no user %s %s", command.Quoted(name), place)
	case errors.Is(err, store.ErrUnsupported) && name != "":
		return fmt.Errorf("user %s: %w", command.Quoted(name), err)
	default:
		return err
	}
}
