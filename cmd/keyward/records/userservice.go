package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cmd/keyward/command"
	"keyward/config"
	"keyward/manage"
	"keyward/manage/client"
	"keyward/store"
	"keyward/store/journal"
)

// userService is the users that the commands show and change: those of a file, or those
// of a running Keyward. Its errors are the store's, or manage.Error.
type userService interface {
	// SetUser makes the user, or changes what the patch gives, and the password unless
	// that is nil. made is whether it made the user.
	SetUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (user manage.UserView, made bool, err error)
	// ListUsers returns the users in the order of their creation.
	ListUsers(ctx context.Context) ([]manage.UserView, error)
	DeleteUser(ctx context.Context, name string) error

	// explain adds to an error about the user what is known of its cause. "" is any user.
	explain(err error, name string) error
	// Close ends the work. It prints what is to be known of that.
	Close()
}

// userFile has the flags that name the users file.
type userFile struct {
	File   string `placeholder:"FILE" help:"Users file (default users.jsonl, or what --config names)."`
	Config string `placeholder:"FILE" help:"Configuration that names the users file."`
}

// userLocation has the flags that name the users: those of a file, or those of a server.
type userLocation struct {
	userFile
	server
}

func (p *userLocation) open(env *command.Env) (userService, error) {
	return p.openWith(env, startOver{})
}

func (p *userLocation) openWith(env *command.Env, begin startOver) (userService, error) {
	c, err := p.connect(env, append(filePair(p.File, p.Config), begin.flag())...)
	switch {
	case err != nil:
		return nil, err
	case c != nil:
		return remoteUsers{c}, nil
	}
	return p.openFile(env, begin)
}

// writtenUserLocation is a userLocation whose users the command changes.
type writtenUserLocation struct {
	userLocation
	startOver
}

func (p *writtenUserLocation) open(env *command.Env) (userService, error) {
	return p.openWith(env, p.startOver)
}

// remoteUsers is the users of a running Keyward.
type remoteUsers struct{ *client.Client }

func (u remoteUsers) explain(err error, name string) error {
	return explainUser(err, name, "at "+u.Server())
}

// fileUsers is a users file.
type fileUsers struct {
	*records
	env    *command.Env
	path   string
	config string // the configuration; "" is none
}

func (f *userFile) openFile(env *command.Env, begin startOver) (*fileUsers, error) {
	cfg, err := configOf(env, "users", f.File, f.Config, func(cfg *config.Config) *string { return &cfg.Users.File })
	if err != nil {
		return nil, err
	}
	return &fileUsers{openRecords(env, cfg, apikey.NewHasher(authz.Secret{}), begin), env, cfg.Users.File, f.Config}, nil
}

// SetUser implements userService.
func (u *fileUsers) SetUser(ctx context.Context, name string, patch manage.UserPatch, password *authz.Secret) (manage.UserView, bool, error) {
	r, err := u.Service.SetUser(ctx, u.operator, manage.UserRef{Name: name}, patch, password)
	if err != nil {
		return manage.UserView{}, false, err
	}
	return manage.ViewUser(&r), r.Created.Equal(r.At), nil
}

// ListUsers implements userService.
func (u *fileUsers) ListUsers(ctx context.Context) ([]manage.UserView, error) {
	all, _, err := u.users.List(ctx, store.UserFilter{}, store.Page{})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 && isMissing(u.path) {
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

// DeleteUser implements userService.
func (u *fileUsers) DeleteUser(ctx context.Context, name string) error {
	u.LatestKey = u.latestKey
	return u.Service.DeleteUser(ctx, u.operator, manage.UserRef{Name: name})
}

// latestKey returns when the newest key of the user was created, if the key file of the
// configuration can be read. A time in the future comes from a clock that is ahead of
// this one; that key must be revoked with the others.
func (u *fileUsers) latestKey(ctx context.Context, name string) (time.Time, error) {
	if u.config == "" {
		return time.Time{}, nil
	}
	k, err := (&keyFile{Config: u.config}).openFile(u.env, startOver{})
	var made map[string]time.Time
	if err == nil {
		made, err = k.keys.LatestKeys(ctx, []string{name})
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

// Close warns of changes that are not in the audit log.
func (u *fileUsers) Close() { u.noteUnwritten(u.env) }

func (u *fileUsers) explain(err error, name string) error {
	switch cause := causeOf(err); {
	case errors.Is(cause, journal.ErrDamaged):
		return explainDamaged(cause)
	case errors.Is(cause, store.ErrNotFound) && isMissing(u.path):
		return fmt.Errorf("no users file %s", u.path)
	default:
		return explainUser(cause, name, "in "+u.path)
	}
}

// explainUser adds to an error about a user who it is, and where that was looked for.
func explainUser(err error, name, place string) error {
	switch err = causeOf(err); {
	case errors.Is(err, store.ErrNotFound) && name != "":
		return fmt.Errorf("no user %s %s", command.Quoted(name), place)
	case errors.Is(err, store.ErrUnsupported) && name != "":
		return fmt.Errorf("user %s: %w", command.Quoted(name), err)
	default:
		return err
	}
}
